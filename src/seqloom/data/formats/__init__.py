"""The formats of files: one file each, found by name."""
