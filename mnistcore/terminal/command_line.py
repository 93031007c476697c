"""Shared by all commands: the parser, the exit statuses and one-line error messages.

A command is a module with ``run`` for Python and ``main(argv)`` for the shell. Exit status: 0
on success; 1 if the result is bad (training diverged, a check failed); 2 for a user error;
130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP. User errors are reported in one line, bugs
with a traceback.
"""

import argparse
import errno
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from ..kernels.backends import BackendUnavailableError
from ..system.errors import error_words, suggestion
from ..system.extras import MissingExtraError
from ..system.interrupt import Signalled, answered
from ..system.text import one_line
from .streams import lasting_output, output_error

DONE = 0
BAD_RESULT = 1
BAD_INPUT = 2
SIGNALLED = 128  # plus the number of the signal, as shells report a program that one stopped
INTERRUPTED = SIGNALLED + 2  # by SIGINT, which is Ctrl-C

COMPLETING = "_ARGCOMPLETE"  # set by a shell that asks for completions

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
    """An ArgumentParser that raises CommandError and accepts no abbreviated flags.

    A mistyped flag or choice is answered with the closest one. Options may stand between
    positional arguments. Shells complete what argcomplete finds in the parser.
    """

    def __init__(self, command: str, description: str) -> None:
        super().__init__(prog=f"mnistcore {command}", description=description, allow_abbrev=False)
        # argparse takes -1e-3 for a flag.
        self._negative_number_matcher = re.compile(r"^-(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        if COMPLETING in os.environ:
            import argcomplete

            argcomplete.autocomplete(self)  # does not return
        args = sys.argv[1:] if args is None else list(args)
        self._check_flags(args)
        return self.parse_intermixed_args(args, namespace)

    def _check_flags(self, words: Sequence[str]) -> None:
        """Look for unknown flags first, which argparse would name after what they leave out.

        And for an empty word that is no flag's value: as a path it would be this folder.
        """
        known = self._option_string_actions
        for before, word in zip(["", *words], words, strict=False):
            if not word and before not in known:
                self.error("an argument is empty; is it a shell variable that is not set?")
        for word in words[: words.index("--")] if "--" in words else words:
            flag = word.partition("=")[0]
            if len(flag) < 3 or flag[0] != "-" or flag in known or " " in flag:
                continue
            if not self._negative_number_matcher.match(word):
                hint = suggestion(flag if flag[1] == "-" else f"-{flag}", known)
                self.error(f"there is no option {flag}; {hint or f'see {self.prog} --help'}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = list(map(str, action.choices))
        hint = suggestion(str(value), choices)
        words = f"must be one of {', '.join(choices)}, got {str(value)!r}"
        raise argparse.ArgumentError(action, f"{words}; {hint}" if hint else words)

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
    from ..system.console import Console

    with Console(stderr=True).status(what):
        yield


def run_command(
    command: str, body: Callable[[Sequence[str]], int], argv: Sequence[str] | None
) -> int:
    """Call ``body`` with the arguments and return the exit status; report errors in one line.

    OSError and MemoryError never count as bugs: disks fill up and memory runs out. Output that
    cannot be written is an error, but one that is reported when the work is done.
    """
    with lasting_output(), answered():
        try:
            status = body(sys.argv[1:] if argv is None else argv)
            sys.stdout.flush()
            error = output_error()
            if error is not None and error.errno != errno.EPIPE:
                raise CommandError(f"the output cannot be written ({error.strerror})")
            return status
        except (CommandError, OSError, MemoryError) as failure:
            complain(command, error_words(failure))
            return BAD_INPUT
        except KeyboardInterrupt as interrupt:
            print(f"mnistcore {command}: interrupted", file=sys.stderr)
            return SIGNALLED + interrupt.number if isinstance(interrupt, Signalled) else INTERRUPTED


def complain(command: str, message: str) -> None:
    """Print an error message to stderr, in one line."""
    print(f"{f'mnistcore {command}'.strip()}: error: {one_line(message)}", file=sys.stderr)
