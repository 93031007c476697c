"""Machine-dependent parts: instruction sets, atomic numbers, the floating-point mode."""

import ctypes
import os
import platform
import time

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils

from .functions import inner
from .intrinsics import I32, I64, call_llvm, pointer_to, twin_of, view


def _machine_lanes() -> tuple[int, str]:
    """Return the float32 lanes of the machine's widest vectors, and the instruction set."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512dq"):
        return 16, "avx512"
    if features.get("avx2") and features.get("fma"):
        return 8, "avx2"
    return 4, "neon" if platform.machine() in ("arm64", "aarch64") else "baseline"


def _chosen_lanes() -> tuple[int, str]:
    """Return what the machine has, or what MNISTCORE_NUMBA_LANES requests (16, 8 or 4).

    Raises ImportError if that is another value, or more than the machine has.
    """
    wanted = os.environ.get("MNISTCORE_NUMBA_LANES")
    lanes, name = _machine_lanes()
    if wanted is None:
        return lanes, name
    if wanted not in ("16", "8", "4") or int(wanted) > lanes:
        raise ImportError(
            f"MNISTCORE_NUMBA_LANES must be 4, 8 or 16 and at most {lanes} here, got {wanted!r}"
        )
    return int(wanted), {16: "avx512", 8: "avx2", 4: "baseline"}[int(wanted)]


VL, INSTRUCTION_SET = _chosen_lanes()  # lanes of a vector


def _add_twin(base, position, value):
    numbers = view(base, position, 1, ctypes.c_int64)
    numbers[0] += value
    return int(numbers[0]) - value


@twin_of(_add_twin)
def atomic_add(typingctx, base, position, value):
    """Add to the int64 at base + position and return its previous value.

    The addition is atomic and publishes everything that this thread wrote before it.
    """

    def generate(context, builder, signature, args):
        base, position, value = args
        return builder.atomic_rmw("add", pointer_to(builder, base, position, I64), value, "acq_rel")

    return types.int64(types.int64, types.int64, types.int64), generate


@twin_of(lambda base, position: int(view(base, position, 1, ctypes.c_int64)[0]))
def atomic_load(typingctx, base, position):
    """Load the int64 at base + position, and see all that was written before it was."""

    def generate(context, builder, signature, args):
        return builder.load_atomic(pointer_to(builder, *args, I64), "acquire", 8, typ=I64)

    return types.int64(types.int64, types.int64), generate


_ARM = platform.machine() in ("arm64", "aarch64")


@twin_of(lambda: None)
def pause(typingctx):
    """Tell the core that it is in a spin loop."""

    def generate(context, builder, signature, args):
        if _ARM:
            call_llvm(builder, "llvm.aarch64.hint", ir.VoidType(), I32(1))
        else:
            call_llvm(builder, "llvm.x86.sse2.pause", ir.VoidType())
        return context.get_dummy_value()

    return types.void(), generate


@twin_of(lambda: None)
def yield_core(typingctx):
    """Let another thread have this core: POSIX sched_yield."""

    def generate(context, builder, signature, args):
        call_llvm(builder, "sched_yield", I32)
        return context.get_dummy_value()

    return types.void(), generate


@twin_of(time.monotonic_ns)
def nanoseconds(typingctx):
    """Return the time since some moment: POSIX clock_gettime."""

    def generate(context, builder, signature, args):
        now = cgutils.alloca_once(builder, I64, 2)  # seconds, nanoseconds
        call_llvm(builder, "clock_gettime", I32, I32(time.CLOCK_MONOTONIC), now)
        seconds, rest = (
            builder.load(builder.gep(now, [I32(i)], source_etype=I64), typ=I64) for i in range(2)
        )
        return builder.add(builder.mul(seconds, I64(10**9)), rest)

    return types.int64(), generate


# Bits of the x86 MXCSR (flush results to zero, read denormals as zero) and of the Arm FPCR.
FLUSH_TO_ZERO = (1 << 24) if _ARM else (1 << 15) | (1 << 6)


@twin_of(lambda: 0)
def get_float_mode(typingctx):
    """Return the control bits of this thread's floating-point unit."""

    def generate(context, builder, signature, args):
        if _ARM:
            return call_llvm(builder, "llvm.aarch64.get.fpcr", I64)
        slot = cgutils.alloca_once(builder, I32)
        call_llvm(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), slot)
        return builder.zext(builder.load(slot, typ=I32), I64)

    return types.int64(), generate


@twin_of(lambda mode: None)
def set_float_mode(typingctx, mode):
    """Set the control bits of this thread's floating-point unit."""

    def generate(context, builder, signature, args):
        if _ARM:
            call_llvm(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), args[0])
        else:
            slot = cgutils.alloca_once_value(builder, builder.trunc(args[0], I32))
            call_llvm(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), slot)
        return context.get_dummy_value()

    return types.void(types.int64), generate


@inner
def flush_denormals():
    """Make this thread treat denormal numbers as zero; return the mode to restore afterwards.

    Moments of dead units decay into denormals, with which every operation is many times slower.
    """
    mode = get_float_mode()
    set_float_mode(mode | FLUSH_TO_ZERO)
    return mode
