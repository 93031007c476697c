"""What every command shares: its parser, its exit status, and errors of one line.

A command is a module with ``run`` for Python and ``main(argv)`` for the shell. Exit status: 0
done; 1 done, and the answer is bad (training diverged, a check failed); 2 a mistake in what was
asked; 130 stopped by Ctrl-C. A mistake of the user's is told in a line, a bug by its traceback.
"""

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from ..kernels.backends import BackendUnavailableError
from ..system.errors import error_words
from ..system.extras import MissingExtraError

DONE = 0
BAD_RESULT = 1
BAD_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, what a shell reports of a program stopped by Ctrl-C

_USER_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    BackendUnavailableError,
    MissingExtraError,
    MemoryError,
)


class CommandError(Exception):
    """Something is wrong with what the user asked for; the message is all they see."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are CommandErrors and whose flags are written in full."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(prog=f"mnistcore {command}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise CommandError(message)


@contextmanager
def user_errors() -> Iterator[None]:
    """Within this block, bad values, files that cannot be read and the like are the user's.

    Only what handles input belongs into it: elsewhere a ValueError is a bug and shows as one.
    """
    try:
        yield
    except _USER_ERRORS as error:
        raise CommandError(error_words(error)) from error


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Say on a terminal what takes a moment, as long as it takes; elsewhere say nothing."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


def run_command(
    command: str, body: Callable[[Sequence[str]], int], argv: Sequence[str] | None
) -> int:
    """Call ``body`` with the arguments and return the exit status, telling errors in a line.

    OSError and MemoryError are no bugs wherever they come from: disks are full, machines small.
    A letter that standard output cannot encode is written as an escape, as on standard error.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = body(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads the output has seen enough, as in `| head`
        _leave_stdout()
        return DONE
    except (CommandError, OSError, MemoryError) as error:
        complain(command, error_words(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"mnistcore {command}: interrupted", file=sys.stderr)
        return INTERRUPTED


def complain(command: str, message: str) -> None:
    """Tell what is wrong in a line on stderr."""
    print(f"mnistcore {command}: error: {message}", file=sys.stderr)


def _leave_stdout() -> None:
    """Point stdout elsewhere, so that the interpreter's last flush does not fail too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
