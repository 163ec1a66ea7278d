"""The models there are: what each takes and gives, where its files lie, which one is in use."""
