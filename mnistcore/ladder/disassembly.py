"""The machine code behind a step: from Numba, and by objdump from a Cython module."""

import dis
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from tempfile import NamedTemporaryFile
from types import CodeType, FunctionType, ModuleType
from typing import Any

from .machine_code import Instruction, called, parse
from .step import Step

_HEADER = re.compile(r"^[0-9a-f]+ <(.+)>:$")


class NoMachineCodeError(Exception):
    """There is none to read; the message says why."""


def machine_code(step: Step, arguments: Iterable[Any]) -> list[list[Instruction]]:
    """Return the instructions of what is compiled in a step, in units with labels of their own.

    Parameters
    ----------
    step
        The step, in Numba or Cython.
    arguments
        Those of a small call, for which Numba compiles.

    Raises
    ------
    NoMachineCodeError
        If none is found, or objdump is missing.
    """
    parts = [part for part in step.parts if isinstance(part, str)]
    seen: set[int] = set()
    roots = (step.function, *(part for part in step.parts if not isinstance(part, str)))
    functions = [one for root in roots for one in _compiled(root, seen)]
    if not functions:
        raise NoMachineCodeError("the code of this step names no compiled function")
    if any(map(_is_numba, functions)):
        step(*arguments)  # compiles
    units: list[list[Instruction]] = []
    for function in functions:
        units += _numba_code(function) if _is_numba(function) else _cython_code(function, parts)
    return units


def _compiled(function: Any, seen: set[int]) -> Iterator[Any]:
    """Return the compiled functions that a function is or calls, by what its code names."""
    function = inspect.unwrap(function, stop=_is_numba)
    if id(function) in seen:
        return
    seen.add(id(function))
    if _is_numba(function) or "cython" in type(function).__name__:
        yield function
    if isinstance(function, FunctionType) and function.__module__.startswith("mnistcore."):
        for value in _named(function.__code__, function.__globals__):
            if callable(value) and not inspect.isclass(value):
                yield from _compiled(value, seen)


def _named(code: CodeType, names: Mapping[str, Any]) -> Iterator[Any]:
    """Return the global values, and those of other modules, that code names."""
    value: Any = None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            value = names.get(instruction.argval)
            yield value
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(value, ModuleType):
            value = getattr(value, instruction.argval, None)
            yield value
        else:
            value = None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _named(constant, names)


def _is_numba(function: Any) -> bool:
    """Return whether it is a function or a C function that Numba compiles."""
    return hasattr(function, "inspect_llvm")


def _numba_code(function: Any) -> Iterator[list[Instruction]]:
    """Return what Numba compiled; what came from its cache is compiled again to be read."""
    if not hasattr(function, "overloads"):  # a C function
        from numba.core.compiler_lock import global_compiler_lock

        with NamedTemporaryFile(suffix=".o") as file, global_compiler_lock:
            library = function._compile_uncached().library
            library.finalize()  # optimises it, which its assembly text does not show
            file.write(library._get_compiled_object())
            file.flush()
            yield from _disassembled(file.name).values()
        return
    for signature, compiled in list(function.overloads.items()):
        library = compiled.library
        if library is None or getattr(library, "_disable_inspection", True):
            library = function._compiler.compile(signature, None).library
        yield parse(library.get_asm_str())


def _cython_code(function: Callable[..., Any], parts: Sequence[str]) -> list[list[Instruction]]:
    """Return a function of a Cython module, its parts, and what they call in the module."""
    file = getattr(sys.modules[function.__module__], "__file__", None) or ""
    functions = _of_module(file)
    names = "|".join(map(re.escape, (function.__name__, *parts)))
    waiting = [one for one in functions if re.search(rf"_\d*(?:{names})(\.\w+)*$", one)]
    starts = {code[0].labels[-1]: one for one, code in functions.items() if code}
    reached = set(waiting)
    while waiting:
        for address in called(functions[waiting.pop()]):
            one = starts.get(address)
            if one is not None and one not in reached:
                reached.add(one)
                waiting.append(one)
    return [functions[one] for one in sorted(reached)]


def _disassembled(file: str) -> dict[str, list[Instruction]]:
    """Return the instructions of a compiled module, by function."""
    objdump = shutil.which("objdump") or shutil.which("llvm-objdump")
    if objdump is None:
        raise NoMachineCodeError("objdump, which reads compiled modules, is not on this machine")
    command = [objdump, "-d", "--no-show-raw-insn", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoMachineCodeError(f"objdump cannot read {file}: {done.stderr.strip()[:200]}")
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in done.stdout.splitlines():
        header = _HEADER.match(line)
        if header:
            lines = found.setdefault(header[1], [])
        else:
            lines.append(line)
    return {name: parse("\n".join(text)) for name, text in found.items()}


_of_module = cache(_disassembled)
