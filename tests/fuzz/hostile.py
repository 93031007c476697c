"""Models, data and pictures with names that no program may obey, and a command run on them."""

import contextlib
import dataclasses
import io
import os
import re

import numpy as np
from PIL import Image
from small_models import make_model

from mnistcore.__main__ import main
from mnistcore.models.model import TrainedOn

DIGITS = tuple("0123456789")  # predict reads no other names
NAMES = ("<script>alert(1)</script>", "\x1b]0;title\x07", "=cmd()", "*/", "a\nb", *"fghij")


def hostile_model(names=NAMES, side=28):
    """A model of square images with names that no program should obey."""
    model = make_model((side * side, 10), shape=(side, side))
    data = TrainedOn("\x1b[31mred", "0" * 64, "/tmp/<b>=x", ("*/ \x1b]0;remark\x07",), "no digits")
    config = {"seed": 0, "note": "<script>\x1b[2J", "hidden": []}
    return dataclasses.replace(model, class_names=names, data=data, config=config)


def digits_file(folder, names=NAMES, side=28):
    """Write a small data set, whose classes have hostile names, and the picture of a digit."""
    images = np.random.default_rng(0).integers(0, 256, (40, side, side), np.uint8)
    labels = np.array(names)[np.arange(40) % len(names)]
    np.savez(folder / "digits.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    stroke = Image.new("L", (60, 60), 255)
    stroke.paste(20, (27, 10, 33, 50))
    stroke.save(folder / "digit.png")
    return folder / "digits.npz"


def run_command(words):
    """Run a command; return its status, output and errors, which no terminal may obey."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = main(words)
    said = errors.getvalue()
    assert status in (0, 2), said
    shown = out.getvalue() + said
    if "FORCE_COLOR" in os.environ:  # the colours and movements of rich
        shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown)
    assert not set("\x1b\x07\x9b\u202e") & set(shown), shown
    if status == 2:
        *_, last = said.splitlines()
        assert re.fullmatch(r"mnistcore.{0,20}: error: .{1,2100}", last), said
    return status, out.getvalue(), said
