"""The list of planted bugs is up to date, and the command plants bugs: two of them."""

import ast
import re
import shlex

import pytest

from .bugs import PAGE, ROOT, Bug, all_bugs, bugs_about, page
from .copies import Copy

BUGS = {bug.name: bug for bug in all_bugs()}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return Copy(tmp_path_factory.mktemp("copy"))


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_fits_its_file(name):
    source = (ROOT / BUGS[name].file).read_text()
    planted = BUGS[name].planted(source)
    assert planted != source
    if BUGS[name].file.endswith(".py"):
        assert ast.dump(ast.parse(planted)) != ast.dump(ast.parse(source))


@pytest.mark.parametrize("name", BUGS)
def test_the_tests_of_a_bug_are_there(name):
    file, test = re.fullmatch(r"(\S+)::(\w+)", shlex.split(BUGS[name].tests)[0]).groups()
    assert f"\ndef {test}(" in (ROOT / file).read_text()


def test_the_page_lists_the_bugs():
    assert PAGE.read_text() == page(BUGS.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one-epoch-too-patient", "wilson-z-of-1-7"])
def test_a_planted_bug_is_caught(copy, name):
    before = (copy.folder / BUGS[name].file).read_text()
    with copy.with_bug(BUGS[name]):
        outcome = copy.run(BUGS[name].tests)
    assert outcome.failure.startswith(shlex.split(BUGS[name].tests)[0]), outcome.output
    assert (copy.folder / BUGS[name].file).read_text() == before


@pytest.mark.slow
def test_what_is_no_bug_is_not_caught(copy):
    file, tests = "mnistcore/models/metrics.py", BUGS["confusion-transposed"].tests
    harmless = Bug("a comment", "", file, "Z_95 = ", "# 95 %\nZ_95 = ", tests)
    with copy.with_bug(harmless):
        outcome = copy.run(tests)
    assert outcome.failure == "", outcome.output
    assert "1 passed" in outcome.output


def test_a_stale_list_is_refused():
    bug = Bug("stale", "", "file.py", "a + b", "a - b", "")
    for source, times in (("a * b", 0), ("a + b, a + b", 2)):
        with pytest.raises(ValueError, match=rf"stale: file.py has the text {times} times"):
            bug.planted(source)


def test_bugs_are_chosen_by_name_and_file():
    assert [bug.name for bug in bugs_about(["wilson", "pxi", "geometric"])][-2:] == [
        "geometric-mean", "wilson-z-of-1-7"
    ]  # fmt: skip
    assert bugs_about([]) == list(BUGS.values())
    with pytest.raises(ValueError, match="no bug has 'nonsense'"):
        bugs_about(["wilson", "nonsense"])
