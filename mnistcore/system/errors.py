"""Error messages for users."""


def error_words(error: BaseException) -> str:
    """Return the message of an error, with the name of the file that it concerns."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {error}".removesuffix(": ")
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
