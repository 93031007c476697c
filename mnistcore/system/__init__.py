"""The interface to the machine: files, interrupts, error messages, versions and cores."""
