"""Parameters after training are those that are written down, to the last bit."""

import numpy as np
import pytest
from golden import FILE, hashes, jobs, key_of, known
from problems import UNCOMPILED

pytestmark = pytest.mark.skipif(UNCOMPILED, reason="uncompiled, products are rounded otherwise")


def test_parameters_are_those_written_down(compiled):
    key = key_of(compiled)
    if key not in known():
        pytest.skip(f"{FILE.name} has no hashes for {key}: python -m tests.golden --write")
    assert hashes(compiled) == known()[key]


def test_every_build_has_the_hashes_of_every_job():
    for key, written in known().items():
        assert list(written) == sorted(jobs()), key
        assert len(set(written.values())) == len(written), key


def test_the_jobs_train(compiled):
    """All of what they hash is finite and has changed."""
    for name, problem in jobs().items():
        trained = problem.train(compiled)
        for before, after in zip(
            (problem.params, *problem.state, problem.buffers),
            (trained.params, *trained.state, trained.buffers),
            strict=True,
        ):
            assert np.isfinite(after).all(), name
            assert not before.size or (before != after).mean() > 0.05, name
