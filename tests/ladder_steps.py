"""Every step of every ladder."""

from mnistcore.kernels.backends import BackendUnavailableError
from mnistcore.ladder import BACKENDS, LADDERS, load

__all__ = ["ALL"]


def step_names(ladder, language):
    """The names of the steps, where the language is there."""
    try:
        return [step.name for step in load(ladder).steps(language)]
    except BackendUnavailableError:
        return ["(not available)"]


ALL = [
    (ladder, language, name)
    for ladder in LADDERS
    for language in ("python", *BACKENDS, "numpy")
    for name in step_names(ladder, language)
]
