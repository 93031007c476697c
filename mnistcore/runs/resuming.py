"""Runs that go on: after Ctrl-C, after the process was killed, or for more epochs.

A run goes on in its folder, from its newest checkpoint, and then equals one that was never
interrupted to the last bit.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data import Dataset
from ..kernels.layout import METRICS, Options, buffer_size, state_slots
from ..system.errors import few
from ..system.text import one_line
from ..training.config import TrainConfig
from ..training.fit import Fit
from ..training.options import read_options
from ..training.recipes import COMMON
from ..training.records import Listener
from .checkpoints import Checkpoint, Past, newest
from .execution import COMPLETE, TrainResult, completed, execute
from .folder import CONFIG_FILE, RunFolder, is_run_file, read_summary
from .job import Job, describe, engine_options, prepare

# The options that may change; all others decide what each step computes. Where the data and the
# teachers are may change too: their checksums may not.
MAY_CHANGE = (
    "epochs", "patience", "threads", "log", "checkpoint_every", "data", "data_dir", "teacher",
)  # fmt: skip


def resume(
    path: str | Path,
    *,
    dataset: Dataset | None = None,
    listener: Listener | None = None,
    **changes: Any,
) -> TrainResult:
    """Go on with a run that was interrupted or killed, or train a finished one for more epochs.

    Parameters
    ----------
    path
        The run folder.
    dataset
        The data of the run, if it was not trained on ``config.data``.
    listener
        Receives progress events.
    changes
        Other values of ``epochs``, ``patience``, ``threads``, ``log``, ``checkpoint_every``,
        ``data``, ``data_dir`` or ``teacher``. With other ``epochs``, the learning rates and the
        fading of deformations are from here on those of a run of so many epochs in all.

    Returns
    -------
    TrainResult
        As that of a run that was never interrupted.

    Raises
    ------
    ValueError
        If the folder is not that of a run, or the run is over, was trained on other data or with
        other options, or has no checkpoint that can be read. Else as :func:`.execution.run`.

    Examples
    --------
    >>> import mnistcore
    >>> from mnistcore.train import resume
    >>> config = mnistcore.TrainConfig(data="synthetic", epochs=1, output="runs/longer")
    >>> result = mnistcore.train(config)
    >>> resume("runs/longer", epochs=2).summary["epochs_run"]
    2
    """
    return completed(execute(prepare_resumed(path, changes, dataset), listener))


def prepare_resumed(
    path: str | Path,
    changes: Mapping[str, Any],
    dataset: Dataset | None = None,
    progress: bool = False,
) -> Job:
    """Check and load what a run needs to go on; nothing is written before :func:`execute`.

    ``progress`` shows a progress bar for downloads. Raises as :func:`resume`.
    """
    path = Path(path)
    if not (path / CONFIG_FILE).is_file():
        raise ValueError(f"{path}: is not a run folder; it has no {CONFIG_FILE}")
    _check_files(path)
    folder = RunFolder(path)
    try:
        return _prepared(folder, changes, dataset, progress)
    except BaseException:
        folder.release()
        raise


def _check_files(path: Path) -> None:
    """Check that what a run writes to is its own: the folder of somebody else may have links."""
    for file in path.iterdir():
        if is_run_file(file) and (file.is_symlink() or not file.is_file()):
            raise ValueError(f"{file}: is a link, or no file; a run goes on in files of its own")


def _prepared(
    folder: RunFolder, changes: Mapping[str, Any], dataset: Dataset | None, progress: bool
) -> Job:
    path = folder.path
    checkpoint, damage = newest(path)
    options = read_options(path / CONFIG_FILE, TrainConfig)
    config = TrainConfig(**{**COMMON, **options, **changes})
    if checkpoint is not None and config.backend == "auto":
        config = replace(config, backend=checkpoint.run["backend"])
    if checkpoint is not None:
        options = {**checkpoint.run["config"], "backend": checkpoint.run["backend"]}
    _check_options(path, options, config)
    _check_ending(path, checkpoint, config)
    job = prepare(config, dataset, progress, Past(folder, checkpoint))
    if checkpoint is None:
        return job
    now = describe(job)
    _check_data(path, checkpoint.run, now)
    _check_shapes(path, checkpoint, job)
    notices = tuple(filter(None, (damage, _other_versions(path, checkpoint.run, now))))
    return replace(job, past=Past(folder, checkpoint, notices))


def _check_options(path: Path, before: Mapping[str, Any], config: TrainConfig) -> None:
    """Check that the run goes on with the options that it had before."""
    if config.output is not None and Path(config.output).resolve() != path.resolve():
        raise ValueError(f"{path}: the run goes on in its folder; leave output out")
    before, now = (json.loads(json.dumps(options)) for options in (before, config.to_dict()))
    changed = [
        f"{name} is {one_line(now[name], 200)}, not {one_line(before[name], 200)}"
        for name in sorted(before.keys() & now.keys() - set(MAY_CHANGE))
        if now[name] != before[name]
    ]
    if changed:
        raise ValueError(f"{path}: the run cannot go on with other options: {', '.join(changed)}")


def _check_ending(path: Path, checkpoint: Checkpoint | None, config: TrainConfig) -> None:
    """Check that something is left to do."""
    outcome = read_summary(path).get("outcome")
    if outcome == "diverged":
        raise ValueError(f"{path}: the run diverged, and would again; begin another")
    if checkpoint is None:
        if outcome is not None:
            raise ValueError(f"{path}: the run ended without a checkpoint, so it cannot go on")
        return
    if config.epochs < (begun := checkpoint.counts["epoch"]):
        raise ValueError(f"{path}: epochs is {config.epochs}; the run is in epoch {begun}")
    past = Fit(checkpoint.arrays["params"], history=checkpoint.history)
    if outcome in COMPLETE and past.over(config.epochs, config.patience):
        epochs, early = len(past.history), past.out_of_patience(config.patience)
        how = f"stopped early after {epochs}" if early else f"was trained for {epochs}"
        raise ValueError(
            f"{path}: the run is over: it {how} epochs; to train it longer, give a larger number of"
            f" {'patience' if early else 'epochs'}"
        )


def _check_data(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that data and teachers are the same, given what :func:`.job.describe` says of both."""
    if before["data"]["checksum"] != now["data"]["checksum"]:
        then = before["data"].get("folder") or before["data"]["name"]
        here = now["data"].get("folder") or now["data"]["name"]
        reason = f"{then}, not {here}" if then != here else f"{then} as it was then"
        raise ValueError(f"{path}: was trained on other data: {reason}; name them with data")
    classes = now["data"]["classes"]
    if before["data"].get("classes", classes) != classes:  # an older version did not say
        raise ValueError(f"{path}: was trained on other classes than {few(classes)}")
    if before["teachers"] != now["teachers"]:
        raise ValueError(f"{path}: the teachers have changed since the run began")


def _check_shapes(path: Path, checkpoint: Checkpoint, job: Job) -> None:
    """Check that the state fits the network and the optimizer."""
    options, layers = Options(*engine_options(job)[0].item()), job.network.layers()
    shapes = {
        "params": (job.network.n_params,),
        "state": (state_slots(options), job.network.n_params),
        "buffers": (buffer_size(layers),),
        "metrics": (METRICS,),
        "best_params": (job.network.plain.n_params,),
    }
    if any(array.shape != shapes[name] for name, array in checkpoint.arrays.items()):
        raise ValueError(f"{path}: the checkpoint is that of another network")


def _other_versions(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return a notice of libraries and instruction sets that have changed, or nothing."""
    before, now = before["versions"], now["versions"]
    changed = [
        one_line(f"{name} {now.get(name)} instead of {before.get(name)}", 200)
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    if not changed:
        return ""
    return f"{path}: goes on with {few(changed)}: its last digits may differ"
