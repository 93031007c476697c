"""The Cython kernels under GCC's sanitizers: ``python -m tests.sanitizers [memory|threads]``.

The kernels are built in a temporary copy of the sources, and their tests run there:

memory    reads and writes outside of memory, and what C leaves undefined (ASan and UBSan)
threads   two threads at the same memory, one of which writes (TSan)

ASan sees memory that C allocates; also that of arrays, which comes from ``malloc``. Python itself
is not instrumented; what it synchronises by its locks the sanitizers see, since those are made of
POSIX's. Without AVX-512 that build is tested with other instructions, to the same bits: avx512.h.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from mnistcore.kernels._cython import baseline

ROOT = Path(__file__).parents[1]
PARTS = ("mnistcore", "tests", "setup.py", "pyproject.toml", "README.md", "LICENSE")
TESTS = ["tests/kernels", "tests/differential", "-k", "cython"]
TESTS += ["--ignore=tests/kernels/test_cython_build.py"]  # it needs all builds


class Sanitizer(NamedTuple):
    """What a kind of check is compiled with, what a process loads first, and what it must find."""

    flag: str
    library: str
    fault: str
    report: str


ARRAYS = """
import threading
import numpy as np
from mnistcore import get_backend
kernels, ones = get_backend("cython"), np.ones((1, 100_000), np.float32)
out = np.empty_like(ones)
"""
TOO_SHORT = """
short = np.lib.stride_tricks.as_strided(np.ones(99_999, np.float32), ones.shape)
kernels.relu_forward(short, out)
"""
ONE_OUTPUT = """
def compute():
    for _ in range(100):
        kernels.relu_forward(ones, out)
for _ in range(2):
    threading.Thread(target=compute).start()
"""
SANITIZERS = {
    "memory": Sanitizer(
        "-fsanitize=address,undefined", "libasan.so", TOO_SHORT, "AddressSanitizer"
    ),
    "threads": Sanitizer("-fsanitize=thread", "libtsan.so", ONE_OUTPUT, "data race"),
}
OPTIONS = {
    # Python keeps memory to the end; guard pages are to end a process.
    "ASAN_OPTIONS": "detect_leaks=0:handle_segv=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66:die_after_fork=0:atexit_sleep_ms=0",
}
# The module that is to be checked is compiled with the sanitizer; others are only built.
COMPILER = """#!/bin/sh
case "$*" in
  */_cython/{isa}.*) exec gcc "$@" -O1 -g1 -fno-omit-frame-pointer {flags} ;;
esac
exec gcc "$@" -O1 {others}
"""


def testable():
    """The builds that can be tested on this machine."""
    found = baseline.instruction_sets()
    return ["avx512", *found] if found[0] == "avx2" else found


def compiler(isa, flag):
    """The compiler as a script."""
    flags, others = [flag], []
    if isa not in baseline.instruction_sets():
        others = ["-D__builtin_cpu_supports(x)=1"]  # the kernels believe that they have it
        header = Path(__file__).with_name("avx512.h")
        flags += [*others, "-mno-avx512f", "-mavx2", "-mfma", "-Wno-psabi", "-include", str(header)]
    return COMPILER.format(isa=isa, flags=shlex.join(flags), others=shlex.join(others))


def build(folder, isa, flag):
    """Build the kernels for an instruction set in a copy of the sources."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(source, folder / part, ignore=ignored)
        else:
            shutil.copy2(source, folder / part)
    script = folder / "compiler"
    script.write_text(compiler(isa, flag))
    script.chmod(0o755)
    wanted = {"MNISTCORE_CYTHON_ISA": isa, "MNISTCORE_REQUIRE_CYTHON": "1", "CC": str(script)}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=folder, env=os.environ | wanted, check=True)


def environment(folder, isa, library):
    """The variables with which a process loads the kernels that were built."""
    found = subprocess.check_output(["gcc", f"-print-file-name={library}"], text=True).strip()
    variables = {"LD_PRELOAD": found, "PYTHONPATH": str(folder), "MNISTCORE_CYTHON_ISA": isa}
    return os.environ | OPTIONS | variables


def run(sanitizer, isa, tests):
    """Build, see whether a fault is found, and test; return pytest's status."""
    with tempfile.TemporaryDirectory(prefix="mnistcore-sanitizers-") as name:
        folder = Path(name)
        build(folder, isa, sanitizer.flag)
        place = {"cwd": folder, "env": environment(folder, isa, sanitizer.library)}
        fault = [sys.executable, "-c", ARRAYS + sanitizer.fault]
        done = subprocess.run(fault, **place, capture_output=True, text=True)
        if not done.returncode or sanitizer.report not in done.stderr:
            sys.exit(f"a fault was not found: status {done.returncode}, {done.stderr}")
        command = [sys.executable, "-m", "pytest", "-q", "--require-backends=cython"]
        # What a sanitizer says at the end of a process would be lost with what pytest captures.
        command += ["--capture=sys", "-p", "no:cacheprovider", *tests]
        return subprocess.run(command, **place).returncode


def main():
    parser = argparse.ArgumentParser("python -m tests.sanitizers")
    parser.add_argument("kind", nargs="?", choices=SANITIZERS, default="memory")
    parser.add_argument("--isa", nargs="+", choices=testable(), default=testable())
    parser.add_argument("--tests", nargs=argparse.REMAINDER, default=TESTS, help="for pytest")
    options = parser.parse_args()
    sanitizer, failed = SANITIZERS[options.kind], []
    for isa in options.isa:
        print(f"{sanitizer.flag}, {isa}", flush=True)
        if run(sanitizer, isa, options.tests):
            failed.append(isa)
    if failed:
        sys.exit(f"tests fail with {', '.join(failed)}")


if __name__ == "__main__":
    main()
