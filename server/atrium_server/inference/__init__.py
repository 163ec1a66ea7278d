"""The inference lane: models run in batches, on a thread that no tick waits for."""
