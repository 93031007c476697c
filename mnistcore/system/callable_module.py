"""Commands as modules that can be called: ``mnistcore.train(...)`` calls ``mnistcore.train.run``.

A function of that name beside the module would not last: importing a submodule binds its name in
the package to the module. So the module itself is callable, whoever imports what first. Python
allows a module to have a class of its own: "Customizing module attribute access" in its language
reference.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import inspect


class CallableModule(ModuleType):
    """A module with a function ``run``, which calling the module calls."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``run``."""
        return self.run(*args, **kwargs)

    @property
    def __signature__(self) -> "inspect.Signature":
        """The signature of ``run``, for ``inspect`` and interactive shells."""
        import inspect

        return inspect.signature(self.run)


def make_callable(name: str) -> None:
    """Make the module of this name, which has a function ``run``, callable."""
    sys.modules[name].__class__ = CallableModule
