"""Ctrl-C deferred: noted, obeyed at the next check or at the end, and never lost."""

import signal
import threading

import pytest
from interruptions import interrupted_everywhere

from mnistcore.system.interrupt import (
    ENDING,
    DeferredInterrupt,
    Signalled,
    answered,
    leave_to_system,
)


@pytest.fixture(autouse=True)
def _own_handler():
    """The handler of a fresh interpreter, and that again afterwards."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def _press():
    signal.raise_signal(signal.SIGINT)


def _deferring(*actions):
    """Do some things with Ctrl-C deferred; those that were done, and whether it was raised."""
    interrupt, done = DeferredInterrupt(), []

    def work():
        for action in actions:
            interrupt.check() if action == "check" else _press()
            done.append(action)

    try:
        interrupt.during(work)
    except KeyboardInterrupt:
        return done, True
    return done, False


@pytest.mark.parametrize(
    ("actions", "done", "raised"),
    [
        (["check", "check"], 2, False),
        (["check", "press", "check", "check"], 2, True),
        (["press", "press", "check"], 1, True),  # the second is obeyed at once
        (["check", "press"], 2, True),  # too late for a check: obeyed at the end
    ],
)
def test_when_it_is_obeyed(actions, done, raised):
    assert _deferring(*actions) == (actions[:done], raised)


def test_the_second_ctrl_c_is_obeyed_at_once_after_another_signal():
    interrupt, done = DeferredInterrupt(ENDING), []

    def work():
        signal.raise_signal(signal.SIGTERM)
        for press in range(3):
            _press()
            done.append(press)

    with pytest.raises(KeyboardInterrupt):
        interrupt.during(work)
    assert done == [0]


def test_one_that_was_raised_and_caught_is_not_raised_again():
    interrupt = DeferredInterrupt()

    def work():
        _press()
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
        return "done"

    assert interrupt.during(work) == "done"


@pytest.mark.parametrize("numbers", [[15], [1], [15, 1, 15], [1, 2], [2, 15, 15]])
def test_other_signals_are_deferred_if_wanted_and_never_obeyed_at_once(numbers):
    interrupt, done = DeferredInterrupt(ENDING), []

    def work():
        for number in numbers:
            signal.raise_signal(number)
            done.append(number)

    with pytest.raises(Signalled) as caught:
        interrupt.during(work)
    assert done == numbers
    assert caught.value.number == interrupt.number == numbers[0]
    assert all(signal.getsignal(number) is signal.SIG_DFL for number in (15, 1))


def test_a_command_that_starts_leaves_ctrl_c_to_the_system():
    leave_to_system()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    with pytest.raises(KeyboardInterrupt), answered():
        _press()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave_to_system()
    with answered():
        _press()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_error_in_the_block_is_not_hidden():
    def work():
        _press()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        DeferredInterrupt().during(work)


def test_a_program_with_its_own_handler_and_other_threads_are_left_alone():
    seen = []
    signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    DeferredInterrupt().during(_press)
    assert seen == [1]
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def work():
        seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=DeferredInterrupt().during, args=(work,))
    thread.start()
    thread.join()
    assert seen[1] is signal.default_int_handler


def test_ctrl_c_works_whatever_moment_another_signal_cuts_the_block_off():
    def job():
        DeferredInterrupt().during(int)

    moments = 0
    for _ in interrupted_everywhere(job, ("interrupt.py", "signal.py")):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                _press()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        moments += 1
    assert moments > 10
