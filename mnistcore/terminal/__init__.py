"""Terminal input and output of the commands: flags, tables, progress, images in half-blocks."""
