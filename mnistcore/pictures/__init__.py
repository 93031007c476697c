"""Turn pictures of handwritten digits into images that a network trained on MNIST can read."""
