"""Training runs on disk: executing them, reading them back, their data and their scores."""
