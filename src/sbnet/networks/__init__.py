"""Networks by name, and their files: ours, and those of other implementations."""
