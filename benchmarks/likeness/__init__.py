"""The judge of ``mnistcore.pictures.likeness``: how its weights are made."""
