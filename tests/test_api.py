"""The public names of the package, however they are imported, and what `help()` says."""

import ast
import dataclasses
import inspect
import re
import subprocess
import sys

import pytest

import mnistcore
from mnistcore.__main__ import COMMANDS

CONFIGS = ("TrainConfig", "SearchConfig", "EvaluateConfig", "ReportConfig", "ServeConfig")


def python(code, *options):
    """Run code in a fresh process and return what it printed."""
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_can_be_called(name, monkeypatch):
    module = getattr(mnistcore, name)
    try:
        expected = inspect.signature(module.run)
    except ImportError:
        pytest.skip("the command needs an extra")
    assert callable(module.main)
    assert inspect.signature(module) == expected
    monkeypatch.setattr(module, "run", lambda *args, **kwargs: (args, kwargs))
    assert module(1, two=2) == ((1,), {"two": 2})


@pytest.mark.parametrize(
    "imports",
    [
        "import mnistcore",
        "import mnistcore.train",
        "from mnistcore.train import TrainConfig, run; import mnistcore",
        "from mnistcore import train; import mnistcore",
        "import mnistcore.train as t; import mnistcore; assert t.run",
        "import mnistcore; mnistcore.train; import mnistcore.train",
        "import mnistcore.runs.execution, mnistcore.report",
        "from mnistcore import *; import mnistcore",
    ],
)
def test_the_order_of_imports_does_not_matter(imports):
    code = f"""
{imports}
import sys
assert mnistcore.train is sys.modules["mnistcore.train"]
try:
    mnistcore.train(mnistcore.TrainConfig(data="nowhere"))
except ValueError as error:
    print(error)
"""
    assert python(code).startswith("nowhere: ")


def test_the_module_still_runs_as_a_script():
    done = subprocess.run(
        [sys.executable, "-m", "mnistcore.train", "--list-recipes"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "relu-two-hidden" in done.stdout


def test_a_type_checker_sees_the_names_that_are_imported_on_first_use():
    tree = ast.parse(inspect.getsource(mnistcore))
    blocks = (n for n in tree.body if isinstance(n, ast.If))
    (block,) = (n for n in blocks if ast.unparse(n.test) == "TYPE_CHECKING")
    seen = {alias.asname or alias.name for node in block.body for alias in node.names}
    assert seen == {*mnistcore._HOMES, *mnistcore._COMMANDS}
    assert set(mnistcore._COMMANDS) == set(COMMANDS)


def test_every_name_is_listed_and_there():
    pytest.importorskip("sklearn")
    names = {*mnistcore.__all__, "MLPClassifier", "MLPRegressor"}
    assert names <= set(dir(mnistcore))
    assert all(getattr(mnistcore, name) is not None for name in dir(mnistcore))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = mnistcore.trian


def test_help_works_without_the_extras():
    """No name that is listed, and no star import, needs an optional library."""
    code = """
import sys
sys.modules["optuna"] = None
class NoSklearn:
    def find_spec(self, name, path=None, target=None):
        if name == "sklearn":
            raise ModuleNotFoundError(name)
import importlib.util as util
there = util.find_spec
util.find_spec = lambda name, package=None: None if name == "sklearn" else there(name, package)
sys.meta_path.insert(0, NoSklearn())
from mnistcore import *
import mnistcore, pydoc
assert "MLPClassifier" not in dir(mnistcore)
text = pydoc.plain(pydoc.render_doc(mnistcore))
assert "TrainConfig" in text
try:
    mnistcore.MLPClassifier
except ImportError as error:
    print(error)
"""
    assert "scikit-learn" in python(code)


@pytest.mark.parametrize("name", CONFIGS)
def test_help_describes_every_option(name):
    cls = getattr(mnistcore, name)
    text = inspect.getdoc(cls)
    parameters, _, raises = text.partition("Raises\n------\n")
    assert raises
    for field in dataclasses.fields(cls):
        described = re.search(rf"^{field.name} : (.+)\n    (.+)", parameters, re.M)
        assert described, field.name
        option = field.metadata["option"]
        assert option.help.startswith(described.group(2)[:25])
        shown = option.shown_default or repr(field.default)
        assert described.group(1).endswith(f"default {shown}")
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_help_describes_every_parameter_of_an_estimator(name):
    pytest.importorskip("sklearn")
    cls = getattr(mnistcore, name)
    described, _, _ = inspect.getdoc(cls).partition("Attributes\n")
    listed = re.findall(r"^(\w+(?:, \w+)*)\n    \S", described, re.M)
    known = {one for names in listed for one in names.split(", ")}
    assert set(inspect.signature(cls).parameters) <= known


def test_options_are_documented_where_docstrings_are_stripped():
    assert "learning_rate : float" in python(
        "import mnistcore; print(mnistcore.TrainConfig.__doc__)", "-OO"
    )
