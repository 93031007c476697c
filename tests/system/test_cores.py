"""Where the threads of a team wake up."""

import os
import threading

import pytest

from mnistcore.kernels import threads as teams
from mnistcore.system import cores

several_cores = pytest.mark.skipif(
    len(cores.allowed_cores()) < 2, reason="needs two cores, and a system that names them"
)


@pytest.mark.parametrize(
    ("last", "caller", "allowed", "expected"),
    [
        ([1, 2, 3], 0, {0, 1, 2, 3}, {}),  # each on a core of its own
        ([1, 0, 3], 0, {0, 1, 2, 3}, {1: 2}),  # the caller came to where the second was
        ([1, 1, 3], 0, {0, 1, 2, 3}, {1: 2}),
        ([-1, -1, -1], 2, {0, 1, 2, 3}, {0: 0, 1: 1, 2: 3}),  # new threads
        ([5], 0, {0, 1}, {0: 1}),  # a core that is not for us any more
        ([0, -1], 0, {0, 1}, {0: 1}),  # more threads than cores: the rest stays as it is
        ([0], 0, {0}, {}),
        ([-1, -1], -1, set(), {}),  # a system that names no cores
        ([-1, -1], -1, {0, 1, 2}, {}),  # or not the one that a thread is on
    ],
)
def test_a_thread_moves_where_another_has_its_core(last, caller, allowed, expected):
    assert cores.moves(last, caller, allowed) == expected


@several_cores
def test_a_member_wakes_up_beside_its_caller_and_may_roam_from_there(monkeypatch):
    monkeypatch.setattr(teams, "_team", teams._Team())
    done = threading.Event()
    (member,) = teams._team._first(2)
    member.send(done.set)
    assert done.wait(10)
    restricted, seen = [], []
    available = cores.allowed_cores()
    caller = min(available)

    def restrict(thread, cores, restrict=cores.restrict):
        restricted.append(cores)
        restrict(thread, cores)

    def work():
        seen.append(os.sched_getaffinity(0))
        done.set()

    monkeypatch.setattr(cores, "restrict", restrict)
    monkeypatch.setattr(cores, "current_core", lambda: caller)
    member.core = caller  # as if the caller had come to where the member ran
    done.clear()
    teams._team._first(2)
    member.send(work)
    assert done.wait(10)
    (core,) = restricted[0]
    assert core in available - {caller}
    assert restricted[1:] == seen == [available]


@several_cores
def test_a_thread_that_may_not_be_moved_is_left_alone():
    cores.restrict(0, {10_000})  # no such core
    assert 10_000 not in cores.allowed_cores()
