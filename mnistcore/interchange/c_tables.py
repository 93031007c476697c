"""Tables of numbers and of names in C."""

from collections.abc import Iterable, Sequence

import numpy as np

from .dense import Dense
from .int8 import Int8Dense

LINE = 100  # characters at most
_LONGEST = 4095  # bytes in a string that every C99 compiler takes


def layer_tables(index: int, layer: Dense | Int8Dense) -> str:
    """Write the constants of a layer; int8 weights by unit, float weights by input."""
    fan_in, fan_out = layer.weights.shape
    tables = [f"/* Layer {index}: {fan_in} inputs, {fan_out} units. */"]
    if isinstance(layer, Int8Dense):
        integers = map(str, layer.weights.T.ravel().tolist())
        tables.append(_table(f"int8_t w{index}", fan_in * fan_out, integers))
        if layer.input_zero:
            offsets = map(str, layer.offsets.tolist())
            tables.append(_table(f"int32_t o{index}", fan_out, offsets))
        tables.append(_table(f"float s{index}", fan_out, literals(layer.scales)))
    else:
        weights = literals(layer.weights.ravel())
        tables.append(_table(f"float w{index}", fan_in * fan_out, weights))
    tables.append(_table(f"float b{index}", fan_out, literals(layer.bias)))
    return "\n".join(tables)


def _table(declaration: str, length: int, values: Iterable[str]) -> str:
    lines, line = [], "   "
    for value in values:
        if len(line) + len(value) + 2 > LINE:
            lines.append(line)
            line = "   "
        line += f" {value},"
    lines.append(line)
    return "\n".join([f"static const {declaration}[{length}] FLASH = {{", *lines, "};"])


def literals(values: np.ndarray) -> Iterable[str]:
    """Write float32 numbers as the shortest C literals that are exact."""
    return (str(value) + "f" for value in values.astype(np.float32))


def literal(value: float) -> str:
    """Write one such number."""
    return next(iter(literals(np.array([value]))))


def name_size(names: Sequence[str]) -> int:
    """Return the bytes of the longest name in UTF-8, with the 0 at its end.

    Raises
    ------
    ValueError
        If that is more than C99 compilers must take.
    """
    size = 1 + max(len(name.encode("utf-8", "replace")) for name in names)
    if size > _LONGEST:
        raise ValueError(f"a class has a name of {size - 1:,} bytes; C takes {_LONGEST - 1:,}")
    return size


def names_table(names: Sequence[str]) -> str:
    """Write class names as a table of strings."""
    lines = [f"static const char names[{len(names)}][{name_size(names)}] FLASH = {{"]
    for name in names:
        lines += [f"    {part}" for part in _string(name)]
        lines[-1] += ","
    return "\n".join([*lines, "};"])


def _string(text: str) -> list[str]:
    """Write a text as a C string in UTF-8, in parts that fit a line."""
    plain = {byte: chr(byte) for byte in range(0x20, 0x7F) if chr(byte) not in '"\\?'}
    signs = [plain.get(byte, f"\\{byte:03o}") for byte in text.encode("utf-8", "replace")]
    parts, part = [], ""
    for sign in signs:
        if len(part) + len(sign) > LINE - 8:
            parts.append(part)
            part = ""
        part += sign
    return [f'"{each}"' for each in (*parts, part)]
