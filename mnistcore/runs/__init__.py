"""One training run as a thing on disk: executed, read back, its data, its scores."""
