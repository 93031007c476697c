"""Libraries that write to standard error by themselves, as libtiff does, are kept from it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_STDERR = threading.RLock()
# A fork waits for the lock; otherwise the child would wait for it forever.
os.register_at_fork(
    before=_STDERR.acquire, after_in_parent=_STDERR.release, after_in_child=_STDERR.release
)


@contextmanager
def no_stderr() -> Iterator[None]:
    """Close the descriptor of standard error for a moment."""
    with _STDERR:
        kept = null = None
        with suppress(OSError):  # it is closed already, or there are no more descriptors
            null = os.open(os.devnull, os.O_WRONLY)
            kept = os.dup(2)
            os.dup2(null, 2)
        try:
            yield
        finally:
            if kept is not None:
                os.dup2(kept, 2)
            for descriptor in (kept, null):
                if descriptor is not None:
                    os.close(descriptor)
