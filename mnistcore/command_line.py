"""What every command shares: its parser, its exit status, and errors of one line.

A command is a module with ``run`` for Python and ``main(argv)`` for the shell. Exit status: 0
done; 1 done, and the answer is bad (training diverged, a check failed); 2 a mistake in what was
asked; 130 stopped by Ctrl-C. A mistake of the user's is told in a line, a bug by its traceback.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from .backends import BackendUnavailableError
from .extras import MissingExtraError

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
        raise CommandError(_words(error)) from error


def run_command(
    command: str, body: Callable[[Sequence[str]], int], argv: Sequence[str] | None
) -> int:
    """Call ``body`` with the arguments and return the exit status, telling errors in a line.

    OSError and MemoryError are no bugs wherever they come from: disks are full, machines small.
    """
    try:
        status = body(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads the output has seen enough, as in `| head`
        _leave_stdout()
        return DONE
    except (CommandError, OSError, MemoryError) as error:
        print(f"mnistcore {command}: error: {_words(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"mnistcore {command}: interrupted", file=sys.stderr)
        return INTERRUPTED


def _words(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {error}".removesuffix(": ")
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _leave_stdout() -> None:
    """Point stdout elsewhere, so that the interpreter's last flush does not fail too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
