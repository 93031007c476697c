"""What is in the innermost loop of machine code: multiply-adds, loads and stores.

Reads assembly of x86 in AT&T syntax and of 64-bit ARM, as LLVM writes and as objdump shows it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_LABEL = re.compile(r'^"?([\w.$@]+)"?:')
_OPERATION = re.compile(r"^\s*(?:(?P<address>[0-9a-f]+):)?\s+(?P<name>[a-z][\w.]*)\s*(?P<rest>.*)")
_X86_FMA = re.compile(r"vf(?:n?m)(?:add|sub)(?:132|213|231)(?P<kind>[ps][sd])$")
_X86_OTHER = re.compile(r"v?(?:add|sub|mul|div|max|min|sqrt)(?P<kind>[ps][sd])$")
_ARM_FMA = re.compile(r"f(?:mla|mls|n?madd|n?msub)(?P<kind>\.\w+)?$")
_ARM_OTHER = re.compile(r"f(?:add|sub|mul|div|max|min|maxnm|minnm|sqrt)(?P<kind>\.\w+)?$")
_ARM_MEMORY = re.compile(r"(?P<way>ld|st)(?P<pair>n?p|[1-4]|u?r)\w*(?:\.\w+)?$")
_JUMP = re.compile(r"j(?!mp)[a-z]+$|b\.[a-z]{2}$|cbn?z$|tbn?z$")  # if a condition holds
_NO_ACCESS = ("lea", "nop", "prefetch", "call", "jmp", "prfm")
_ONLY_READS = ("cmp", "test", "vucomi", "ucomi", "vcomi", "comi", "bt", "vcmp")
_BITS = {"x": 128, "y": 256, "z": 512}


class Instruction(NamedTuple):
    """One instruction: a label or an address before it, its name, and what follows."""

    labels: tuple[str, ...]
    name: str
    rest: str


@dataclass(frozen=True)
class Loop:
    """The counts of a pass of a loop.

    Attributes
    ----------
    multiply_adds, lanes
        The fused multiply-adds, and how many numbers the widest one works on.
    arithmetic
        Other instructions that add, subtract, multiply, divide or compare floats.
    loads, stores
        The accesses to memory.
    instructions
        All of them.
    work
        The floating-point operations, or where there are none the accesses to memory.
    listing
        The instructions.
    """

    multiply_adds: int
    arithmetic: int
    lanes: int
    loads: int
    stores: int
    instructions: int
    work: float
    listing: tuple[str, ...]

    def __str__(self) -> str:
        of = f" of {self.lanes} float{'s' if self.lanes > 1 else ''}"
        counts = [_count(self.multiply_adds, "multiply-add", of if self.multiply_adds else "")]
        if self.arithmetic:
            what = "other operation" if self.multiply_adds else "operation"
            counts.append(_count(self.arithmetic, what, "" if self.multiply_adds else of))
        counts += [_count(self.loads, "load"), _count(self.stores, "store")]
        return f"{', '.join(counts)}, in {self.instructions} instructions"


def _count(number: int, noun: str, of: str = "") -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}{of}"


def parse(text: str) -> list[Instruction]:
    """Return the instructions of an assembly text, with the labels or addresses before them."""
    found = []
    labels: list[str] = []
    for line in text.splitlines():
        label = _LABEL.match(line)
        if label:
            labels.append(label[1])
            continue
        code = line.split("#")[0] if "%" in line else line
        operation = _OPERATION.match(code)
        if operation:
            if operation["address"]:
                labels.append(operation["address"])
            found.append(Instruction(tuple(labels), operation["name"], operation["rest"].strip()))
            labels = []
    return found


def innermost_loop(units: Iterable[Sequence[Instruction]]) -> Loop | None:
    """Return the loop without a loop in it that does most arithmetic; None if there is no loop.

    A loop is what lies between a conditional jump back and its target: code that was moved out of
    the way jumps back without a condition. Of those that do at least half of the most, the one with
    the fewest other instructions is taken: compilers add loops for edges, which seldom run.
    Labels are looked for in the same unit.
    """
    loops = [
        _measured(code[first : last + 1]) for code in units for first, last in _innermost(code)
    ]
    most = max((loop.work for loop in loops), default=0)
    return max(
        (loop for loop in loops if 2 * loop.work >= most),
        key=lambda loop: loop.work / loop.instructions,
        default=None,
    )


def _innermost(code: Sequence[Instruction]) -> Iterator[tuple[int, int]]:
    places = {label: place for place, one in enumerate(code) for label in one.labels}
    regions = set()
    for place, one in enumerate(code):
        if _JUMP.match(one.name):
            target = places.get(_target(one.rest))
            if target is not None and target <= place:
                regions.add((target, place))
    returns = [place for place, one in enumerate(code) if one.name.startswith("ret")]
    for first, last in regions:
        if any(first <= place <= last for place in returns):
            continue
        others = regions - {(first, last)}
        if not any(first <= start and end <= last for start, end in others):
            yield first, last


def _target(rest: str) -> str:
    """Return the label or address that a jump leads to."""
    return rest.split("<")[0].split(",")[-1].strip().strip('"')


def _measured(code: Sequence[Instruction]) -> Loop:
    fmas = [one for one in code if _X86_FMA.match(one.name) or _ARM_FMA.match(one.name)]
    others = [one for one in code if _X86_OTHER.match(one.name) or _ARM_OTHER.match(one.name)]
    loads, stores = map(sum, zip(*map(_accesses, code), strict=True))
    operations = 2 * sum(map(_lanes, fmas)) + sum(map(_lanes, others))
    return Loop(
        multiply_adds=len(fmas),
        arithmetic=len(others),
        lanes=max(map(_lanes, fmas or others), default=1),
        loads=loads,
        stores=stores,
        instructions=len(code),
        work=operations or 0.01 * (loads + stores),
        listing=(
            *(f"{one.name:<14}{one.rest.split('<')[0].rstrip()}" for one in code[:-1]),
            f"{code[-1].name:<14}back",
        ),
    )


def _lanes(one: Instruction) -> int:
    kind = (_X86_FMA.match(one.name) or _X86_OTHER.match(one.name) or [""])[0][-2:]
    widths = [_BITS[letter] for letter in re.findall(r"%([xyz])mm", one.rest)]
    if widths:
        return 1 if kind[0] == "s" else max(widths) // (32 if kind[1] == "s" else 64)
    lanes = re.search(r"\.(\d+)[sdh]\b", f"{one.name} {one.rest}")
    return int(lanes[1]) if lanes else 1


def _accesses(one: Instruction) -> tuple[int, int]:
    """Return how often an instruction loads from memory, and how often it stores to it."""
    if "[" in one.rest:
        found = _ARM_MEMORY.match(one.name)
        if not found or one.name.startswith(_NO_ACCESS):
            return 0, 0
        count = 2 if found["pair"].endswith("p") else 1
        return (count, 0) if found["way"] == "ld" else (0, count)
    if "(" not in one.rest or one.name.startswith(_NO_ACCESS):
        return 0, 0
    if "(" not in _last_operand(one.rest) or one.name.startswith(_ONLY_READS):
        return 1, 0
    moves = "mov" in one.name or "extract" in one.name or one.name.startswith("set")
    return (0, 1) if moves else (1, 1)


def _last_operand(rest: str) -> str:
    """Return what follows the last comma that is not in parentheses."""
    return re.split(r",(?![^(]*\))", rest)[-1]


def called(code: Iterable[Instruction]) -> set[str]:
    """Return the addresses and names that instructions call or jump to."""
    jumps = (one for one in code if one.name.startswith(("call", "j", "b")))
    return {_target(one.rest) for one in jumps}
