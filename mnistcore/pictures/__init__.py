"""From a person's own picture to what a network trained on MNIST reads."""
