"""What a command reads and shows: flags, tables, progress, pictures in half-blocks."""
