"""The study as the workers share it: counting, resuming, losing trials, all in one process."""

import contextlib
import shutil
import sqlite3
import threading
import time

import pytest
from optuna.trial import TrialState
from small_digits import small_digits
from small_search import SPACE, TRAIN, compute, open_small, small_plan

from mnistcore.search.objective import Objective
from mnistcore.search.results import standing_of
from mnistcore.search.study import (
    StorageUnreachableError,
    StudyMismatchError,
    agree,
    give_up,
    open_storage,
    storage_url,
)
from mnistcore.search.worker import _StoppedError, work

pytestmark = pytest.mark.slow

GRID = {"hidden": [[4], [8]], "learning_rate": [0.003, 0.01, 0.03]}
SHORT = {**TRAIN, "epochs": 1}  # where the trials count, not what they come to


def points(study):
    return sorted(str(sorted(record.point.items())) for record in standing_of(study).finished)


def test_a_grid_tries_each_point_once(dataset, tmp_path):
    plan = small_plan(tmp_path / "out", GRID, SHORT, sampler="grid")
    study = compute(plan, dataset)
    assert len(standing_of(study).finished) == 6
    assert len(set(points(study))) == 6


def test_a_study_goes_on_to_a_larger_number_and_stops_there(dataset, tmp_path):
    for trials, wanted in ((1, 1), (3, 3), (3, 3), (2, 3)):
        study = compute(small_plan(tmp_path / "out", train=SHORT, trials=trials), dataset)
        assert len(study.trials) == wanted


def test_random_points_depend_on_the_seed_and_the_number_alone(dataset, tmp_path):
    def computed(name, trials, seed=0):
        train = {**SHORT, "seed": seed}
        plan = small_plan(tmp_path / name, train=train, sampler="random", trials=trials)
        return points(compute(plan, dataset))

    whole, _, parts, other = (
        computed("a", 3), computed("b", 1), computed("b", 3), computed("c", 3, seed=1)
    )  # fmt: skip
    assert whole == parts
    assert not set(whole) & set(other)
    assert len(set(whole)) == 3


def test_tpe_repeats_itself(dataset, tmp_path):
    plans = (small_plan(tmp_path / name, train=SHORT, sampler="tpe", trials=11) for name in "ab")
    one, two = (compute(plan, dataset) for plan in plans)
    assert [t.params for t in one.trials] == [t.params for t in two.trials]


def test_workers_at_once_finish_as_many_as_were_asked_for(dataset, tmp_path):
    plan = small_plan(tmp_path / "out", GRID, SHORT, sampler="grid")
    open_small(plan)
    threads = [threading.Thread(target=compute, args=(plan, dataset)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = open_small(plan)
    assert len(standing_of(study).finished) == 6
    assert len(set(points(study))) == 6


def test_a_trial_beyond_the_number_is_given_up(dataset, tmp_path):
    plan = small_plan(tmp_path / "out", trials=2)
    study = open_small(plan)
    for _ in range(4):  # as four workers might that looked at the same time
        study.optimize(Objective(plan, dataset, lambda: None), n_trials=1, catch=(Exception,))
    standing = standing_of(study)
    assert [record.number for record in standing.finished] == [0, 1]
    assert standing.lost == 0


def test_a_lost_trial_is_tried_again_and_counted_once(dataset, tmp_path):
    plan = small_plan(tmp_path / "out", sampler="random", trials=3)
    study = open_small(plan)
    with pytest.warns(UserWarning, match="Heartbeat"):
        died = study.ask()
    point = plan.space.suggest(died)
    died.set_user_attr("worker", "elsewhere:1")
    give_up(study, study.get_trials()[0])
    give_up(study, study.get_trials()[0])  # as another command might at the same moment
    compute(plan, dataset, study)
    standing = standing_of(study)
    assert standing.lost == 1
    assert len(standing.finished) == 3
    assert len(set(points(study))) == 3
    assert any(plan.space.point_of(record.point) == point for record in standing.finished)


def test_a_trial_that_is_cut_off_is_put_in_line_again(dataset, tmp_path):
    plan = small_plan(tmp_path / "out", sampler="random", trials=2)
    study, stop, calls = open_small(plan), threading.Event(), []

    def check():
        calls.append(1)
        if len(calls) > 2:
            stop.set()
            raise _StoppedError

    work(study, plan, Objective(plan, dataset, check), stop)
    states = [trial.state for trial in study.get_trials()]
    assert states == [TrialState.FAIL, TrialState.WAITING]
    assert study.trials[0].params == study.trials[1].params
    compute(plan, dataset, study)
    assert len(standing_of(study).finished) == 2


def test_a_trial_taken_from_a_silent_worker_counts_once(dataset, tmp_path):
    plan = small_plan(tmp_path / "out", sampler="random", trials=2)
    study, calls = open_small(plan), []

    def check():
        calls.append(1)
        if len(calls) == 2:  # others think that this worker is dead
            give_up(study, study.get_trials()[0])

    work(study, plan, Objective(plan, dataset, check), threading.Event())
    standing = standing_of(study)
    assert [record.number for record in standing.finished] == [1, 2]
    assert standing.lost == 1


def test_no_trial_begins_when_the_time_is_up(dataset, tmp_path):
    study = compute(small_plan(tmp_path / "out", trials=50), dataset, deadline=time.time())
    assert not study.trials


def test_an_error_of_ours_is_not_hidden(dataset, tmp_path, monkeypatch):
    def broken(*arguments):
        raise ValueError("a bug")

    monkeypatch.setattr("mnistcore.search.objective.prepare", broken)
    with pytest.raises(ValueError, match="a bug"):
        compute(small_plan(tmp_path / "out", trials=2), dataset)


def test_folds_judge_by_their_mean(dataset, tmp_path):
    plan = small_plan(tmp_path / "out", sampler="random", pruner="none", folds=3, trials=1)
    trial = compute(plan, dataset).trials[0]
    means = trial.intermediate_values
    assert sorted(means) == [1, 2, 3]
    assert trial.value == means[3]
    assert means[3] * 600 == pytest.approx(round(means[3] * 600))  # 3 folds of 200 images


@pytest.mark.parametrize("patience", [None, 5])
def test_a_trial_is_judged_by_the_epoch_whose_weights_a_run_keeps(dataset, tmp_path, patience):
    """The last one, or with patience the best; the rate is so large that these differ."""
    train = {**TRAIN, "learning_rate": 0.5, "epochs": 6, "patience": patience}
    space = {"hidden": [[4], [8]]}
    plan = small_plan(tmp_path / "out", space, train, sampler="grid", pruner="none")
    trials = compute(plan, dataset).trials
    reports = [[trial.intermediate_values[epoch] for epoch in range(1, 7)] for trial in trials]
    assert all(max(values) > values[-1] for values in reports)
    kept = [values[-1] if patience is None else max(values) for values in reports]
    assert [trial.value for trial in trials] == kept


def test_a_trial_that_diverges_is_pruned(dataset, tmp_path):
    train = {**TRAIN, "optimizer": "sgd", "learning_rate": 1e30}
    space = {"layers": [1, 2], "units": [4, 8]}
    study = compute(small_plan(tmp_path / "out", space, train, trials=2), dataset)
    assert {trial.state for trial in study.trials} == {TrialState.PRUNED}
    assert standing_of(study).winner is None


@pytest.mark.parametrize("pruner", ["median", "successive-halving", "hyperband"])
def test_bad_trials_are_ended_early(dataset, tmp_path, pruner):
    space = {"learning_rate": {"low": 1e-7, "high": 3e-2}}
    train = {**TRAIN, "hidden": 8, "epochs": 9, "seed": 1}
    plan = small_plan(tmp_path / "out", space, train, sampler="random", pruner=pruner, trials=9)
    study = compute(plan, dataset)
    standing = standing_of(study)
    assert len(standing.finished) == 9
    assert 0 < standing.pruned < 9
    pruned = [record for record in standing.finished if record.state == "pruned"]
    assert all(record.reports < 9 for record in pruned)
    assert standing.winner.reports == 9
    # What is pruned is worse, and the winner is what the study calls its best.
    assert max(record.accuracy for record in pruned) < standing.winner.accuracy
    assert study.best_value == standing.winner.accuracy


def test_a_study_of_another_search_is_refused(tmp_path):
    plan = small_plan(tmp_path / "out")
    study = open_small(plan)
    agree(study, plan.settings())
    agree(study, plan.settings())
    other = small_plan(tmp_path / "out", {**SPACE, "layers": [1, 2, 3]})
    with pytest.raises(StudyMismatchError, match=r"its layers is \[1, 2\], not \[1, 2, 3\]"):
        agree(study, other.settings())
    with pytest.raises(StudyMismatchError, match='its sampler is "tpe", not "random"'):
        agree(study, small_plan(tmp_path / "out", sampler="random").settings())


def test_a_study_of_a_version_that_did_not_look_at_test_images_is_refused(tmp_path):
    plan = small_plan(tmp_path / "out")
    study = open_small(plan)
    agree(study, {**plan.settings(), "data": {"images": [9, 6, 6], "checksum": 1234}})
    now = {**plan.settings(), "data": {"images": [9, 6, 6], "checksum": "ab"}, "teachers": []}
    with pytest.raises(StudyMismatchError, match="'search' is of an older version, which did not"):
        agree(study, now)


def test_more_trials_and_another_folder_of_the_data_are_the_same_search(tmp_path):
    plan = small_plan(tmp_path / "out")
    study = open_small(plan)
    agree(study, plan.settings())
    train = {**TRAIN, "data": "/mnt/elsewhere"}
    agree(study, small_plan(tmp_path / "out", train=train, trials=99, workers=3).settings())


def test_a_study_that_others_made_is_refused(tmp_path):
    plan = small_plan(tmp_path / "out")
    study = open_small(plan)
    with pytest.warns(UserWarning, match="Heartbeat"):
        study.ask()
    with pytest.raises(StudyMismatchError, match="was not made by mnistcore search"):
        agree(study, plan.settings())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "storage must be a URL"),
        ("sqlite:////nowhere/at/all.db", "/nowhere/at/all.db: cannot be used"),
        ("redis://localhost/0", "cannot be used"),
        ("postgresql://me:secret@127.0.0.1:9/x", r"me:\*\*\*@127.0.0.1:9/x: cannot be used: "),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_storage_that_cannot_be_reached_is_named(tmp_path, url, message):
    with pytest.raises(StorageUnreachableError, match=message) as caught:
        open_storage(storage_url(url, tmp_path), 60)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "study.db").write_text("my thesis" * 100)
    with pytest.raises(StorageUnreachableError, match=r"study.db: cannot be used: .*database"):
        open_storage(storage_url(None, tmp_path), 60)


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """The database of a study with a trial."""
    folder = tmp_path_factory.mktemp("computed")
    plan = small_plan(folder / "out", trials=1)
    agree(open_small(plan), {})
    compute(plan, small_digits(folder / "data"))
    return folder / "out" / "study.db"


@pytest.mark.parametrize(
    "change",
    [
        "trial_intermediate_values SET intermediate_value_type = 'INF'",
        "trial_params SET distribution_json = '{}'",
        "trials SET state = 'LOST'",
        "trials SET datetime_complete = 'x'",
        "study_user_attributes SET value_json = '{'",
        "study_user_attributes SET value_json = '[1]'",
        "study_user_attributes SET key = 'test', value_json = '{\"trial\": 0}'",
        "trial_user_attributes SET value_json = '[1]'",
        "study_directions SET direction = 'UP'",
    ],
)
def test_a_damaged_study_is_named(computed, tmp_path, change):
    plan = small_plan(tmp_path, trials=1)
    shutil.copy(computed, tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as database:
        assert database.execute(f"UPDATE {change}").rowcount
        database.commit()
    with pytest.raises(StorageUnreachableError, match=r"study\.db: cannot be used: "):
        open_small(plan)
