"""What each client is told of a published frame. Pure: arrays in, bytes out."""
