"""How Numba compiles the functions of this package: fewer passes, and LLVM once per program.

Numba optimises a function, generates machine code for it, and optimises it again as a part of each
of its callers, and again as a part of theirs. Only the outermost function is ever called, so here
the others are lowered to LLVM code and left at that: it is optimised once, in the outermost one.
Passes for what no function here has (generators, ``with`` blocks, closures, array expressions,
``literally``, variables that change their type) are left out. The garbage collector is paused,
since all that it would find is alive.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from numba import _dynfunc
from numba.core import typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager

_PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.RewriteSemanticConstants,
    untyped_passes.DeadBranchPrune,
    typed_passes.NopythonTypeInference,
    typed_passes.IRLegalization,
    typed_passes.AnnotateTypes,
    typed_passes.NativeLowering,
    typed_passes.NoPythonBackend,
)


class _OuterLibrary(JITCodeLibrary):
    """LLVM code that is optimised once, when all that it calls has been linked into it."""

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)


class _CallbackLibrary(_OuterLibrary):
    """LLVM code of which C calls the wrapper, so that all else can be inlined into that."""

    def _optimize_final_module(self):
        for function in self._final_module.functions:
            if not function.is_declaration and not function.name.startswith("cfunc."):
                function.linkage = "internal"
        super()._optimize_final_module()


class _InnerLibrary(_OuterLibrary):
    """LLVM code to be linked into other libraries, neither optimised nor executable."""

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True


class OuterCompiler(CompilerBase):
    """Compiles the outermost function of a program."""

    library_class: type[JITCodeLibrary] = _OuterLibrary

    def compile_extra(self, func):
        with _no_collection():
            return super().compile_extra(func)

    def define_pipelines(self):
        state = self.state
        # Numba would import all of them anew whenever a call is lowered.
        state.targetctx.load_additional_registries = _nothing
        state.library = self.library_class(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        passes = PassManager("mnistcore")
        for compiler_pass in _PASSES:
            passes.add_pass(compiler_pass, compiler_pass.name())
        passes.finalize()
        return [passes]


class CallbackCompiler(OuterCompiler):
    """Compiles a function that is called through a pointer only."""

    library_class = _CallbackLibrary


class InnerCompiler(OuterCompiler):
    """Compiles a function for the functions that call it: as far as LLVM code."""

    library_class = _InnerLibrary

    def define_pipelines(self):
        self.state.targetctx.get_executable = _no_executable  # of this function's own context
        return super().define_pipelines()


def _nothing():
    pass


def _no_executable(library, fndesc, environment):
    """Return what stands for the function in Numba's tables; it cannot be called."""
    name = fndesc.qualname.split(".")[-1]
    return _dynfunc.make_function(fndesc.lookup_module(), name, "", 0, environment, (library,))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the garbage collector."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()
