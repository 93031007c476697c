"""What the README shows works: its example, its commands' flags, its tables, its links."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.accuracy import table
from benchmarks.peers import tables
from benchmarks.peers.results import SECTIONS, read_results

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs():
    code = re.search(r"<!-- example -->\n```python\n(.*?)```", README, re.S).group(1)
    assert len(code.strip().splitlines()) <= 11
    exec(compile(code, "README.md", "exec"), {})


def test_the_accuracies_are_those_of_the_results():
    shown = re.search(r"<!-- accuracy: begin.*?-->\n(.*?)\n?<!-- accuracy: end -->", README, re.S)
    rows = json.loads((ROOT / "benchmarks/results/accuracy.json").read_text(encoding="utf-8"))
    assert shown.group(1) == table(rows)


def test_the_comparison_is_that_of_the_results(tmp_path):
    results = read_results(ROOT / "benchmarks/results/peers.json")
    assert min(len(results[section]) for section in SECTIONS) > 5
    before, rest = README.split(tables.BEGIN)
    copy = tmp_path / "README.md"
    copy.write_text(before + tables.BEGIN + tables.END + rest.split(tables.END)[1])
    tables.write_readme(copy, results)
    assert copy.read_text() == README


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()
