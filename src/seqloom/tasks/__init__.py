"""Where data and model meet: one task a file."""
