"""Every step of every ladder computes what its ladder says, and explains itself."""

from unittest.mock import Mock

import numpy as np
import pytest
from ladder_steps import ALL

from mnistcore import get_backend
from mnistcore.ladder import BACKENDS, LADDERS, load
from mnistcore.ladder.verify import first_mistake, first_special_mistake

pytestmark = pytest.mark.slow


def test_right_at_every_shape(step, ladder):
    assert first_mistake(ladder, step, ladder.edges) is None


def test_right_with_special_numbers(step, ladder):
    assert first_special_mistake(ladder, step) is None


def test_read_only_inputs_will_do(step, ladder, request):
    _, language, name = request.node.callspec.params["step"]
    if language == "numba" and name != ladder.steps(language)[-1].name:
        pytest.skip("read-only arrays are types of their own: half a minute to compile them all")
    arguments = ladder.draw(ladder.edges[5], np.random.default_rng(0))
    for name, argument in zip(ladder.arguments, arguments, strict=True):
        if isinstance(argument, np.ndarray) and name not in ladder.outputs:
            argument.flags.writeable = False
    step(*arguments)


def test_every_step_explains_itself(step, ladder):
    lesson = step.lesson
    if ladder.number(lesson.name) is None:  # NumPy's own
        return
    assert len(lesson.idea.split()) > 10
    for text in (lesson.idea, lesson.why, lesson.expect):
        assert text.endswith(".")
    assert lesson.read
    assert step.parts


@pytest.mark.parametrize("name", LADDERS)
def test_the_steps_of_each_language_are_lessons_in_order(name):
    ladder = load(name)
    used = set()
    for language in ("python", *BACKENDS):
        numbers = [ladder.number(n) for one, lang, n in ALL if (one, lang) == (name, language)]
        assert None in numbers or numbers == sorted(set(numbers))
        used |= set(numbers)
    assert None in used or used == set(range(1, len(ladder.lessons) + 1))


# The kernel of training that each ladder leads to; that of the gather is no kernel of its own.
KERNELS = {
    "matmul": "matmul",
    "softmax": "softmax_cross_entropy",
    "adam": "adam_update",
    "step": "train_steps",
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", KERNELS)
def test_the_last_step_is_the_kernel_of_training(name, backend, monkeypatch):
    kernels, ladder = get_backend(backend), load(name)
    kernel, last = getattr(kernels, KERNELS[name]), load(name).steps(backend)[-1]
    assert last.parts == (kernel,)
    if last.function is not kernel:  # then it passes the arguments on, and does nothing else
        calls = Mock(side_effect=kernel)
        monkeypatch.setattr(kernels, KERNELS[name], calls)
        result = last(*ladder.draw(ladder.edges[5], np.random.default_rng(0)))
        calls.assert_called_once()
        assert result is None or result == kernel(*calls.call_args.args)
