"""Write a model as one self-contained C file, and a header for the programs that use it.

The C file has tables of weights, loops and a few public functions, and compiles alone as C99, C11
or C++. The header declares these functions, with ``extern "C"`` for C++. Names of functions and
macros begin with a prefix, made of the name of the file, and all else is static, so that several
models fit into one program.

With float weights it computes what the NumPy reference does, in another order of summation;
with int8 weights, what :mod:`.int8` does. Buffers are static: no heap, little stack, and a size
known at link time. On AVR the tables stay in flash. Nothing is computed in double.

The int8 loop computes ``w[i] * x[i]``, which fits AVR's int of 16 bits, and corrects for the
offset of x by a constant, because GCC 12 miscompiles ``w[i] * (x[i] - 128)`` for AVX-512 VNNI at
``-O3``.
"""

import re
import shlex
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from string import Template

from ..models.model import Model
from ..system.errors import by
from ..system.version import VERSION
from . import c_code
from .c_tables import LINE, layer_tables, literal, name_size, names_table
from .dense import Source, dense_layers, plus, spelled_ink
from .int8 import Int8Dense, output_zero, quantize

_MARK = "written by mnistcore"  # on the first line of a header, so that no other is replaced

_AVR_TABLE, _AVR_TABLES = 32767, 65000  # bytes: its largest object, and the reach of pgm_read_byte


def encode(model: Source, int8: bool = False, prefix: str = "model", remark: str = "") -> bytes:
    """Return the content of the C file.

    Parameters
    ----------
    model
        The model, or the network of an estimator.
    int8
        Quantise the weights of a model to 8 bits.
    prefix
        Of the public names; see :func:`prefix_of`.
    remark
        An additional line for the comment at the top.

    Raises
    ------
    ValueError
        If a weight is not finite, a layer is too large for 8-bit weights, or the name of a class
        too long.
    """
    link = _link(model)
    own = _Placeholders(model, prefix)
    names = []
    if _named(model):
        names = [names_table(model.class_names), own.fill(c_code.CLASS_NAME)]
    parts = [
        _head(model, int8, prefix, remark),
        own.fill(c_code.INCLUDES),
        c_code.FLASH,
        *([] if _fits_avr(model, int8) else [c_code.TOO_LARGE_FOR_AVR]),
        _declarations(model, prefix),
        *(_int8_parts(model) if int8 and isinstance(model, Model) else _float_parts(model)),
        own.fill(c_code.FUNCTIONS[link]),
        *names,
        own.fill(c_code.MAIN.replace("$show", c_code.SHOW[link].strip("\n"))),
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts).encode("utf-8", "replace")


class _Placeholders:
    """What the $placeholders of :mod:`.c_code` stand for in the file of a model."""

    def __init__(self, model: Source, prefix: str) -> None:
        sizes, pixels = model.network.layer_sizes, isinstance(model, Model)
        self._values = {
            "prefix": prefix,
            "inputs": sizes[0],
            "outputs": sizes[-1],
            "input": "const uint8_t image[INPUTS]" if pixels else "const float x[INPUTS]",
            "name": "image" if pixels else "x",
            "type": "uint8_t" if pixels else "float",
            "what": "image" if pixels else "row",
            "name_size": name_size(model.class_names) if _named(model) else 0,
        }

    def fill(self, code: str) -> str:
        """Return the code with its placeholders filled."""
        return Template(code).substitute(self._values)


def encode_header(model: Source, prefix: str = "model") -> bytes:
    """Return the content of the header; arguments as in :func:`encode`."""
    sizes, upper = model.network.layer_sizes, prefix.upper()
    network = "-".join(map(str, sizes))
    macros = [f"#define {upper}_INPUTS {sizes[0]}", f"#define {upper}_OUTPUTS {sizes[-1]}"]
    if _named(model):
        macros.append(f"#define {upper}_NAME_SIZE {name_size(model.class_names)}")
    return "\n".join(
        [
            f"/* The functions of a {network} multi-layer perceptron, {_mark()}. */",
            f"#ifndef {upper}_H",
            f"#define {upper}_H",
            "",
            "#include <stdint.h>",
            "",
            *macros,
            "",
            _declarations(model, prefix),
            "#endif",
            "",
        ]
    ).encode()


def is_header(path: Path) -> bool:
    """Return whether a file is a header that an export wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _MARK.encode() in file.readline(10_000)


def prefix_of(stem: str) -> str:
    """Return the prefix of the public names in a file of this name: its letters and digits."""
    plain = re.sub("[^0-9A-Za-z]+", "_", stem).strip("_")
    return plain if plain[:1].isalpha() else f"model_{plain}".rstrip("_")


def usage(model: Source, name: str, prefix: str = "model") -> str:
    """Return the signatures of the file's functions, and shell commands that try it."""
    file, program = shlex.quote(name), "digits" if isinstance(model, Model) else "network"
    tried = "./network < X.bin   # rows of float32 in"
    if isinstance(model, Model):
        size = model.network.layer_sizes[0]
        tried = f"./digits < images.bin   # {size} bytes of pixels for each image in"
        if model.input_shape == (28, 28):
            tried = "tail -c +17 t10k-images-idx3-ubyte | ./digits   # pixels in"
    out = "label and probabilities out" if _link(model) in ("softmax", "logistic") else "values out"
    return (
        "".join(f"{each}\n" for each in _signatures(model, prefix)) + "\n"
        f"cc -std=c99 -O2 -DMNISTCORE_MAIN {file} -o {program} -lm\n"
        f"{tried}, {out}"
    )


def memory(model: Source, int8: bool = False) -> tuple[int, int]:
    """Return the bytes of the tables and of the static buffers in the compiled file."""
    units = sum(model.network.layer_sizes[1:])
    names = len(model.class_names) * name_size(model.class_names) if _named(model) else 0
    x, z = _buffers(model, int8)
    if int8:
        offsets = sum(model.network.layer_sizes[2:]) if output_zero(model.network.activation) else 0
        return model.network.n_params + 7 * units + 4 * offsets + names, x + 4 * z
    return 4 * model.network.n_params + names, 4 * (x + z)


def _fits_avr(model: Source, int8: bool) -> bool:
    sizes = model.network.layer_sizes
    largest = max(i * o for i, o in pairwise(sizes)) * (1 if int8 else 4)
    return largest <= _AVR_TABLE and memory(model, int8)[0] <= _AVR_TABLES


def _buffers(model: Source, int8: bool) -> tuple[int, int]:
    """Return the lengths of the buffers x and z.

    With float weights the layers alternate between them, starting from the image in x, or from
    the caller's row of features. With int8 weights z holds the output of a layer, and x the same
    in bytes for the next one.
    """
    sizes = model.network.layer_sizes
    if int8:
        return max(sizes[1:-1], default=0), max(sizes[1:])
    first = 0 if isinstance(model, Model) else 2
    return max(sizes[first::2], default=0), max(sizes[1::2])


def _link(model: Source) -> str:
    return "softmax" if isinstance(model, Model) else model.link


def _named(model: Source) -> bool:
    """Return whether there are class names other than the numbers of the outputs."""
    return model.class_names != tuple(map(str, range(len(model.class_names))))


def _signatures(model: Source, prefix: str) -> list[str]:
    """Return the declarations of the public functions: the heads of their definitions."""
    code = c_code.FUNCTIONS[_link(model)] + (c_code.CLASS_NAME if _named(model) else "")
    inputs, *_, outputs = model.network.layer_sizes
    code = code.replace("[OUTPUTS]", f"[{outputs}]")
    code = _Placeholders(model, prefix).fill(code).replace("[INPUTS]", f"[{inputs}]")
    return [f"{head};" for head in re.findall(r"^\w.*\)$", code, re.MULTILINE)]


def _explained(model: Source) -> list[str]:
    """Return what the public functions take and give, one sentence or two a line."""
    if isinstance(model, Model):
        lines = [
            f"An image is {by(model.input_shape)} raw pixels from 0 to {spelled_ink(model)}, row by"
            " row."
        ]
    else:
        lines = [f"x is a row of {model.network.layer_sizes[0]} features."]
    lines += {
        "softmax": ["predict gives the number of the most probable class."],
        "logistic": ["predict sets each label to 1 if it is more probable than not, else to 0."],
    }.get(_link(model), [])
    if _named(model):
        lines += ["class_name copies the name of a class into an array of the caller."]
    return [*lines, "The buffers are shared: one call at a time."]


def _declarations(model: Source, prefix: str) -> str:
    """Declare the public functions, for C and for C++."""
    comment = _comment(_explained(model))
    opening, closing = '#ifdef __cplusplus\nextern "C" {\n#endif', "#ifdef __cplusplus\n}\n#endif"
    return "\n".join([comment, opening, *_signatures(model, prefix), closing, ""])


def _mark() -> str:
    return f"{_MARK} {VERSION}"


def _head(model: Source, int8: bool, prefix: str, remark: str) -> str:
    network = model.network
    sizes = "-".join(map(str, network.layer_sizes))
    activation = f", {network.activation}" if len(network.layer_sizes) > 2 else ""
    tables, buffers = memory(model, int8)
    classes = [f"{index} {name}" for index, name in enumerate(model.class_names)]
    if not _named(model):
        classes = [f"0 to {len(classes) - 1}"] if classes else []
    lines = [
        f"A {sizes} multi-layer perceptron{activation}, {_mark()}.",
        f"{'int8' if int8 else 'float'} weights: {tables:,} bytes of constant tables,"
        f" {buffers:,} bytes of static buffers.",
        *([remark] if remark else []),
        *([f"Classes: {', '.join(classes)}."] if classes else []),
        "",
        "C99, C11 or C++; needs <math.h> (-lm). AVR keeps the tables in flash. Public names begin",
        f"with {prefix}_, and a header declares them. With -DMNISTCORE_MAIN it is a program that",
        "reads inputs from standard input and prints the results for each.",
    ]
    return _comment(lines)


def _comment(lines: Sequence[str]) -> str:
    safe = (_printable(line).replace("*/", "* /").replace("/*", "/ *") for line in lines)
    wrapped = (part for line in safe for part in _wrapped(line))
    comment = "\n".join(f" * {line}".rstrip() for line in wrapped)
    return f"/*\n{comment}\n */"


def _printable(text: str) -> str:
    """Return text as ASCII without line breaks or trigraphs, which compilers warn about."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain.encode("ascii", "replace").decode().replace("??", "?")


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, LINE - 3, drop_whitespace=True) or [""]


def _float_parts(model: Source) -> list[str]:
    """Return tables, loops and the function that runs all layers, with float weights."""
    tables = [layer_tables(index, layer) for index, layer in enumerate(dense_layers(model))]
    return [*tables, c_code.FLOAT_DENSE, *_activations(model), _float_forward(model)]


def _int8_parts(model: Model) -> list[str]:
    """Return the same as `_float_parts` with int8 weights."""
    layers = quantize(model)
    tables = [layer_tables(index, layer) for index, layer in enumerate(layers)]
    rounding = [c_code.INT8_ROUND] if len(layers) > 1 else []
    loops = [c_code.INT8_DENSE, *_activations(model), *rounding]
    return [*tables, *loops, _int8_forward(model, layers)]


def _activations(model: Source) -> list[str]:
    """Return the function of the hidden layers' activation, if there is one."""
    network = model.network
    used = len(network.layer_sizes) > 2 and network.activation != "identity"
    return [c_code.ACTIVATIONS[network.activation]] if used else []


def _float_forward(model: Source) -> str:
    """Write the function that runs all layers, alternating between two buffers."""
    network = model.network
    n_x, n_z = _buffers(model, int8=False)
    buffers = f"x[{n_x}], z[{n_z}]" if n_x else f"z[{n_z}]"
    if isinstance(model, Model):
        entry = f"(float)image[i] * {literal(model.scale)}"
        if model.shift:
            entry += plus(literal(model.shift))
        lines = [
            "static const float *logits(const uint8_t *image)",
            "{",
            f"    static float {buffers};",
            "    for (int i = 0; i < INPUTS; i++)",
            f"        x[i] = {entry};",
        ]
        source = "x"
    else:
        lines = [
            "static const float *logits(const float *row)",
            "{",
            f"    static float {buffers};",
        ]
        source = "row"
    target, other = "z", "x"
    pairs = list(pairwise(network.layer_sizes))
    for index, (fan_in, fan_out) in enumerate(pairs):
        lines.append(f"    dense({source}, {fan_in}, w{index}, b{index}, {target}, {fan_out});")
        if index < len(pairs) - 1 and network.activation != "identity":
            lines.append(f"    apply_{network.activation}({target}, {fan_out});")
        source, target, other = target, other, target
    return "\n".join([*lines, f"    return {source};", "}"])


def _int8_forward(model: Model, layers: Sequence[Int8Dense]) -> str:
    """Write the function that runs all layers: floats in z, rounded to bytes in x."""
    n_x, n_z = _buffers(model, int8=True)
    lines = ["static const float *logits(const uint8_t *image)", "{"]
    if n_x:
        lines.append(f"    static uint8_t x[{n_x}];")
    lines.append(f"    static float z[{n_z}];")
    source, step = "image", literal(model.scale)
    for index, layer in enumerate(layers):
        fan_in, fan_out = layer.weights.shape
        constants = f"w{index}, {f'o{index}' if layer.input_zero else 0}, s{index}, b{index}"
        call = f"dense({source}, {fan_in}, {step}, {constants}, z, {fan_out});"
        lines.append(f"    {call}")
        if index == len(layers) - 1:
            break
        if layer.activation != "identity":
            lines.append(f"    apply_{layer.activation}(z, {fan_out});")
        declared = "float " if index == 0 else ""
        rounding = f"quantize(z, {fan_out}, {layer.zero}, {layer.levels}, x);"
        lines.append(f"    {declared}step = {rounding}")
        source, step = "x", "step"
    return "\n".join([*lines, "    return z;", "}"])
