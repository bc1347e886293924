"""From a user's file to arrays: formats, records, inspection, splits, tokenizers and batches."""
