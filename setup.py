"""Build the Cython kernels and the ladder, each from one source for every instruction set.

The rest of the packaging is in ``pyproject.toml``. Four environment variables are read:

MNISTCORE_REQUIRE_CYTHON=1   fail if a kernel does not build (for CI); otherwise the package
                             installs without it and ``get_backend("cython")`` says why
MNISTCORE_CYTHON_DEBUG=1     check memoryview indexes, guards after every place in memory, and
                             undefined behaviour of C; slow, for tests
MNISTCORE_CYTHON_ISA=NAME    build only for one instruction set (avx512, avx2) and the baseline
MNISTCORE_CYTHON_ANNOTATE=1  write Cython's annotated HTML beside the sources
"""

import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Never -march=native: the build may run on another machine. Never -ffast-math: NaN must stay NaN.
# Products and sums become FMA only where the source says so, for the same bits everywhere. Global
# common-subexpression elimination takes a third of the time to compile functions as long as these,
# and they run no faster for it.
FAST = [
    *("-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    *("-fno-gcse", "-fno-gcse-after-reload"),
]
INSTRUCTION_SETS = {
    "avx512": [
        *("-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma"),
        "-mprefer-vector-width=512",
    ],
    "avx2": ["-mavx2", "-mfma"],
    "baseline": [],
}


# The debug build enables asserts and reports their place in the source.
DEBUG = [
    *("-O1", "-g", "-UNDEBUG", "-fno-strict-aliasing", "-fstack-protector-all"),
    "-Wno-maybe-uninitialized",  # stores read what they overwrite: see memory.pxi
    *("-fsanitize=bounds,object-size,shift,signed-integer-overflow", "-fno-sanitize-recover=all"),
]

# The ladder shows what the compiler makes of plain loops, so it may contract them to FMAs.
LADDER = [*FAST, "-ffp-contract=fast"]

# The names of the modules, without the instruction set at the end.
SOURCES = {"mnistcore/kernels/_cython/": FAST, "mnistcore/ladder/_steps_": LADDER}


def requested(variable: str) -> bool:
    """Return whether an environment variable is set to something other than 0."""
    return os.environ.get(variable, "") not in ("", "0")


def extensions() -> list[Extension]:
    """Return the extension modules for this kind of machine.

    Each may fail to build unless all are required.
    """
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
            optional=not requested("MNISTCORE_REQUIRE_CYTHON"),
        )
        for source, flags in SOURCES.items()
        for name, instructions in INSTRUCTION_SETS.items()
        if name == "baseline" or (x86 and wanted in (None, "", name))
    ]


class BuildKernels(build_ext):
    """Translate and compile the modules in parallel, and warn of those that were not built."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()
        # A build does not compare flags to find out what is stale: see also the end of ``run``.
        self.force = self.force or requested("MNISTCORE_CYTHON_DEBUG")

    def run(self) -> None:
        wanted = self.extensions
        self.extensions = [extension for extension in wanted if self.is_stale(extension)]
        for extension in self.extensions:  # what fails to build must leave no old module behind
            self.path(extension).unlink(missing_ok=True)
        translate(self.extensions)  # not earlier: a source distribution needs no C
        super().run()
        self.extensions = wanted
        missing = [extension.name for extension in wanted if not self.path(extension).exists()]
        if requested("MNISTCORE_CYTHON_DEBUG"):
            for extension in wanted:
                with suppress(FileNotFoundError):
                    os.utime(self.path(extension), (0, 0))  # the next release build replaces it
        if missing:
            print(
                f"warning: not built: {', '.join(missing)}. The package works without them, on"
                " the numba and numpy backends; the compiler's messages are above.",
                file=sys.stderr,
            )

    def path(self, extension: Extension) -> Path:
        """Return where a module is built."""
        return Path(self.get_ext_fullpath(extension.name))

    def is_stale(self, extension: Extension) -> bool:
        """Return whether a module is not there, or older than a source of its own.

        Cython asks for its own declarations too, which are new in each isolated environment that
        pip builds in, so that installing a second extra would compile everything again.
        """
        built = self.path(extension)
        if self.force or not built.exists():
            return True
        made_of = (Path(__file__), *included(Path(extension.sources[0])))
        return any(source.stat().st_mtime > built.stat().st_mtime for source in made_of)


def included(source: Path) -> Iterator[Path]:
    """Yield a source and, one after the other, all that it includes."""
    yield source
    for name in re.findall(r'^include "(.+)"$', source.read_text(), re.MULTILINE):
        yield from included(source.parent / name)


def translate(extensions: list[Extension]) -> None:
    """Translate the sources of the modules to C, in place."""
    debug = requested("MNISTCORE_CYTHON_DEBUG")
    modules = cythonize(
        extensions,
        nthreads=os.cpu_count() or 1,
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
    sources = {module.name: module.sources for module in modules}
    for extension in extensions:
        extension.sources = sources[extension.name]


if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildKernels})
