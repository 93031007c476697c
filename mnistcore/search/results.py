"""What a search came to: its trials, the winner, what mattered, and the files that say so."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from ..system.files import replacing
from ..training.config import TrainConfig
from .study import FINISHED, LOSS, SURPLUS, WORKER, in_state

BEST_FILE = "best.toml"
TRIALS_FILE = "trials.csv"
SUMMARY_FILE = "summary.json"
MARKER_FILE = "search.json"  # what is searched: a folder that has it is that of a search


@dataclass(frozen=True)
class TrialRecord:
    """A trial, as it is shown and stored.

    Attributes
    ----------
    number
        Given by the study.
    state
        "complete", "pruned" or "running".
    accuracy, loss
        On the validation images, or their means over the folds; of a pruned or running trial the
        accuracy that it reported last, and no loss.
    point
        The values that it tries.
    reports, step
        How often it reported, and after each of what: "epoch" or "fold".
    seconds
        How long it took; NaN while it runs.
    worker
        Who computed it.
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
    """A trial of Optuna in our terms."""
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
    """How far a study has come: its finished trials by number, and those that run."""

    finished: list[TrialRecord]
    running: list[TrialRecord]
    lost: int

    @property
    def winner(self) -> TrialRecord | None:
        """The complete trial with the highest accuracy, the lower loss deciding a tie."""
        complete = [record for record in self.finished if record.state == "complete"]
        return min(complete, key=_rank, default=None)

    @property
    def pruned(self) -> int:
        """How many were ended early."""
        return sum(record.state == "pruned" for record in self.finished)

    def ranked(self) -> list[TrialRecord]:
        """The finished trials, the winner first, the pruned ones last."""
        return sorted(self.finished, key=_rank)


def _rank(record: TrialRecord) -> tuple[bool, float, float, int]:
    accuracy = -1.0 if record.accuracy is None else record.accuracy
    loss = math.inf if record.loss is None else record.loss
    return record.state != "complete", -accuracy, loss, record.number


def standing_of(study: Study, step: str = "epoch") -> Standing:
    """Look at a study as it is now, whose trials report after each ``step``.

    A trial that was one too many counts nowhere.
    """
    trials = study.get_trials(deepcopy=False)
    lost = [t for t in in_state(trials, TrialState.FAIL) if SURPLUS not in t.user_attrs]
    return Standing(
        [record_of(trial, step) for trial in in_state(trials, *FINISHED)],
        [record_of(trial, step) for trial in in_state(trials, TrialState.RUNNING)],
        len(lost),
    )


def importances_of(study: Study) -> dict[str, float]:
    """The share of each parameter in what made trials good, the largest first; they sum to 1.

    PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023) on the complete trials. Empty where they
    are too few, or all alike.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    complete = in_state(study.get_trials(deepcopy=False), TrialState.COMPLETE)
    if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
        return {}
    shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: share for name, share in shares.items() if math.isfinite(share)}


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search came to.

    Attributes
    ----------
    folder
        The output folder.
    standing
        The trials.
    winner
        The best of them.
    best
        Its training run, as in ``best.toml``.
    importances
        See :func:`importances_of`.
    test
        Of the winner, trained again: ``accuracy``, ``loss``, its ``run_folder``, the ``machine``
        that trained it.
    seconds
        How long this command took.
    complete
        Whether the study has as many finished trials as were asked for.
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
        """The figures, ready for JSON."""
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
    """Write ``trials.csv``, a line per finished trial."""
    names = list(dict.fromkeys(name for record in records for name in record.point))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ("number", "state", "validation_accuracy", "validation_loss")
    writer.writerow([*head, *names, "reports", "seconds", "worker"])
    for r in sorted(records, key=lambda record: record.number):
        values = [r.point.get(name, "") for name in names]
        seconds = f"{r.seconds:.3f}"
        writer.writerow(
            [r.number, r.state, r.accuracy, r.loss, *values, r.reports, seconds, r.worker]
        )
    with replacing(folder / TRIALS_FILE) as file:
        file.write(text.getvalue().encode())


def write_best(folder: Path, config: TrainConfig, winner: TrialRecord, study: str) -> None:
    """Write ``best.toml``, which ``train --config`` takes."""
    lines = [
        f"# Trial {winner.number} of study {json.dumps(study)}: validation accuracy"
        f" {winner.accuracy:.4f}.",
        "# mnistcore train --config best.toml",
    ]
    for name, value in config.to_dict().items():
        if value is not None:
            lines.append(f"{name} = {_toml(value)}")
    with replacing(folder / BEST_FILE) as file:
        file.write(("\n".join(lines) + "\n").encode())


def _toml(value: Any) -> str:
    """A value as TOML writes it; its strings are those of JSON."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value)
