"""Shared by all commands: the parser, the exit statuses and one-line error messages.

A command is a module with ``run`` for Python and ``main(argv)`` for the shell. Exit status: 0
on success; 1 if the result is bad (training diverged, a check failed); 2 for a user error;
130 after Ctrl-C. User errors are reported in one line, bugs with a traceback.
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
INTERRUPTED = 130  # 128 + SIGINT, as shells report a program stopped by Ctrl-C

_USER_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    BackendUnavailableError,
    MissingExtraError,
    MemoryError,
)


class CommandError(Exception):
    """A user error; only its message is shown, without a traceback."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises CommandError and accepts no abbreviated flags."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(prog=f"mnistcore {command}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise CommandError(message)


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn errors caused by user input (bad values, unreadable files) into CommandError.

    Wrap only code that handles input: elsewhere a ValueError is a bug and keeps its traceback.
    """
    try:
        yield
    except _USER_ERRORS as error:
        raise CommandError(error_words(error)) from error


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show a status line while the block runs, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


def run_command(
    command: str, body: Callable[[Sequence[str]], int], argv: Sequence[str] | None
) -> int:
    """Call ``body`` with the arguments and return the exit status; report errors in one line.

    OSError and MemoryError never count as bugs: disks fill up and memory runs out. Characters
    that stdout cannot encode are escaped, as on stderr.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = body(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader has closed the pipe, as `| head` does
        _leave_stdout()
        return DONE
    except (CommandError, OSError, MemoryError) as error:
        complain(command, error_words(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"mnistcore {command}: interrupted", file=sys.stderr)
        return INTERRUPTED


def complain(command: str, message: str) -> None:
    """Print an error message to stderr, in one line."""
    print(f"mnistcore {command}: error: {message}", file=sys.stderr)


def _leave_stdout() -> None:
    """Redirect stdout to the null device, so that the flush at exit does not fail as well."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
