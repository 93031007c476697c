"""How often something is done in a run: "5epochs", "2minutes", "30seconds", or "none"."""

import re
from typing import NamedTuple

_SECONDS = {"second": 1, "minute": 60}


class Interval(NamedTuple):
    """So many epochs or so many seconds; both are 0 for never."""

    epochs: int = 0
    seconds: int = 0


def parse_interval(text: str) -> Interval:
    """Read ``checkpoint_every``: a whole number of epochs, minutes or seconds; or "none".

    Raises
    ------
    ValueError
        If the text is anything else.
    """
    if text == "none":
        return Interval()
    found = re.fullmatch(r"([1-9][0-9]{0,8}) ?(epoch|minute|second)s?", text)
    if found is None:
        raise ValueError(
            "checkpoint_every must be a number of epochs, minutes or seconds, such as 5epochs,"
            f" 2minutes or 30seconds, or none; got {text!r}"
        )
    number, unit = int(found[1]), found[2]
    return Interval(epochs=number) if unit == "epoch" else Interval(seconds=number * _SECONDS[unit])
