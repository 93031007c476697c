"""The results of a search: trials, winner, parameter importances, and the files that hold them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from ..system.files import replacing
from ..system.text import csv_row
from ..training.config import TrainConfig
from .study import FINISHED, LOSS, SURPLUS, WORKER, in_state

BEST_FILE = "best.toml"
TRIALS_FILE = "trials.csv"
SUMMARY_FILE = "summary.json"
MARKER_FILE = "search.json"  # the settings of a search; it marks a folder as that of a search


@dataclass(frozen=True)
class TrialRecord:
    """A trial, as it is shown and stored.

    Attributes
    ----------
    number
        The number that the study gave it.
    state
        "complete", "pruned" or "running".
    accuracy, loss
        Validation accuracy in [0, 1] and loss in nats, or their means over the folds. A pruned or
        running trial has its last reported accuracy, and None as loss.
    point
        The value of each parameter.
    reports, step
        The number of reports, and what each one follows: "epoch" or "fold".
    seconds
        The duration; NaN while the trial runs.
    worker
        Host name and process id of its worker.
    """

    number: int
    state: str
    accuracy: float | None
    loss: float | None
    point: Mapping[str, Any]
    reports: int
    step: str
    seconds: float
    worker: str


def record_of(trial: FrozenTrial, step: str = "epoch") -> TrialRecord:
    """Convert an Optuna trial, which reports after each ``step``, to a TrialRecord."""
    reported = trial.intermediate_values
    accuracy = trial.value
    if accuracy is None and reported:
        accuracy = reported[max(reported)]
    return TrialRecord(
        trial.number,
        trial.state.name.lower(),
        accuracy,
        trial.user_attrs.get(LOSS) if trial.state == TrialState.COMPLETE else None,
        trial.params,
        len(reported),
        step,
        trial.duration.total_seconds() if trial.duration else math.nan,
        trial.user_attrs.get(WORKER, ""),
    )


@dataclass(frozen=True)
class Standing:
    """The state of a study: finished and running trials by number, and how many were lost."""

    finished: list[TrialRecord]
    running: list[TrialRecord]
    lost: int

    @property
    def winner(self) -> TrialRecord | None:
        """The complete trial with the highest accuracy; the lower loss breaks ties."""
        complete = [record for record in self.finished if record.state == "complete"]
        return min(complete, key=rank, default=None)

    @property
    def pruned(self) -> int:
        """The number of trials that were stopped early."""
        return sum(record.state == "pruned" for record in self.finished)

    def ranked(self) -> list[TrialRecord]:
        """Return the finished trials, the winner first and the pruned ones last."""
        return sorted(self.finished, key=rank)


def rank(record: TrialRecord) -> tuple[bool, float, float, int]:
    """Return a key by which the winner comes first and pruned trials last."""
    accuracy = -1.0 if record.accuracy is None else record.accuracy
    loss = math.inf if record.loss is None else record.loss
    return record.state != "complete", -accuracy, loss, record.number


def standing_of(study: Study, step: str = "epoch") -> Standing:
    """Return the current state of a study whose trials report after each ``step``.

    Surplus trials are not counted.
    """
    trials = study.get_trials(deepcopy=False)
    lost = [t for t in in_state(trials, TrialState.FAIL) if SURPLUS not in t.user_attrs]
    return Standing(
        [record_of(trial, step) for trial in in_state(trials, *FINISHED)],
        [record_of(trial, step) for trial in in_state(trials, TrialState.RUNNING)],
        len(lost),
    )


def importances_of(study: Study) -> dict[str, float]:
    """Return the importance of each parameter, largest first; they sum to 1.

    PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023) on the complete trials. Empty if there
    are fewer than 4 of them, or all have the same accuracy.
    """
    complete = in_state(study.get_trials(deepcopy=False), TrialState.COMPLETE)
    if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
        return {}
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # a second

    shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: share for name, share in shares.items() if math.isfinite(share)}


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The result of a search.

    Attributes
    ----------
    folder
        The output folder.
    standing
        The trials.
    winner
        The best trial.
    best
        The winner's training options, as in ``best.toml``.
    importances
        See :func:`importances_of`.
    seconds
        The duration of this command.
    complete
        Whether the study has the requested number of finished trials.
    test
        The winner's test result after it was trained again: ``accuracy``, ``loss``, ``run_folder``
        and the ``machine`` that trained it.
    """

    folder: Path
    standing: Standing
    winner: TrialRecord
    best: TrainConfig
    importances: dict[str, float]
    seconds: float
    complete: bool
    test: Mapping[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return the content of ``summary.json``."""
        return {
            "finished_trials": len(self.standing.finished),
            "pruned_trials": self.standing.pruned,
            "lost_trials": self.standing.lost,
            "complete": self.complete,
            "winner": self.winner.number,
            "point": dict(self.winner.point),
            "validation_accuracy": self.winner.accuracy,
            "validation_loss": self.winner.loss,
            "test": dict(self.test),
            "importances": self.importances,
            "seconds": self.seconds,
        }


def write_trials(folder: Path, records: Sequence[TrialRecord]) -> None:
    """Write ``trials.csv``, with a line per finished trial."""
    names = list(dict.fromkeys(name for record in records for name in record.point))
    head = ("number", "state", "validation_accuracy", "validation_loss")
    rows = [csv_row([*head, *names, "reports", "seconds", "worker"])]
    for r in sorted(records, key=lambda record: record.number):
        values = [r.point.get(name, "") for name in names]
        seconds = f"{r.seconds:.3f}"
        known = (r.number, r.state, r.accuracy, r.loss, *values, r.reports, seconds, r.worker)
        rows.append(csv_row(known))
    with replacing(folder / TRIALS_FILE) as file:
        file.write("".join(rows).encode())


def write_best(folder: Path, config: TrainConfig, winner: TrialRecord, study: str) -> None:
    """Write ``best.toml``, a configuration file for ``train --config``."""
    lines = [
        f"# Trial {winner.number} of study {json.dumps(study)}: validation accuracy"
        f" {winner.accuracy:.4f}.",
        "# mnistcore train --config best.toml",
    ]
    for name, value in config.to_dict().items():
        if value is not None:
            lines.append(f"{name} = {_toml(value)}")
    with replacing(folder / BEST_FILE) as file:
        file.write(("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"))


def _toml(value: Any) -> str:
    """Format a value as TOML, whose strings can be written like those of JSON."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
