"""Models that read the last rows of a series and say the next: one file each."""
