import json
from pathlib import Path

import numpy as np
import pytest

from mnistcore.search.config import Plan, SearchConfig, make_plan, read_file


def test_the_default_pruner_goes_with_the_sampler():
    assert SearchConfig().pruner == "median"
    assert SearchConfig(sampler="grid").pruner == "none"
    assert SearchConfig(sampler="grid", pruner="hyperband").pruner == "hyperband"


def test_trials_default_to_twenty_or_the_grid():
    assert make_plan(SearchConfig(), None, None).n_trials == 20
    assert make_plan(SearchConfig(sampler="grid"), None, None).n_trials == 9
    assert make_plan(SearchConfig(sampler="grid", trials=4), None, None).n_trials == 4
    assert make_plan(SearchConfig(sampler="grid", trials=40), None, None).n_trials == 9


def test_what_is_fixed_is_not_searched_by_default():
    plan = make_plan(SearchConfig(), None, {"hidden": [32], "optimizer": "adam"})
    assert not {"hidden", "layers", "units", "optimizer"} & set(plan.space.dimensions)
    assert plan.train_config({}).hidden == (32,)


def test_a_network_without_hidden_layers_has_none_of_their_options():
    plan = make_plan(SearchConfig(), None, {"hidden": ()})
    assert set(plan.space.dimensions) == {
        "optimizer", "learning_rate", "batch_size", "weight_decay", "label_smoothing"
    }  # fmt: skip


def test_a_point_becomes_a_training_run():
    plan = make_plan(SearchConfig(), None, {"epochs": 3})
    config = plan.train_config({"layers": 2, "units": 30, "activation": "tanh", "dropout": 0.2})
    assert (config.hidden, config.activation, config.dropout) == ((30, 30), "tanh", (0.2,))
    assert config.epochs == 3


@pytest.mark.parametrize(
    ("space", "hidden"),
    [
        ({"layers": 2, "units": {"low": 4, "high": 8}}, {(4, 4), (8, 8)}),
        ({"layers": [1, 3], "units": [6]}, {(6,), (6, 6, 6)}),
        ({"layers": 2, "units": 6, "learning_rate": [0.1, 0.2]}, {(6, 6)}),
    ],
)
def test_layers_or_units_may_be_one_value(space, hidden):
    plan = make_plan(SearchConfig(), space, None)
    assert {plan.train_config(point).hidden for point in plan.space.corners()} == hidden


@pytest.mark.parametrize("sizes", [[8, 1], [1, 8]])
def test_two_searched_options_that_contradict_each_other_are_refused(sizes):
    space = {"hidden": [[8], [4]], "batch_norm": [False, True], "batch_size": sizes}
    with pytest.raises(ValueError, match="batch_norm needs more than one image in a batch"):
        make_plan(SearchConfig(), space, None)


def test_a_plan_survives_its_way_to_a_worker():
    space = {"hidden": [[8], [16, 8]], "learning_rate": {"low": 0.1, "high": 0.2}}
    plan = make_plan(SearchConfig(trials=3), space, {"dropout": (0.1,)})
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again.config == plan.config
    assert again.space == plan.space
    assert json.dumps(again.settings()) == json.dumps(plan.settings())


def test_pruners_know_how_often_a_trial_reports():
    assert make_plan(SearchConfig(), None, {"epochs": 7}).resource == 7
    assert make_plan(SearchConfig(folds=4), None, {"epochs": 7}).resource == 4
    assert make_plan(SearchConfig(), {"epochs": {"low": 2, "high": 9}}, None).resource == 9
    assert make_plan(SearchConfig(), {"epochs": [3, 11, 5]}, None).resource == 11


BAD = [
    ({"grid_points": 3}, None, None, "grid_points is for sampler grid"),
    ({"sampler": "bayes"}, None, None, "sampler must be one of tpe, random, grid"),
    ({"trials": 0}, None, None, "trials must be"),
    ({"timeout": 0}, None, None, "timeout must be above 0"),
    ({"workers": 0}, None, None, "workers must be"),
    ({"folds": 1}, None, None, "folds must be"),
    ({"study": "a/b"}, None, None, "without slashes"),
    ({}, None, {"output": "x"}, "'output' is not an option of train that a search can fix"),
    ({}, {"epochs": [1, 2]}, {"epochs": 3}, "epochs is given both as searched and as fixed"),
    ({}, None, {"validation_fraction": 0}, "needs validation"),
    ({}, {"optimizer": ["sgd", "adam"]}, {"momentum": 0.9}, "momentum is for optimizer sgd"),
    ({}, {"optimizer": ["sgd", "adam"]}, {"beta1": 0.8}, "beta1 is for optimizer adam or adamw"),
    ({"sampler": "grid"}, {"dropout": {"low": 0.1, "high": 0.2}}, None, "say how many"),
    ({}, {"dropout": [[0.1, 0.5], [0.3, 0.5]]}, None, "dropout takes one rate for all layers"),
    ({}, {"dropout": [[0.1, 0.5]]}, None, "dropout takes one rate for all layers"),
]


@pytest.mark.parametrize(("options", "space", "train", "message"), BAD)
def test_contradictions_are_refused(options, space, train, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make_plan(SearchConfig(**options), space, train)


def test_what_is_fixed_is_checked_as_train_checks_it():
    fixed = {"data": Path("small.npz"), "epochs": np.int64(3), "hidden": np.array([8])}
    plan = make_plan(SearchConfig(), {"learning_rate": [0.1, 0.2]}, fixed)
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert (again.base.data, again.base.epochs, again.base.hidden) == ("small.npz", 3, (8,))


def test_options_may_need_a_value_that_is_searched():
    space = {"momentum": [0.8, 0.9], "learning_rate": [0.1, 0.2]}
    plan = make_plan(SearchConfig(), space, {"optimizer": "sgd", "nesterov": True, "epochs": 2})
    assert (plan.base.nesterov, plan.resource, plan.seed) == (True, 2, 0)


def test_folds_need_no_validation_fraction():
    make_plan(SearchConfig(folds=3), None, {"validation_fraction": 0})


def test_a_file_holds_three_tables(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(
        '[search]\nsampler = "random"\ntrials = 7\n'
        "[space]\nlearning_rate = {low = 1e-4, high = 1e-2}\nhidden = [[64], [128, 64]]\n"
        "[train]\nepochs = 4\n"
    )
    search, space, train = read_file(path)
    assert search == {"sampler": "random", "trials": 7}
    assert space == {
        "learning_rate": {"low": 1e-4, "high": 1e-2}, "hidden": [[64], [128, 64]]
    }  # fmt: skip
    assert train == {"epochs": 4}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[search", "is not valid TOML"),
        ("\xff\xfe", "is not valid TOML|may hold"),
        ("epochs = 3", r"has 'epochs'; it may hold \[search\], \[space\] and \[train\]"),
        ("[spaces]\nx = 1", "has 'spaces'"),
        ("[search]\ntrails = 3", r"unknown option 'trails' in \[search\]; did you mean 'trials'"),
        ("[search]\ntrials = 'x'", "trials must be a whole number"),
        ("[train]\nthreads = 3", "unknown option 'threads' in"),
        ("[space]\nlearning_rate = {low = 1}", "learning_rate: a range is"),
        ("[space]\nwidth = [1, 2]", "'width' cannot be searched"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path, content, message):
    path = tmp_path / "space.toml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=message) as caught:
        read_file(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
