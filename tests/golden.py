"""Hashes of trained parameters: ``python -m tests.golden [--write]``.

The promise is the same bits for the same seed, backend, instruction set and library versions, also
in a later version of the kernels unless the changelog says otherwise. ``golden.json`` has the
hashes by what may change the bits: the backend, the instruction set, the kind of machine, and for
Numba the version of LLVM and the instructions that it finds, since it may fuse a multiplication
with an addition. C compilers may not: see the flags in ``setup.py``. The reference is left out, as
NumPy's BLAS decides about its bits.

The command compares every build that this machine runs; with ``--write`` it writes them down, and
keeps the hashes of other machines. Those of Cython for AVX-512 are from a machine without it:
``python -m tests.sanitizers memory --isa avx512`` compares them there.
"""

import argparse
import hashlib
import itertools
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent))  # what tests share

from problems import Problem

from mnistcore.kernels.backends import get_backend
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options

FILE = Path(__file__).with_name("golden.json")
BUILDS = [("cython", "MNISTCORE_CYTHON_ISA", isa) for isa in ("avx512", "avx2", "baseline")]
BUILDS += [("numba", "MNISTCORE_NUMBA_LANES", lanes) for lanes in ("16", "8", "4")]


def uniform(seed, *shape):
    """Float32 numbers in [-1, 1), the same with every version of NumPy."""
    raw = np.random.PCG64(seed).random_raw(int(np.prod(shape)))
    return ((raw >> np.uint64(40)) / 2.0**23 - 1).astype(np.float32).reshape(shape)


def job(network, optimizer="sgd", *, images=True, steps=18, batch_size=25, soft=False, **options):
    """A training job on samples of which most values are zero."""
    n, inputs, classes = 90, network.layer_sizes[0], network.layer_sizes[-1]
    x = uniform(1, n, inputs)
    x[uniform(2, n, inputs) < 0.5] = 0
    x = (np.abs(x) * 255).astype(np.uint8) if images else x
    targets = (np.arange(n) * 7 % classes).astype(np.int32)
    if soft:
        targets = (0.5 / classes + 0.5 * np.eye(classes)[targets]).astype(np.float32)
    params = uniform(3, network.n_params) / np.float32(8)
    options = make_options(
        optimizer, batch_size=batch_size, scale=1 / 255 if images else 1.0, seed=5, **options
    )
    order = np.resize(np.arange(n) * 11 % n, steps * batch_size - 3)
    rates = np.full(steps, 0.1 if optimizer == "sgd" else 0.002)
    return Problem(network, options, x, targets, order, rates, params)


def jobs():
    """The training jobs by name."""
    weighted = job(Network((30, 15, 13, 5), "logistic"), momentum=0.9, nesterov=True)
    weighted.weights = np.abs(uniform(4, 90))
    return {
        "no hidden layer": job(Network((784, 10)), momentum=0.9),
        "784-10-10 sgd": job(Network((784, 10, 10), "tanh"), batch_size=32),
        "784-10-10 adam": job(Network((784, 10, 10), "tanh"), "adam", weight_decay=0.01),
        "784-128-64-10": job(Network((784, 128, 64, 10), "relu", 0.2), "adam"),
        "odd sizes": job(Network((7, 1, 31, 16, 2), "relu"), "adam", batch_size=13),
        "wide classes": job(Network((12, 40, 70), "tanh"), "adamw", label_smoothing=0.1),
        "normalised": job(Network((40, 130, 64, 10), "relu", batch_norm=True), "adamw"),
        "normalised, dropout": job(Network((30, 33, 17, 4), "tanh", 0.4, True), momentum=0.5),
        "weights": weighted,
        "soft targets": job(Network((65, 50, 10), "relu"), "adam", soft=True, images=False),
        "dense": job(Network((129, 100, 10), "relu"), weight_decay=0.02, shift=-0.3),
        "limits": job(
            Network((100, 48, 10), "relu"), "adamw", clip_norm=0.5, max_norm=0.4, ema_decay=0.9,
            weight_decay=0.05,
        ),
    }  # fmt: skip


def key_of(kernels):
    """What may change the bits, apart from the kernels."""
    parts = [kernels.NAME, kernels.INSTRUCTION_SET, platform.machine()]
    if kernels.NAME == "numba":
        import llvmlite.binding as llvm

        features = llvm.get_host_cpu_features()
        parts.append("LLVM " + ".".join(map(str, llvm.llvm_version_info)))
        parts += [name for name in ("fma", "avx512f") if features.get(name)]
    return " ".join(parts)


def hashes(kernels):
    """The hash of parameters, optimizer state and buffers after each job."""
    found = {}
    for name, problem in jobs().items():
        trained = problem.train(kernels)
        assert trained.steps == len(problem.rates), name
        bits = b"".join(part.tobytes() for part in (trained.params, trained.state, trained.buffers))
        found[name] = hashlib.sha256(bits).hexdigest()
    return found


def known():
    """The hashes that are written down, by key."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def of_build(backend, variable, value):
    """The key and the hashes of a build, from a process of its own; None if it does not run."""
    done = subprocess.run(
        [sys.executable, __file__, "--backend", backend], env=os.environ | {variable: value},
        capture_output=True, text=True,
    )  # fmt: skip
    if "BackendUnavailableError" in done.stderr:
        print(f"{variable}={value}: {done.stderr.strip().splitlines()[-1]}")
        return None
    if done.returncode:
        sys.exit(f"{variable}={value}: status {done.returncode}, {done.stderr}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser("python -m tests.golden")
    parser.add_argument("--write", action="store_true", help="write the hashes down")
    parser.add_argument("--backend", help="print the hashes of this backend as it loads")
    options = parser.parse_args()
    if options.backend:
        kernels = get_backend(options.backend)
        print(json.dumps([key_of(kernels), hashes(kernels)]))
        return
    written, differ = known(), False
    for build in filter(None, itertools.starmap(of_build, BUILDS)):
        key, found = build
        wanted = written.get(key, {})
        wrong = [name for name in found if wanted and found[name] != wanted.get(name)]
        print(f"{key}: {f'other bits of {wrong}' if wrong else 'as written' if wanted else 'new'}")
        differ = differ or bool(wrong)
        written[key] = found
    if options.write:
        FILE.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
    elif differ:
        sys.exit(1)


if __name__ == "__main__":
    main()
