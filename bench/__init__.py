"""Speed and quality beside others; each prints what it measured."""
