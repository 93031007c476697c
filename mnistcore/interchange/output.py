"""Check the file that a command writes before anything is computed."""

from pathlib import Path

from ..system.files import check_target


def output_path(output: str | Path | None, default: Path, source: Path | None) -> Path:
    """Return the file to write, after checking that it can be written and is not the source.

    Parameters
    ----------
    output
        The file that the user named; None for ``default``.
    default
        The default file; only its suffix is allowed.
    source
        The file that is read; None if there is none.

    Raises
    ------
    ValueError
        If the name has another suffix, is that of a folder or of ``source``, or cannot be
        written.
    """
    path = default if output is None else Path(output)
    check_target(path, *([source] if source else []))
    if path.suffix.lower() != default.suffix:
        raise ValueError(f"{path}: the name of this output must end in {default.suffix}")
    return path
