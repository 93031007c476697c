"""What is built from a checkout: the files, the metadata, and a build whose compiler fails."""

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import mnistcore

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
WEIGHTS = "mnistcore/pictures/likeness.safetensors"
PAGE = ROOT / "mnistcore" / "serve" / "page"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what is under version control."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("checkout")
    for name in git("ls-files"):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def run_setup(folder, *arguments, **environment):
    """``setup.py`` in a folder: its exit status and what it printed."""
    pytest.importorskip("Cython", reason="the builds need Cython beside this Python")
    # CI requires the extensions; what a test requires it says itself.
    inherited = {key: value for key, value in os.environ.items() if "REQUIRE_CYTHON" not in key}
    done = subprocess.run(
        [sys.executable, "setup.py", *arguments],
        cwd=folder, env={**inherited, **environment}, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def project():
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("pyproject.toml is in the source folder only")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_metadata_is_the_package(project):
    assert metadata.version("mnistcore") == mnistcore.__version__
    (script,) = metadata.entry_points(group="console_scripts", name="mnistcore")
    assert script.value == project["scripts"]["mnistcore"]
    assert callable(script.load())


def test_extra_all_is_those_for_users(project):
    extras = project["optional-dependencies"]
    (everything,) = extras["all"]
    named = re.fullmatch(r"mnistcore\[(.*)\]", everything).group(1).split(",")
    assert set(named) == set(extras) - {"all", "dev", "docs", "peers"}


def test_every_import_of_the_package_is_a_dependency(project):
    """What a module imports is installed with it, or belongs to an extra."""
    listed = [
        *project["dependencies"],
        *itertools.chain(*project["optional-dependencies"].values()),
    ]
    known = {re.match(r"[\w-]+", name).group().lower().replace("-", "_") for name in listed}
    known |= {"pil", "sklearn", "llvmlite", "mnistcore", "mpl_toolkits", "arro3"}
    for file in (ROOT / "mnistcore").rglob("*.py"):
        for name in imported(file):
            assert name in sys.stdlib_module_names or name.lower() in known, f"{file}: {name}"


def imported(file):
    """The packages that a module imports by their full names."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def test_version_control_hides_no_source():
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    patterns = ("*.py", "*.pyx", "*.pxi")
    files = [file for pattern in patterns for file in (ROOT / "mnistcore").rglob(pattern)]
    command = ["git", "check-ignore", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")


def test_source_distribution_is_complete(checkout):
    """It holds what a build needs and nothing that a build made."""
    status, output = run_setup(checkout, "-q", "sdist")
    assert status == 0, output
    (archive,) = (checkout / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    for wanted in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", WEIGHTS):
        assert wanted in names
    for file in PAGE.iterdir():
        assert str(file.relative_to(ROOT)) in names
    for folder in ("benchmarks", "docs", "notebooks", "tests"):
        for file in (file for file in (checkout / folder).rglob("*") if file.is_file()):
            assert str(file.relative_to(checkout)) in names
    for source in (checkout / "mnistcore").rglob("*.p*"):
        if source.suffix in (".py", ".pyx", ".pxi"):
            assert str(source.relative_to(checkout)) in names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_an_installation_has_the_package_and_no_sources_of_kernels(checkout):
    """Beside Python: the weights of the judge, the page, the ladder, the mark of types."""
    status, output = run_setup(checkout, "-q", "build_py", "--build-lib", "built")
    assert status == 0, output
    files = [path for path in (checkout / "built").rglob("*") if path.is_file()]
    others = {path.relative_to(checkout / "built") for path in files if path.suffix != ".py"}
    page = {file.relative_to(ROOT) for file in PAGE.iterdir()}
    steps = {file.relative_to(ROOT) for file in ROOT.glob("mnistcore/ladder/*/steps.pxi")}
    assert len(steps) == 4  # which --explain shows
    assert others == {Path(WEIGHTS), Path("mnistcore/py.typed"), *page, *steps}
    assert Path("mnistcore/serve/page/index.html") in page
    assert {path.name for path in (checkout / "built").iterdir()} == {"mnistcore"}
    assert (checkout / "built" / WEIGHTS).read_bytes() == (ROOT / WEIGHTS).read_bytes()


STALE = """
import os
import sys
from setuptools import Distribution
import setup
(module,) = [module for module in setup.extensions() if module.name.endswith("_cython.baseline")]
command = setup.BuildKernels(Distribution({"ext_modules": [module]}))
command.inplace = True
command.ensure_finalized()
print(command.is_stale(module))
command.path(module).touch()
print(command.is_stale(module))
for source in sys.argv[1:]:
    os.utime(source, (2e9, 2e9))
    print(command.is_stale(module))
command.path(module).unlink()
"""


def test_only_what_is_older_than_its_sources_is_built_again(checkout):
    sources = ["ladder/matmul/steps.pxi", "kernels/_cython/tile.pxi"]  # the second is a part of it
    done = subprocess.run(
        [sys.executable, "-c", STALE, *(f"mnistcore/{source}" for source in sources)],
        cwd=checkout, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "False", "False", "True"], done.stderr


BROKEN = {"CC": "false", "MNISTCORE_CYTHON_ISA": "baseline"}


@pytest.fixture(scope="module")
def short_sources(checkout, tmp_path_factory):
    """The checkout with modules that are empty, because Cython takes long over the whole ones."""
    folder = shutil.copytree(checkout, tmp_path_factory.mktemp("short") / "checkout")
    for source in (folder / "mnistcore").rglob("*.pyx"):
        source.write_text("")
    return folder


def test_a_failing_compiler_does_not_break_the_build(short_sources):
    """Nor does it leave a module of older sources, which would be used without a word."""
    old = short_sources / "mnistcore/kernels/_cython" / f"baseline{SUFFIX}"
    old.touch()
    os.utime(old, (0, 0))
    status, output = run_setup(short_sources, "build_ext", "--inplace", **BROKEN)
    assert status == 0, output
    assert "not built: mnistcore.kernels._cython." in output
    assert not list((short_sources / "mnistcore").rglob("*.so"))


def test_a_failing_compiler_fails_where_kernels_are_required(short_sources):
    status, output = run_setup(
        short_sources, "build_ext", "--inplace", **BROKEN, MNISTCORE_REQUIRE_CYTHON="1"
    )
    assert status != 0
    assert "'false'" in output
