"""The notebooks as they are stored: whole, with their pictures, without traces of a machine.

That they run, and still show what is stored, is checked by ``python notebooks/rerun.py``.
"""

import ast
import base64
import importlib.util
import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
LESSONS = ("01_data", "02_baselines", "03_network", "04_tuning", "05_evaluation", "06_kernels")
NAMES = (*LESSONS, "solutions")
LARGEST = 1_500_000  # bytes
COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil"}
# A folder that only one machine has; "/" alone is a division or a fraction.
ABSOLUTE = re.compile(r"(?:(?<![\w./<])/(?:home|root|tmp|work|usr|opt|mnt|Users|var)/|[A-Z]:\\)")


def stored(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text("utf-8"))


@pytest.fixture(params=NAMES)
def notebook(request):
    return stored(request.param)


@pytest.fixture(params=LESSONS)
def lesson(request):
    return stored(request.param)


def prose_of(notebook):
    """Return the text of the cells that are no code."""
    return "\n".join(source_of(c) for c in notebook["cells"] if c["cell_type"] == "markdown")


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source_of(cell):
    return "".join(cell["source"])


def outputs_of(notebook):
    return [output for cell in code_cells(notebook) for output in cell["outputs"]]


def test_these_are_all():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_valid_and_not_too_large(name):
    nbformat = pytest.importorskip("nbformat")
    path = FOLDER / f"{name}.ipynb"
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert path.stat().st_size < LARGEST


def test_saved_as_it_ran_from_a_clean_kernel(notebook):
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not any("execution" in cell["metadata"] for cell in cells)  # times of day


def test_has_pictures_and_no_complaints(notebook):
    outputs = outputs_of(notebook)
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    pictures = [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) >= 2
    assert all(base64.b64decode("".join(p)).startswith(b"\x89PNG") for p in pictures)


def test_no_path_of_a_machine(notebook):
    texts = [source_of(cell) for cell in notebook["cells"]]
    for output in outputs_of(notebook):
        texts += output.get("text", [])
        for kind, content in output.get("data", {}).items():
            texts += [] if kind.startswith("image/") else content
    found = [text for text in texts if ABSOLUTE.search(text)]
    assert not found


@pytest.mark.parametrize("path", ["/home/me/x", "see /tmp/a.py:3", "'/Users/me'", r"C:\data"])
def test_such_a_path_would_be_found(path):
    assert ABSOLUTE.search(path)


@pytest.mark.parametrize("text", ["pixel / 255", "docs/tmp.md", "https://x.org/home/", "1/2"])
def test_others_are_none(text):
    assert not ABSOLUTE.search(text)


def test_imports_the_package_and_defines_no_kernels(notebook):
    trees = [ast.parse(source_of(cell)) for cell in code_cells(notebook)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {
        alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
    }
    assert any(name.split(".")[0] == "mnistcore" for name in modules)
    assert not any(name.split(".")[0] in ("numba", "cython", "ctypes") for name in modules)
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    assert not names & COMPILERS


def test_first_cell_says_what_to_install(notebook):
    assert 'pip install -e ".[notebooks' in source_of(notebook["cells"][0])


def test_has_exercises_and_says_what_to_notice(lesson):
    assert "## Exercises" in prose_of(lesson)
    assert prose_of(lesson).count("**What to notice.**") >= 3


def test_every_exercise_has_its_solution():
    exercises = [
        f"{number}.{exercise}"
        for number, name in enumerate(LESSONS, 1)
        for exercise in re.findall(
            r"^(\d+)\. ", prose_of(stored(name)).split("## Exercises")[1], re.MULTILINE
        )
    ]
    assert {exercise.split(".")[0] for exercise in exercises} == set("123456")
    solved = re.findall(r"\*\*(\d\.\d)\.?\*\*", prose_of(stored("solutions")))
    assert sorted(solved) == exercises


def test_links_lead_somewhere(lesson):
    links = [link for link in re.findall(r"\]\(([^)]+)\)", prose_of(lesson)) if "://" not in link]
    assert links
    assert all((FOLDER / link).exists() for link in links)


@pytest.fixture(scope="module")
def rerun():
    pytest.importorskip("nbclient")
    spec = importlib.util.spec_from_file_location("rerun", FOLDER / "rerun.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(text, *, tags=(), picture=False):
    """Return a notebook of one cell that printed a text, and perhaps showed a picture."""
    v4 = pytest.importorskip("nbformat").v4
    outputs = [v4.new_output("stream", text=text)]
    if picture:
        outputs.append(v4.new_output("display_data", data={"image/png": "", "text/plain": ""}))
    cell = v4.new_code_cell("run()", outputs=outputs, metadata={"tags": list(tags)})
    return v4.new_notebook(cells=[cell])


SAVED = "epoch 1   loss 0.5627   accuracy 93.48%   0.19 s\nwinner: relu"


@pytest.mark.parametrize(
    "now",
    [
        SAVED,
        "epoch 1   loss 0.51   accuracy 95.0%    12.4 s\nwinner: relu",
    ],
)
def test_the_same_in_kind_is_no_difference(rerun, now):
    assert not rerun.differences(shown(SAVED), shown(now))


@pytest.mark.parametrize(
    ("now", "part"),
    [
        (SAVED.replace("loss", "validation loss"), "validation loss"),
        (SAVED.replace("93.48", "9.80"), "83.7 points"),
        (SAVED.replace("relu", "tanh"), "tanh"),
        (SAVED + "\nanother line", "another line"),
        ("", "something else"),
    ],
)
def test_another_kind_is_a_difference(rerun, now, part):
    (difference,) = rerun.differences(shown(SAVED), shown(now))
    assert part in difference


def test_a_lost_picture_is_a_difference_even_where_words_vary(rerun):
    saved = shown("winner: relu", tags=["varies"], picture=True)
    assert not rerun.differences(saved, shown("winner: tanh", tags=["varies"], picture=True))
    assert rerun.differences(saved, shown("winner: tanh", tags=["varies"]))
