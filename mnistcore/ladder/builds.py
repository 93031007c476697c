"""The Cython steps of all ladders, built once for each instruction set."""

import importlib
from types import ModuleType


def build(instructions: str) -> ModuleType:
    """Return the steps that were compiled for an instruction set: "baseline", "avx2", "avx512".

    Raises
    ------
    ImportError
        If they are not there.
    """
    try:
        return importlib.import_module(f"._steps_{instructions}", __package__)
    except ImportError as error:
        raise ImportError(
            f"the steps for {instructions} are not built for this Python; run"
            " `pip install -v --force-reinstall --no-deps -e .` in the source folder and read the"
            f" compiler's messages [{error}]"
        ) from error
