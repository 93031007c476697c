"""Write an HTML report on one run or several: ``run(["runs/..."])``, ``mnistcore report RUN...``.

The page holds the numbers, the figures and the configuration, and needs no other file.
"""

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from ..data import Dataset
from ..kernels.backends import get_backend
from ..kernels.blas import limited
from ..kernels.threads import available_cores
from ..runs.data import compared, load_run_data
from ..runs.folder import CONFIG_FILE, load_run
from ..runs.scores import SourceConfig
from ..system.callable_module import make_callable
from ..system.files import check_folder, check_target, replacing
from ..system.machine import cpu_model
from ..system.text import counted
from ..terminal.command_line import DONE, Parser, busy, run_command, user_errors
from ..terminal.flags import add_flags, flag_of, flags_given
from ..terminal.runs import add_runs, runs_or_newest
from ..training.options import document_options, option
from .page import MARK, Page

__all__ = ["Report", "ReportConfig", "main", "run"]

_ONE, _SEVERAL = "report.html", "comparison.html"


@document_options
@dataclass(frozen=True, kw_only=True)
class ReportConfig(SourceConfig):
    """The options of a report, checked.

    Raises
    ------
    TypeError, ValueError
        If a value has the wrong type or is out of range.
    """

    output: str | None = option(
        None,
        str,
        "the page",
        optional=True,
        metavar="FILE.html",
        shown_default=f"{_ONE} in the run folder, {_SEVERAL} here for several runs",
    )
    figures: str | None = option(
        None,
        str,
        "write each figure into this folder too, as PNG and as SVG",
        optional=True,
        metavar="FOLDER",
        shown_default="the page alone",
    )


@dataclass(frozen=True)
class Report:
    """The files that were written: the page, and those of the figures if requested.

    ``notices`` are what the user should know about the data.
    """

    path: Path
    notices: tuple[str, ...] = ()
    figure_files: tuple[Path, ...] = ()


def run(
    sources: Sequence[str | Path] | str | Path,
    config: ReportConfig | None = None,
    *,
    dataset: Dataset | None = None,
) -> Report:
    """Evaluate one run or several on the test images, draw all figures and write the page.

    Parameters
    ----------
    sources
        Run folders or ``.safetensors`` files. One is described in detail, several are compared.
    config
        The options.
    dataset
        Use this instead of loading the data that the config or the runs name.

    Returns
    -------
    Report
        The paths of the page and of the figures, and notices about the data.

    Raises
    ------
    ValueError
        If there is no run, or one is named twice, or a run or its data cannot be used, or the
        page would replace a file that is not a report.
    FileNotFoundError
        If a run does not exist.
    BackendUnavailableError
        If the backend cannot be loaded.
    OSError
        If a file cannot be read or written.

    Examples
    --------
    >>> import mnistcore
    >>> report = mnistcore.report("runs/first", mnistcore.ReportConfig(output="first.html"))
    >>> report.path.name
    'first.html'
    """
    from . import comparison, single

    config = config or ReportConfig()
    paths = [Path(source) for source in ([sources] if isinstance(sources, str | Path) else sources)]
    _check_sources(paths)
    target = _target(paths, config.output)
    _check_page(target)
    if config.figures is not None:
        check_folder(Path(config.figures))
    kernels = get_backend(config.backend)
    runs = [load_run(path) for path in paths]
    datasets = [compared(run, dataset) if dataset else load_run_data(run, config) for run in runs]
    with limited(kernels.NAME, config.threads):
        if len(runs) == 1:
            page = single.page(kernels, runs[0], datasets[0])
        else:
            page = comparison.page(kernels, runs, datasets)
        page.made = _made(paths, config)
        content = page.html().encode("utf-8", "replace")
    with replacing(target) as file:
        file.write(content)
    notices = tuple(dict.fromkeys(notice for data in datasets for notice in data.notices))
    return Report(target, notices, _write_figures(page, config.figures))


def _made(paths: Sequence[Path], config: ReportConfig) -> dict[str, str]:
    """Say when, where and by which command a page was made, and how to repeat a single run."""
    made = {
        "Written": time.strftime("%Y-%m-%d %H:%M %z"),
        "Machine": f"{cpu_model()}, {counted(available_cores(), 'core')}",
        "Command": shlex.join(["mnistcore", "report", *map(str, paths), *_flags(config)]),
    }
    if len(paths) == 1 and (paths[0] / CONFIG_FILE).is_file():
        again = ["mnistcore", "train", "--config", str(paths[0] / CONFIG_FILE)]
        made["The run again"] = shlex.join(again)
    return made


def _flags(config: ReportConfig) -> list[str]:
    """Return the flags of the options that differ from their defaults."""
    flags = []
    for field in fields(config):
        value = getattr(config, field.name)
        if value == field.default:
            continue
        flags.append(flag_of(field.name))
        if value is not True:
            flags += map(str, value if isinstance(value, tuple) else [value])
    return flags


def _check_sources(paths: Sequence[Path]) -> None:
    if not paths:
        raise ValueError("name at least one run")
    seen = set()
    for path in paths:
        if path.resolve() in seen:
            raise ValueError(f"{path}: is named twice")
        seen.add(path.resolve())


def _target(paths: Sequence[Path], output: str | None) -> Path:
    if output is not None:
        return Path(output)
    if len(paths) > 1:
        return Path(_SEVERAL)
    return paths[0] / _ONE if paths[0].is_dir() else paths[0].with_suffix(f".{_ONE}")


def _check_page(path: Path) -> None:
    """Raise an error unless the page can be written and replaces at most an earlier report."""
    check_target(path)
    if path.exists() and not _is_page(path):
        raise ValueError(f"{path}: exists and is not a report; give output another name")


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return MARK.encode() in file.read(1000)


def _write_figures(page: Page, folder: str | None) -> tuple[Path, ...]:
    if folder is None:
        return ()
    from ..figures.style import encode

    Path(folder).mkdir(parents=True, exist_ok=True)
    written = []
    for drawing in page.drawings:
        for kind, content in (("png", encode(drawing.figure, "png")), ("svg", drawing.svg)):
            path = Path(folder, f"{drawing.name}.{kind}")
            with replacing(path) as file:
                file.write(content)
            written.append(path)
    return tuple(written)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command("report", _main, argv)


def _main(argv: Sequence[str]) -> int:
    parser = Parser(
        "report",
        "Write the numbers and figures of a run as one HTML page that opens anywhere and prints"
        " well; of several runs, a page that compares them.",
    )
    add_runs(parser, "; several are compared")
    add_flags(parser, ReportConfig)
    arguments = parser.parse_args(argv)
    with user_errors():
        config = ReportConfig(**flags_given(arguments, ReportConfig))
        runs = runs_or_newest(arguments.runs)
    with user_errors(), busy("evaluating and drawing"):
        report = run(runs, config)
    for notice in report.notices:
        print(notice, file=sys.stderr)
    print(report.path)
    if report.figure_files:
        print(f"{len(report.figure_files)} files of figures in {config.figures}")
    return DONE


make_callable(__name__)
