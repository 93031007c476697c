"""The notebooks as they are stored: whole, with their pictures, without traces of a machine.

That they run is checked by ``pytest --nbmake notebooks``.
"""

import ast
import base64
import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = ("01_data", "02_baselines", "03_network", "04_tuning", "05_evaluation", "06_kernels")
LARGEST = 1_500_000  # bytes
COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil"}
# A folder that only one machine has; "/" alone is a division or a fraction.
ABSOLUTE = re.compile(r"(?:(?<![\w./<])/(?:home|root|tmp|work|usr|opt|mnt|Users|var)/|[A-Z]:\\)")


@pytest.fixture(params=NAMES)
def notebook(request):
    return json.loads((FOLDER / f"{request.param}.ipynb").read_text("utf-8"))


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


def test_first_cell_says_what_to_install_and_reads_the_quick_setting_once(notebook):
    assert 'pip install -e ".[notebooks' in source_of(notebook["cells"][0])
    settings = [
        line
        for cell in code_cells(notebook)
        for line in source_of(cell).splitlines()
        if "MNISTCORE_NOTEBOOK_QUICK" in line
    ]
    assert len(settings) == 1
    assert settings[0] in source_of(code_cells(notebook)[0])


def test_has_exercises_and_says_what_to_notice(notebook):
    text = "\n".join(source_of(c) for c in notebook["cells"] if c["cell_type"] == "markdown")
    assert "## Exercises" in text
    assert text.count("**What to notice.**") >= 3


def test_links_lead_somewhere(notebook):
    text = "\n".join(source_of(c) for c in notebook["cells"] if c["cell_type"] == "markdown")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links
    assert all((FOLDER / link).exists() for link in links)
