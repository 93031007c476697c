"""Check the file that a command writes before anything is computed."""

import os
from pathlib import Path


def output_path(output: str | Path | None, default: Path, source: Path) -> Path:
    """Return the file to write, after checking that it can be written and is not the source.

    Parameters
    ----------
    output
        The file that the user named; None for ``default``.
    default
        The default file; only its suffix is allowed.
    source
        The file that is read.

    Raises
    ------
    ValueError
        If the name has another suffix, is that of a folder or of ``source``, or cannot be
        written.
    """
    path = default if output is None else Path(output)
    folder = path.parent
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give output the name of a {default.suffix} file")
    if path.suffix.lower() != default.suffix:
        raise ValueError(f"{path}: the name of this output must end in {default.suffix}")
    if path.exists() and path.samefile(source):
        raise ValueError(f"{path}: is the file that is read; give output another name")
    if not folder.is_dir():
        raise ValueError(f"{path}: cannot be written, because {folder} is not a folder")
    if not os.access(folder, os.W_OK):
        raise ValueError(
            f"{path}: cannot be written, because {folder} is write-protected; give output a name"
            " in another folder"
        )
    return path
