"""A network and its weights: layout, initialisation, inference, metrics, the model file."""
