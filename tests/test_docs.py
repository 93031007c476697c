"""Check what the pages say: the example, the tables, the links, the imports, the functions."""

import ast
import importlib
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import ablation, accuracy, backprop
from benchmarks.peers import tables
from benchmarks.peers.results import SECTIONS, read_results

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "docs/ladder/*.md", "notebooks/*.ipynb")
    for path in sorted(ROOT.glob(pattern))
]


def text_of(page):
    """Return the text of a page, or of the cells of a notebook."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return text


def test_the_example_runs():
    code = re.search(r"<!-- example -->\n```python\n(.*?)```", README, re.S).group(1)
    assert len(code.strip().splitlines()) <= 11
    exec(compile(code, "README.md", "exec"), {})


def test_the_python_of_the_first_page_runs(place, monkeypatch, capsys):
    monkeypatch.setenv("MNISTCORE_DATA_DIR", str(place.parent / "data"))
    code = re.search(r"<!-- python -->\n```python\n(.*?)```", README, re.S).group(1)
    exec(compile(code, "README.md", "exec"), {})
    accuracy, folder = capsys.readouterr().out.splitlines()[0].split()
    assert float(accuracy) > 0.9
    assert (place / folder / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "page", "table"),
    [
        ("accuracy", "README.md", accuracy.table),
        ("ablation", "docs/accuracy.md", ablation.table),
        ("backprop", "docs/backprop.md", backprop.markdown),
    ],
)
def test_the_tables_are_those_of_the_results(name, page, table):
    text = (ROOT / page).read_text(encoding="utf-8")
    shown = re.search(rf"<!-- {name}: begin.*?-->\n(.*?)\n?<!-- {name}: end -->", text, re.S)
    file = ROOT / "benchmarks/results" / f"{name}.json"
    assert shown.group(1) == table(json.loads(file.read_text(encoding="utf-8")))


def test_the_comparison_is_that_of_the_results(tmp_path):
    results = read_results(ROOT / "benchmarks/results/peers.json")
    assert min(len(results[section]) for section in SECTIONS) > 5
    before, rest = README.split(tables.BEGIN)
    copy = tmp_path / "README.md"
    copy.write_text(before + tables.BEGIN + tables.END + rest.split(tables.END)[1])
    tables.write_readme(copy, results)
    assert copy.read_text() == README


def test_the_floor_is_computed_from_the_measured_peaks():
    page = text_of(Path("docs/speed.md"))
    peaks = {
        int(cores): limit["gflops"]
        for cores, limit in read_results(ROOT / "benchmarks/results/peers.json")["ceilings"].items()
    }
    assert f"does {peaks[1]:.0f} GFLOP/s, and two do {peaks[2]:.0f}." in page
    row = r"^\| (784-[\d-]+), \d+ \| ([\d,]+\.?\d*) GFLOP \|(.+?)s \|(.+?)s \|"
    rows = re.findall(row, page, re.MULTILINE)
    assert len(rows) == 4
    for network, work, *seconds in rows:
        sizes = list(map(int, network.split("-")))
        products = [fan_in * fan_out for fan_in, fan_out in pairwise(sizes)]
        operations = 60_000 * (6 * sum(products) - 2 * products[0]) / 1e9
        assert operations == pytest.approx(float(work.replace(",", "")), rel=0.02)
        for cores, shown in zip((1, 2), map(float, seconds), strict=True):
            assert operations / peaks[cores] == pytest.approx(shown, rel=0.03, abs=0.0051)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text_of(page))
    missing = [link for link in links if not (ROOT / page.parent / link).exists()]
    assert not missing


def test_the_site_lists_every_page():
    listed = set((ROOT / "docs" / "index.rst").read_text(encoding="utf-8").split())
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= listed


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_imports_find_what_they_name(page):
    statement = r"^\s*(?:>>> )?(from mnistcore[\w.]* import (?:\([^)]*\)|[^(\n]+))"
    for line in re.findall(statement, text_of(page), re.MULTILINE):
        (node,) = ast.parse(line).body
        module = importlib.import_module(node.module)
        for alias in node.names:
            if not hasattr(module, alias.name):
                importlib.import_module(f"{node.module}.{alias.name}")


def test_the_pages_have_links_and_imports():
    """There are links and imports for the two tests above to check."""
    texts = [text_of(page) for page in PAGES]
    assert sum("](" in text for text in texts) > 5
    assert sum("from mnistcore" in text for text in texts) > 8


def defined(file, name):
    """Return whether a source file has a function, class or ``Class.method``."""
    source = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        return re.search(rf"^\s*(?:cdef|cpdef|def) .*\b{name.split('.')[-1]}\(", source, re.M)
    body = ast.parse(source).body
    for part in name.split("."):
        found = [node for node in body if getattr(node, "name", None) == part]
        if not found:
            return False
        body = getattr(found[0], "body", [])
    return True


def test_the_way_of_a_step_exists():
    """Each stop on the architecture page names a file and functions in it."""
    text = text_of(Path("docs/architecture.md"))
    stops = re.findall(r"^\| \d+ \| \[`[^`]+`\]\(\.\./([^)]+)\) \| (.+?) \|", text, re.M)
    assert len(stops) >= 8
    for path, names in stops:
        for name in re.findall(r"`([\w.]+)`", names):
            assert defined(ROOT / path, name), f"{path} has no {name}"
    assert not defined(ROOT / stops[0][0], "no_such_function")
