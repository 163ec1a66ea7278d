"""How models are made: data, training, evaluation, compression. Nothing a running server loads."""
