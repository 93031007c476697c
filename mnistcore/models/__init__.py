"""Networks: layout of weights, initialisation, inference, ensembles, metrics, the model file."""
