"""What an error says to a user."""


def error_words(error: BaseException) -> str:
    """What an error says to a user, with the file that it is about."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {error}".removesuffix(": ")
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
