"""The chapters show what the command printed for the results that are kept."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from mnistcore.ladder import LADDERS, Climb, Rung
from mnistcore.ladder.command import _show

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", LADDERS)
def test_the_table_of_a_chapter_is_that_of_the_results(name):
    page = (ROOT / f"docs/ladder/{name}.md").read_text(encoding="utf-8")
    shown = re.search(rf"<!-- ladder {name}: begin -->\n```console\n(.*?)```", page, re.S)
    kept = json.loads((ROOT / f"benchmarks/results/ladder_{name}.json").read_text("utf-8"))
    rungs = [
        Rung(**rung | {"own_shape": rung["own_shape"] and tuple(rung["own_shape"])})
        for rung in kept["rungs"]
    ]
    peaks = {int(threads): peak for threads, peak in kept["peaks"].items()}
    climb = Climb(name, tuple(kept["shape"]), rungs, peaks, kept["missing"])
    printed = io.StringIO()
    _show(climb, Console(file=printed, width=80, highlight=False))
    lines = [line.rstrip() for line in printed.getvalue().splitlines()]
    assert shown.group(1).rstrip().splitlines()[-len(lines) :] == lines
