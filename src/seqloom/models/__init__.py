"""Models: arrays in, arrays out; they know neither files nor batches."""
