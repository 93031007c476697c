"""Training on plain arrays: the loop and its records, optimizers, schedules, options."""
