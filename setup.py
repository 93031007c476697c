"""Build the Cython kernels and the ladder: a source each, a module per instruction set.

The rest of the packaging is in ``pyproject.toml``. Four environment variables are read:

MNISTCORE_REQUIRE_CYTHON=1   a kernel that does not build is an error (for CI); otherwise the
                             package installs without it and ``get_backend("cython")`` says why
MNISTCORE_CYTHON_DEBUG=1     a build that checks itself: indexes of memoryviews, guards behind every
                             place in memory, and what C leaves undefined; slow, for tests
MNISTCORE_CYTHON_ISA=NAME    build for one instruction set (avx512, avx2), and the baseline, alone
MNISTCORE_CYTHON_ANNOTATE=1  write Cython's annotated HTML beside the sources
"""

import os
import platform
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Never -march=native: what is built here may run elsewhere. Never -ffast-math: a NaN must stay
# one. Products and sums become FMA only where the source says so, for the same bits everywhere.
FAST = ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
INSTRUCTION_SETS = {
    "avx512": [
        *("-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma"),
        "-mprefer-vector-width=512",
    ],
    "avx2": ["-mavx2", "-mfma"],
    "baseline": [],
}


# The debug build: asserts in force, and their place in the source.
DEBUG = [
    *("-O1", "-g", "-UNDEBUG", "-fno-strict-aliasing", "-fstack-protector-all"),
    "-Wno-maybe-uninitialized",  # what is stored over is looked at: see memory.pxi
    *("-fsanitize=bounds,object-size,shift,signed-integer-overflow", "-fno-sanitize-recover=all"),
]

# The ladder shows what the compiler makes of plain loops, and may make FMAs of them.
LADDER = [*FAST, "-ffp-contract=fast"]

# The modules' names up to that of the instruction set.
SOURCES = {"mnistcore/kernels/_cython/": FAST, "mnistcore/ladder/_steps_": LADDER}


def requested(variable: str) -> bool:
    """Whether an environment variable switches something on."""
    return os.environ.get(variable, "") not in ("", "0")


def extensions() -> list[Extension]:
    """The modules for this kind of machine."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    debug = requested("MNISTCORE_CYTHON_DEBUG")
    wanted = os.environ.get("MNISTCORE_CYTHON_ISA")
    # What Cython marks inline must be inlined: the micro-kernel is specialised that way.
    inline = "inline __attribute__((always_inline))"
    return [
        Extension(
            f"{source}{name}".replace("/", "."),
            [f"{source}{name}.pyx"],
            extra_compile_args=[*flags, *instructions, *(DEBUG if debug else ())],
            extra_link_args=DEBUG[-2:] if debug else [],
            define_macros=[("CYTHON_INLINE", inline), ("CHECKED", str(int(debug)))],
        )
        for source, flags in SOURCES.items()
        for name, instructions in INSTRUCTION_SETS.items()
        if name == "baseline" or (x86 and wanted in (None, "", name))
    ]


class BuildKernels(build_ext):
    """Compile the modules side by side and say plainly what is missing afterwards."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()
        # Flags are not among what a build compares to find out what is stale.
        self.force = self.force or requested("MNISTCORE_CYTHON_DEBUG")

    def run(self) -> None:
        super().run()
        missing = [
            extension.name
            for extension in self.extensions
            if not os.path.exists(self.get_ext_fullpath(extension.name))
        ]
        if missing:
            print(
                f"warning: not built: {', '.join(missing)}. The package works without them, on"
                " the numba and numpy backends; the compiler's messages are above.",
                file=sys.stderr,
            )


def kernels() -> list[Extension]:
    """The modules, translated to C, each allowed to fail unless all are required."""
    debug = requested("MNISTCORE_CYTHON_DEBUG")
    modules = cythonize(
        extensions(),
        force=debug,
        annotate=requested("MNISTCORE_CYTHON_ANNOTATE"),
        emit_linenums=debug,
        compiler_directives={
            "language_level": 3,
            "boundscheck": debug,
            "initializedcheck": debug,
            "wraparound": False,
            "cdivision": True,
        },
    )
    for module in modules:  # cythonize forgets whether an extension was optional
        module.optional = not requested("MNISTCORE_REQUIRE_CYTHON")
    return modules


if __name__ == "__main__":
    setup(ext_modules=kernels(), cmdclass={"build_ext": BuildKernels})
