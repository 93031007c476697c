"""``mnistcore ladder --explain``: the code of a step, what is new in it, and its machine code."""

import re
import shutil

import numpy as np
import pytest

from mnistcore.kernels.backends import BackendUnavailableError
from mnistcore.ladder import load, main
from mnistcore.ladder.disassembly import NoMachineCodeError, machine_code
from mnistcore.ladder.explain import find_lesson
from mnistcore.ladder.machine_code import innermost_loop, parse
from mnistcore.ladder.matmul.problem import LESSONS
from mnistcore.ladder.source import new_lines, sources

pytestmark = pytest.mark.slow

AVX512 = """
_ZN4loopE:
\tvxorps\t%xmm0, %xmm0, %xmm0
.LBB0_2:
\tmovq\t(%rdi), %rax
.LBB0_3:
\tvmovups\t(%rsi,%r8,4), %zmm2           # a comment (with a place)
\tvfmadd213ps\t(%r12,%r8,4), %zmm1, %zmm2
\tvfmadd231ps\t(%r13){1to16}, %zmm1, %zmm3
\tvmovups\t%zmm2, (%r12,%r8,4) {%k1}
\taddq\t$16, %r8
\tprefetcht0\t64(%rsi)
\tcmpq\t%r8, 8(%rsp)
\tjne\t.LBB0_3
\tjne\t.LBB0_2
\tretq
\tjmp\t.LBB0_3
"""
AVX2_OF_OBJDUMP = """
   18248:\tvmovups (%rcx,%rax,1),%ymm0
   1824d:\tvfmadd132ps (%rdx),%ymm1,%ymm0
   18252:\tvaddps %ymm0,%ymm2,%ymm2
   18255:\tvmovups %ymm0,(%rdx,%rax,1)
   1825a:\tcmp    %r14,%rax
   1825d:\tjne    18248 <function+0x6c8>
"""
SSE = """
.L3:
\tmovups\t(%rcx,%rax), %xmm0
\tmulps\t%xmm2, %xmm0
\taddps\t(%rdx), %xmm0
\tmovups\t%xmm0, (%rdx,%rax)
\tjg\t.L3
"""
SCALAR = (
    ".L1:\n\tmovss\t(%rcx), %xmm0\n\tmulss\t4(%rdx), %xmm0\n\taddss\t%xmm0, %xmm1\n\tjne\t.L1\n"
)
NEON = """
LBB0_5:
\tldp\tq0, q1, [x9], #32
\tldr\tq2, [x10]
\tfmla\tv4.4s, v0.4s, v3.s[0]
\tfmla.4s\tv5, v1, v3[0]
\tfadd\tv6.4s, v6.4s, v2.4s
\tstp\tq4, q5, [x11]
\tsubs\tx12, x12, #1
\tb.ne\tLBB0_5
"""
ARM_OF_OBJDUMP = """
   9c40:\tldr\ts0, [x1], #4
   9c44:\tfmadd\ts1, s0, s2, s1
   9c48:\tcbnz\tx3, 9c40 <function+0x10>
"""


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (AVX512, (2, 0, 16, 4, 1, 8)),
        (AVX2_OF_OBJDUMP, (1, 1, 8, 2, 1, 6)),
        (SSE, (0, 2, 4, 2, 1, 5)),
        (SCALAR, (0, 2, 1, 2, 0, 4)),
        (NEON, (2, 1, 4, 3, 2, 8)),
        (ARM_OF_OBJDUMP, (1, 0, 1, 1, 0, 3)),
    ],
    ids=["AVX-512", "AVX2", "SSE", "scalar", "NEON", "ARM, objdump"],
)
def test_the_instructions_of_a_loop_are_counted(text, counts):
    loop = innermost_loop([parse(text)])
    assert counts == (
        *(loop.multiply_adds, loop.arithmetic, loop.lanes, loop.loads, loop.stores),
        loop.instructions,
    )


def test_the_loop_with_most_arithmetic_counts_and_labels_belong_to_their_unit():
    assert innermost_loop([parse(SCALAR), parse(SSE), parse(AVX512), parse(NEON)]).lanes == 16
    assert innermost_loop([parse(SCALAR.replace("jne", "jmp"))]) is None
    assert innermost_loop([parse(SCALAR.replace("jne\t.L1", "jne\t.L3")), parse(SSE)]).lanes == 4
    assert innermost_loop([]) is None


def test_a_loop_in_words():
    words = f"{innermost_loop([parse(AVX512)])}"
    assert words == "2 multiply-adds of 16 floats, 4 loads, 1 store, in 8 instructions"
    words = f"{innermost_loop([parse(SCALAR)])}"
    assert (
        words == "no multiply-adds, 2 operations of 1 float, 2 loads, no stores, in 4 instructions"
    )


def test_every_part_of_a_step_has_its_source(step, ladder):
    texts = sources(ladder, step)
    assert len(texts) == len(step.parts)
    for part, text in zip(step.parts, texts, strict=True):
        name = part if isinstance(part, str) else getattr(part, "__name__", "")
        assert re.search(rf"^(?:c?p?def|@).*\b{name}|def {name}\(", text, re.M)
        assert text.count("\n") > 0
        assert not re.search(r"\n(?=[^\s)@d])", text), "more than one function"


def test_what_is_new_is_marked():
    before = ["def f(a):\n    for i in a:\n        print(i)", "def g():\n    pass"]
    now = ["def f(a):\n    for j in a:\n        for i in a:\n            print(i)", before[1]]
    assert new_lines(now, before) == [[False, True, False, False], [False, False]]
    assert new_lines(before, before) == [[False] * 3, [False] * 2]
    assert new_lines(before[1:], ["x = 1"]) == [[True, True]]


@pytest.mark.parametrize("words", ["3", "loop order", "Loop Order", "loop"])
def test_a_step_is_found_by_number_and_name(words):
    assert find_lesson(load("matmul"), words).name == "loop order"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("lop order", "no step 'lop order'; did you mean 'loop order'?"),
        ("99", "no step '99'; its steps are 1 python loops, 2 "),
        ("0", "no step '0'; its steps are"),
        ("", "an argument is empty|no step ''"),
        ("[bold]", r"no step '\[bold\]'"),
    ],
)
def test_an_unknown_step_gets_one_line(words, message, capsys):
    assert main(["--explain", words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"mnistcore ladder: error: .*\n", err)
    assert re.search(message, err)


def test_only_one_thing_is_done_at_a_time(capsys):
    assert main(["--explain", "3", "--mine", "a.py:f"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err


@pytest.mark.usefixtures("compiled")
def test_a_step_in_numba_is_explained(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["--explain", "loop order", "--backend", "numba"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 102  # code of 100 columns, after a mark
    assert LESSONS["loop order"].idea in " ".join(out.split())
    assert re.search(r"^\+ +factor = a\[i, k\]$", out, re.M)
    assert re.search(r"^ +for i in range\(out.shape\[0\]\):$", out, re.M)
    assert re.search(r"\d+ (multiply-adds|operations) of (4|8|16) floats", out)


def test_the_tile_of_vectors_stores_nothing_in_its_loop():
    try:
        step = next(one for one in load("matmul").steps("cython") if one.lesson.vectors)
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    arguments = load("matmul").draw((9, 17, 65), np.random.default_rng(0))
    if shutil.which("objdump") is None:
        with pytest.raises(NoMachineCodeError, match="objdump"):
            machine_code(step, arguments)
        return
    loop = innermost_loop(machine_code(step, arguments))
    assert loop.multiply_adds + loop.arithmetic >= 8
    assert loop.lanes >= 4
    assert loop.stores == 0


def test_without_objdump_it_says_so(monkeypatch, capsys):
    from mnistcore.ladder import disassembly

    monkeypatch.setattr(disassembly.shutil, "which", lambda name: None)
    disassembly._of_module.cache_clear()
    if main(["--explain", "loop order", "--backend", "cython"]) == 2:
        pytest.skip(capsys.readouterr().err)
    out = capsys.readouterr().out
    assert "not shown: objdump, which reads compiled modules, is not on this machine" in out
