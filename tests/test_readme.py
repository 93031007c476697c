"""What the README shows works: its example, its commands' flags, its tables, its links."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.accuracy import table

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


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()
