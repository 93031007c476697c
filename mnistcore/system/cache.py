"""Where the user's cache is, and what stands in for it where it cannot be written."""

import os
import stat
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Return the cache folder: $MNISTCORE_CACHE_DIR, else the platform's cache directory.

    A user without a home folder, as in some containers, has one among the temporary files.

    Raises
    ------
    ValueError
        If there is no home folder, and that one belongs to somebody else.
    """
    chosen = os.environ.get("MNISTCORE_CACHE_DIR")
    if chosen:
        return Path(os.path.expanduser(chosen))
    import platformdirs  # the same call as pooch.os_cache, without the slow import of pooch

    try:
        return Path(platformdirs.user_cache_dir("mnistcore"))
    except RuntimeError:
        folder = temporary_cache_folder()
        if is_private(folder):
            return folder
        raise ValueError("this user has no home folder; set MNISTCORE_CACHE_DIR") from None


def temporary_cache_folder() -> Path:
    """Return the user's folder for compiled code among the system's temporary files.

    All processes of the user share it where the cache folder cannot be written. It need not
    exist; use it only after :func:`is_private`.
    """
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""  # else each user has a folder
    return Path(tempfile.gettempdir(), f"mnistcore-numba{user}")


def is_private(folder: Path) -> bool:
    """Make a folder that only this user can write into; return whether it is one.

    Other users may have made a folder or a link of this name in a place that all can write to.
    """
    try:
        if not folder.is_symlink():
            folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    if not hasattr(os, "getuid"):
        return stat.S_ISDIR(found.st_mode)
    ours = found.st_uid == os.getuid() and not found.st_mode & 0o022
    return stat.S_ISDIR(found.st_mode) and ours


def writable(folder: Path) -> str | None:
    """Make a folder and return its path; None if it cannot be made or written into.

    It is tried, since a disk that takes no more files, or one of another machine, looks writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return str(folder)
