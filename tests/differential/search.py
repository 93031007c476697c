"""Try random cases, each in a process of its own, and make one that fails as simple as possible."""

import dataclasses
import faulthandler
import os
import pickle
import random
import select
import signal
import time
import traceback

from .cases import draw, simpler
from .checks import Comparison, check

GROUP = 20  # cases that a process computes one after the other
PATIENCE = 300  # seconds for them, also on a busy machine under a sanitizer
SHRINKING = 300  # seconds to make one simpler
WARM = 60  # cases that this process computes as well: a child has what its parent has compiled


class FailureError(AssertionError):
    """A case that a backend computes wrong, or that ends its process."""


def attempt_with(kernels):
    """A function that checks a case: it returns how many numbers it compared, and the worst."""

    def attempt(case):
        comparison = Comparison()
        check(case, kernels, comparison)
        return comparison.compared, float(comparison.worst), case

    return attempt


def in_a_child(function):
    """Call a function in a forked process: return what it returns, or raise a FailureError.

    Also if it crashes or hangs.
    """
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(function, writable)
    os.close(writable)
    answer = b""
    try:
        deadline = time.monotonic() + PATIENCE
        while select.select([readable], [], [], max(0, deadline - time.monotonic()))[0]:
            if not (part := os.read(readable, 2**16)):
                break
            answer += part
        else:
            os.kill(child, signal.SIGKILL)
    finally:
        os.close(readable)
        _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        raise FailureError("hangs" if name == "SIGKILL" else f"ends with {name}")
    if not answer:
        raise FailureError(f"ends with status {os.waitstatus_to_exitcode(status)}")
    words, result = pickle.loads(answer)
    if words:
        raise FailureError(words)
    return result


def _answer(function, writable):
    """The child's part: it ends here."""
    faulthandler.disable()  # the parent tells of a crash
    answer = "", None
    try:
        answer = "", function()
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        answer = f"{type(error).__name__}: {error} ({place.name})"[:2000], None
    with open(writable, "wb") as pipe:
        pickle.dump(answer, pipe)
    os._exit(0)


class Search:
    """A search for a case that fails."""

    def __init__(self, attempt, seed=0):
        self._attempt, self._rng = attempt, random.Random(seed)
        self.tried, self.results = 0, []

    def run(self, cases, seconds=float("inf")):
        """Try cases until one fails, there were enough, or time is up.

        Returns the simplest case that fails and what is wrong, or None.
        """
        end = time.monotonic() + seconds
        while self.tried < cases and time.monotonic() < end:
            group = [draw(self._rng) for _ in range(min(GROUP, cases - self.tried))]
            self.tried += len(group)
            if words := self._fails(*group):
                return self._simplest_of(group, words)
            if self.tried <= WARM:
                for case in group:
                    self._attempt(dataclasses.replace(case, threads=1))
        return None

    def _fails(self, *cases):
        """What is wrong with a case, or with one of several; or an empty string."""
        try:
            self.results += in_a_child(lambda: [self._attempt(case) for case in cases])
        except FailureError as error:
            return str(error)
        return ""

    def _simplest_of(self, cases, words):
        """Find the case that fails, and make it simpler as long as it does, for some minutes."""
        end = time.monotonic() + SHRINKING
        for case in cases:
            if found := self._fails(case):
                words = found
                break
        else:
            return case, f"only after {len(cases) - 1} other cases or less: {words}"
        while time.monotonic() < end:
            for other in simpler(case):
                if found := self._fails(other):
                    case, words = other, found
                    break
            else:
                break
        return case, words
