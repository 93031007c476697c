import pytest

from mnistcore.search.space import (
    Choices,
    Interval,
    Space,
    parse_entry,
    read_entries,
    train_options,
)


def space_of(**entries):
    return Space(read_entries(entries)[0])


def test_a_grid_is_every_combination_once():
    space = space_of(hidden=[[8], [16, 8]], learning_rate=[0.1, 0.2, 0.3])
    points = space.points()
    assert len(points) == 6
    assert {(p["hidden"], p["learning_rate"]) for p in points} == {
        (h, r) for h in ((8,), (16, 8)) for r in (0.1, 0.2, 0.3)
    }


def test_a_grid_leaves_out_the_momentum_of_adam():
    points = space_of(optimizer=["sgd", "adam"], momentum=[0.0, 0.5, 0.9]).points()
    assert points == [
        {"optimizer": "sgd", "momentum": 0.0},
        {"optimizer": "sgd", "momentum": 0.5},
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "adam"},
    ]


def test_switches_are_searched_where_there_is_something_to_switch():
    space = space_of(hidden=["none", [8]], batch_norm=[False, True], augment=[True, False])
    assert space.points() == [
        {"hidden": (), "augment": True},
        {"hidden": (), "augment": False},
        {"hidden": (8,), "batch_norm": False, "augment": True},
        {"hidden": (8,), "batch_norm": False, "augment": False},
        {"hidden": (8,), "batch_norm": True, "augment": True},
        {"hidden": (8,), "batch_norm": True, "augment": False},
    ]
    assert space.describe()[1:] == ["batch norm off, on", "augment on, off"]
    assert space.point_of({"hidden": "8", "augment": True})["augment"] is True
    assert read_entries({"batch_norm": True}) == ({}, {"batch_norm": True})


def test_strengths_are_searched_where_images_are_deformed():
    space = space_of(augment_strength=[1.0, 2.0], augment=[False, True])
    assert space.points() == [
        {"augment": False},
        {"augment": True, "augment_strength": 1.0},
        {"augment": True, "augment_strength": 2.0},
    ]
    assert space_of(augment_fade=[0.0, 0.5]).points() == [
        {"augment_fade": 0.0},
        {"augment_fade": 0.5},
    ]


def test_a_grid_takes_points_of_a_range():
    rate = {"low": 0.001, "high": 0.1, "points": 3}
    rates = [p["learning_rate"] for p in space_of(learning_rate=rate).points()]
    assert rates == pytest.approx([0.001, 0.01, 0.1])  # learning rates are logarithmic
    dropout = {"low": 0.0, "high": 0.4}
    shares = [p["dropout"] for p in space_of(dropout=dropout).points(5)]
    assert shares == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    layers = space_of(layers={"low": 1, "high": 3}, units=[4, 8]).points()
    assert [(p["layers"], p["units"]) for p in layers] == [
        (1, 4), (1, 8), (2, 4), (2, 8), (3, 4), (3, 8)
    ]  # fmt: skip


def test_the_ends_of_a_logarithmic_range_are_exact():
    values = [
        p["learning_rate"] for p in space_of(learning_rate={"low": 1e-4, "high": 0.3}).points(4)
    ]
    assert (values[0], values[-1]) == (1e-4, 0.3)


def test_one_value_is_fixed_and_many_are_searched():
    searched, fixed = read_entries({"epochs": 3, "hidden": [16, 8], "activation": ["relu", "tanh"]})
    assert searched == {"activation": Choices(("relu", "tanh"))}
    assert fixed == {"epochs": 3, "hidden": (16, 8)}


def test_layers_and_units_become_hidden():
    assert train_options({"layers": 3, "units": 20, "epochs": 2}) == {
        "hidden": (20, 20, 20), "epochs": 2
    }  # fmt: skip


def test_a_stored_point_is_read_back():
    space = space_of(hidden=[[8], [16, 8]], learning_rate={"low": 0.1, "high": 1.0})
    params = {"hidden": "16-8", "learning_rate": 0.5}
    assert space.point_of(params) == {"hidden": (16, 8), "learning_rate": 0.5}


@pytest.mark.parametrize(
    ("texts", "entry"),
    [
        (["3"], 3),
        (["0.5", "1e-3"], [0.5, 0.001]),
        (["relu", "tanh"], ["relu", "tanh"]),
        (["512-256"], "512-256"),
        (["1:3"], {"low": 1, "high": 3}),
        (["1e-4:1e-2:log"], {"low": 1e-4, "high": 1e-2, "log": True}),
        (["1:9:linear"], {"low": 1, "high": 9, "log": False}),
        (["on"], True),
        (["off", "on"], [False, True]),
        (["true", "false"], [True, False]),
    ],
)
def test_entries_of_the_command_line(texts, entry):
    assert parse_entry("--x", texts) == entry


@pytest.mark.parametrize("texts", [["1:"], [":3"], ["1:2:cubic"], ["1:2", "3:4"], ["1:2:3:4"]])
def test_a_range_that_is_none_is_refused(texts):
    with pytest.raises(ValueError, match="--x: a range is LOW:HIGH"):
        parse_entry("--x", texts)


def test_ranges_know_what_is_logarithmic():
    searched, _ = read_entries(
        {
            "layers": [1, 2],
            "units": {"low": 8, "high": 64},
            "learning_rate": {"low": 1e-3, "high": 1e-1},
            "weight_decay": {"low": 0.0, "high": 1e-1},
            "dropout": {"low": 0.1, "high": 0.5},
        }
    )
    assert searched["units"] == Interval(8, 64, True, log=True)
    assert searched["learning_rate"].log
    assert not searched["weight_decay"].log  # it begins at 0
    assert not searched["dropout"].log


BAD = [
    ({"colour": [1, 2]}, ValueError, "'colour' cannot be searched"),
    ({"learning_rate": []}, ValueError, "empty list"),
    ({"learning_rate": [0.1, 0.1]}, ValueError, "lists a value twice"),
    ({"learning_rate": [0.1, -1]}, ValueError, "learning_rate must be above 0"),
    ({"learning_rate": {"low": 0.1}}, ValueError, "a range is"),
    ({"learning_rate": {"low": 0.2, "high": 0.1}}, ValueError, "low must be below high"),
    ({"learning_rate": {"low": 0.1, "high": 0.2, "lg": True}}, ValueError, "a range is"),
    ({"learning_rate": {"low": "x", "high": 0.2}}, TypeError, "must be a number"),
    ({"learning_rate": {"low": 0.1, "high": 0.2, "log": 1}}, TypeError, "true or false"),
    ({"dropout": {"low": 0.0, "high": 0.2, "log": True}}, ValueError, "logarithmic"),
    ({"dropout": {"low": 0.0, "high": 1.0}}, ValueError, r"dropout must be in \[0, 1\)"),
    ({"batch_size": {"low": 16, "high": 64, "step": 100}}, ValueError, "step must fit"),
    ({"batch_size": [16.5, 32]}, TypeError, "whole number"),
    ({"batch_norm": {"low": False, "high": True}}, ValueError, "not a number"),
    ({"augment": ["on", "off"]}, TypeError, "augment must be true or false, got 'on'"),
    ({"activation": {"low": 1, "high": 2}}, ValueError, "not a number"),
    ({"activation": ["relu", "gelu"]}, ValueError, "activation must be one of"),
    ({"units": [8, 16]}, ValueError, "layers and units belong together"),
    ({"units": [8], "layers": [1], "hidden": [[8], [9]]}, ValueError, "either hidden, or"),
    ({"hidden": ["12-x", "8"]}, TypeError, "hidden must be a whole number"),
]


@pytest.mark.parametrize(("entries", "kind", "message"), BAD)
def test_a_bad_entry_is_refused(entries, kind, message):
    with pytest.raises(kind, match=message):
        read_entries(entries)


def test_a_grid_of_a_range_needs_points():
    with pytest.raises(ValueError, match="learning_rate is a range: say how many"):
        space_of(learning_rate={"low": 0.1, "high": 0.2}).points()


def test_an_absurd_grid_is_refused():
    entries = {name: {"low": 1, "high": 10**5} for name in ("batch_size", "epochs")}
    with pytest.raises(ValueError, match="at most 100,000"):
        space_of(**entries).points(1000)
