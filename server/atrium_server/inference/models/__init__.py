"""The kinds of models that can run, in torch: one module for each."""
