"""A function in a file of the reader's own."""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ..system.errors import place_of, suggestion
from ..system.text import one_line


def split(words: str) -> tuple[Path, str]:
    """Return the file and the name of the function in FILE:FUNCTION.

    Raises
    ------
    ValueError
        If one of them is missing.
    """
    file, _, function = words.rpartition(":")
    if not file or not function.isidentifier():
        raise ValueError(
            f"{words}: must be FILE:FUNCTION, such as product.py:multiply; a function is named"
        )
    return Path(file), function


def load_function(path: Path, name: str) -> Callable[..., Any]:
    """Run a file of Python as a module, and return a function of it.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no Python, raises an exception, or has no such function.
    """
    module = _run(path)
    function = getattr(module, name, None)
    if callable(function) and not inspect.isclass(function):
        return function
    if function is not None:
        raise ValueError(f"{path}: {name} is {type(function).__name__}, not a function")
    own = [other for other, value in vars(module).items() if _written_in(module, value)]
    hint = suggestion(name, own) or (f"it has {', '.join(own)}" if own else "it has none")
    raise ValueError(f"{path}: has no function {name!r}; {hint}")


def _run(path: Path) -> ModuleType:
    path.open("rb").close()  # an OSError names the file
    module_name = f"mine_{path.stem}"  # may not hide another module
    spec = importlib.util.spec_from_file_location(module_name, path.absolute())
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: is no file of Python; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # where Numba's cache and pickle look for it
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # for what the file imports from beside it
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: is no Python: {error.msg}") from error
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {one_line(str(error), 200)}".removesuffix(": ")
        raise ValueError(f"{place_of(error, path.absolute()) or path}: {what}") from error
    return module


def _written_in(module: ModuleType, value: Any) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__
