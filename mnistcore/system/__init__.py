"""What stands between the package and the machine: files, interrupts, errors, versions, cores."""
