"""Networks and their weights: layout, initialisation, inference, metrics and the model file."""
