"""What the reference backend computes beneath its kernels and programs."""
