import pytest
from small_digits import write_small_digits

from mnistcore.train import run
from mnistcore.training.config import TrainConfig
from mnistcore.training.recipes import DEFAULT_RECIPE, RECIPES


def test_the_well_known_networks_are_there():
    hidden = {name: recipe.settings["hidden"] for name, recipe in RECIPES.items()}
    assert hidden["tanh-10-10"] == (10,)
    assert hidden["relu-two-hidden"] == (128, 64)
    assert hidden["relu-1024-128"] == (1024, 128)
    assert RECIPES["tanh-10-10"].settings["epochs"] == 100
    assert RECIPES["tanh-10-10"].settings["optimizer"] == "sgd"


def test_every_recipe_sets_the_same_options():
    wanted = RECIPES[DEFAULT_RECIPE].settings.keys()
    assert all(recipe.settings.keys() == wanted for recipe in RECIPES.values())


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_config(name):
    assert TrainConfig(recipe=name).recipe == name


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_on_other_images(name, tmp_path):
    """Of another size and with other classes, from a folder of IDX files."""
    data = str(write_small_digits(tmp_path / "data"))
    result = run(TrainConfig(recipe=name, data=data, epochs=3, output=str(tmp_path / "run")))
    assert result.model.network.layer_sizes[0] == 36
    assert result.summary["test_accuracy"] > 0.5  # of four classes


def test_an_epoch_of_the_default_recipe_on_mnist(kernels, mnist_dir, tmp_path):
    backend = kernels.NAME
    config = TrainConfig(
        backend=backend, data_dir=mnist_dir, epochs=1, output=str(tmp_path / "run")
    )
    (record,) = run(config).history
    # Five seeds of the reference lie between 96.2 and 96.9 %.
    assert 0.957 < record.validation_accuracy < 0.974
