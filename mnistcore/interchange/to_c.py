"""Write a model as one self-contained C99 file: tables of weights, loops and ``predict``.

With float weights it computes what the NumPy reference does, in another order of summation;
with int8 weights, what :mod:`.int8` does. Buffers are static: no heap, little stack, and a size
known at link time.

The int8 loop computes ``w[i] * x[i]`` and corrects for the offset of x by a constant, because
GCC 12 miscompiles ``w[i] * (x[i] - 128)`` for AVX-512 VNNI at ``-O3``.
"""

import shlex
import textwrap
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from ..models.model import Model
from ..system.errors import by
from ..system.version import VERSION
from .dense import Dense, dense_layers, plus, spelled_ink
from .int8 import Int8Dense, output_zero, quantize

_LINE = 100  # characters at most


def encode(model: Model, int8: bool = False, remark: str = "") -> bytes:
    """Return the content of the C file.

    Parameters
    ----------
    model
        The model.
    int8
        Quantise the weights to 8 bits.
    remark
        An additional line for the comment at the top.

    Raises
    ------
    ValueError
        If a weight is not finite, or a layer is too large for 8-bit weights.
    """
    network = model.network
    parts = [
        _head(model, int8, remark),
        _INCLUDES.format(network.layer_sizes[0], network.layer_sizes[-1]),
        *(_int8_parts(model) if int8 else _float_parts(model)),
        _PREDICT,
        _MAIN,
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts).encode()


def usage(model: Model, name: str) -> str:
    """Return the signatures of the file's functions, and shell commands that try it."""
    inputs, classes = model.network.layer_sizes[0], model.network.layer_sizes[-1]
    file = shlex.quote(name)
    return (
        f"int predict(const uint8_t image[{inputs}]);\n"
        f"void predict_proba(const uint8_t image[{inputs}], float probabilities[{classes}]);\n"
        "\n"
        f"cc -std=c99 -O2 -DMNISTCORE_MAIN {file} -o digits -lm\n"
        "tail -c +17 t10k-images-idx3-ubyte | ./digits   # pixels in, label and probabilities out"
    )


def memory(model: Model, int8: bool = False) -> tuple[int, int]:
    """Return the bytes of the tables and of the static buffers in the compiled file."""
    units = sum(model.network.layer_sizes[1:])
    x, z = _buffers(model, int8)
    if int8:
        offsets = sum(model.network.layer_sizes[2:]) if output_zero(model.network.activation) else 0
        return model.network.n_params + 7 * units + 4 * offsets, x + 4 * z
    return 4 * model.network.n_params, 4 * (x + z)


def _buffers(model: Model, int8: bool) -> tuple[int, int]:
    """Return the lengths of the buffers x and z.

    With float weights the layers alternate between them, starting from the image in x. With int8
    weights z holds the output of a layer, and x the same in bytes for the next one.
    """
    sizes = model.network.layer_sizes
    if int8:
        return max(sizes[1:-1], default=0), max(sizes[1:])
    return max(sizes[::2]), max(sizes[1::2])


def _head(model: Model, int8: bool, remark: str) -> str:
    network = model.network
    sizes = "-".join(map(str, network.layer_sizes))
    activation = f", {network.activation}" if len(network.layer_sizes) > 2 else ""
    tables, buffers = memory(model, int8)
    classes = [f"{index} {name}" for index, name in enumerate(model.class_names)]
    if model.class_names == tuple(map(str, range(len(classes)))):
        classes = [f"0 to {len(classes) - 1}"]
    shape = by(model.input_shape)
    lines = [
        f"A {sizes} multi-layer perceptron{activation}, written by mnistcore {VERSION}.",
        f"{'int8' if int8 else 'float'} weights: {tables:,} bytes of constant tables,"
        f" {buffers:,} bytes of static buffers.",
        *([remark] if remark else []),
        "",
        "    int predict(const uint8_t image[INPUTS]);",
        "    void predict_proba(const uint8_t image[INPUTS], float probabilities[CLASSES]);",
        "",
        f"An image is {shape} raw pixels from 0 to {spelled_ink(model)}, row by row. predict gives",
        "the number of the most probable class. The buffers are shared: one call at a time.",
        f"Classes: {', '.join(classes)}.",
        "",
        "C99; needs expf or tanhf of <math.h> (-lm). With -DMNISTCORE_MAIN it is a program that",
        "reads images from standard input and prints the label and the probabilities of each.",
    ]
    safe = (_printable(line).replace("*/", "* /").replace("/*", "/ *") for line in lines)
    wrapped = (part for line in safe for part in _wrapped(line))
    comment = "\n".join(f" * {line}".rstrip() for line in wrapped)
    return f"/*\n{comment}\n */"


def _printable(text: str) -> str:
    """Return text as ASCII without line breaks or trigraphs, which compilers warn about."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain.encode("ascii", "replace").decode().replace("??", "?")


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, _LINE - 3, drop_whitespace=True) or [""]


def _tables(index: int, layer: Dense | Int8Dense) -> str:
    """Write the constants of a layer; int8 weights by unit, float weights by input."""
    fan_in, fan_out = layer.weights.shape
    tables = [f"/* Layer {index}: {fan_in} inputs, {fan_out} units. */"]
    if isinstance(layer, Int8Dense):
        integers = map(str, layer.weights.T.ravel().tolist())
        tables.append(_table(f"int8_t w{index}", fan_in * fan_out, integers))
        if layer.input_zero:
            offsets = map(str, layer.offsets.tolist())
            tables.append(_table(f"int32_t o{index}", fan_out, offsets))
        tables.append(_table(f"float s{index}", fan_out, _literals(layer.scales)))
    else:
        weights = _literals(layer.weights.ravel())
        tables.append(_table(f"float w{index}", fan_in * fan_out, weights))
    tables.append(_table(f"float b{index}", fan_out, _literals(layer.bias)))
    return "\n".join(tables)


def _table(declaration: str, length: int, values: Iterable[str]) -> str:
    lines, line = [], "   "
    for value in values:
        if len(line) + len(value) + 2 > _LINE:
            lines.append(line)
            line = "   "
        line += f" {value},"
    lines.append(line)
    return "\n".join([f"static const {declaration}[{length}] = {{", *lines, "};"])


def _literals(values: np.ndarray) -> Iterable[str]:
    """Write float32 numbers as the shortest C literals that are exact."""
    return (str(value) + "f" for value in values.astype(np.float32))


def _literal(value: float) -> str:
    return next(iter(_literals(np.array([value]))))


def _float_parts(model: Model) -> list[str]:
    """Return tables, loops and the function that runs all layers, with float weights."""
    tables = [_tables(index, layer) for index, layer in enumerate(dense_layers(model))]
    return [*tables, _FLOAT_DENSE, *_activations(model), _float_forward(model)]


def _int8_parts(model: Model) -> list[str]:
    """Return the same as `_float_parts` with int8 weights."""
    layers = quantize(model)
    tables = [_tables(index, layer) for index, layer in enumerate(layers)]
    rounding = [_INT8_ROUND] if len(layers) > 1 else []
    return [*tables, _INT8_DENSE, *_activations(model), *rounding, _int8_forward(model, layers)]


def _activations(model: Model) -> list[str]:
    """Return the function of the hidden layers' activation, if there is one."""
    network = model.network
    used = len(network.layer_sizes) > 2 and network.activation != "identity"
    return [_ACTIVATIONS[network.activation]] if used else []


def _float_forward(model: Model) -> str:
    """Write the function that runs all layers, alternating between two buffers."""
    network = model.network
    n_x, n_z = _buffers(model, int8=False)
    source, target = "x", "z"
    entry = f"(float)image[i] * {_literal(model.scale)}"
    if model.shift:
        entry += plus(_literal(model.shift))
    lines = [
        "static const float *logits(const uint8_t *image)",
        "{",
        f"    static float x[{n_x}], z[{n_z}];",
        "    for (int i = 0; i < INPUTS; i++)",
        f"        x[i] = {entry};",
    ]
    pairs = list(pairwise(network.layer_sizes))
    for index, (fan_in, fan_out) in enumerate(pairs):
        lines.append(f"    dense({source}, {fan_in}, w{index}, b{index}, {target}, {fan_out});")
        if index < len(pairs) - 1 and network.activation != "identity":
            lines.append(f"    apply_{network.activation}({target}, {fan_out});")
        source, target = target, source
    return "\n".join([*lines, f"    return {source};", "}"])


def _int8_forward(model: Model, layers: Sequence[Int8Dense]) -> str:
    """Write the function that runs all layers: floats in z, rounded to bytes in x."""
    n_x, n_z = _buffers(model, int8=True)
    lines = ["static const float *logits(const uint8_t *image)", "{"]
    if n_x:
        lines.append(f"    static uint8_t x[{n_x}];")
    lines.append(f"    static float z[{n_z}];")
    source, step = "image", _literal(model.scale)
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


# C code that is the same for every network, in the order of the file.

_INCLUDES = """
#include <math.h>
#include <stdint.h>

#define INPUTS {}
#define CLASSES {}
"""

_FLOAT_DENSE = """
/* z = x @ w + b for x[n], w[n][m], b[m], z[m]; skips zeros, which most pixels are. */
static void dense(const float *x, int n, const float *w, const float *b, float *z, int m)
{
    for (int j = 0; j < m; j++)
        z[j] = b[j];
    for (int i = 0; i < n; i++, w += m) {
        if (x[i] == 0.0f)
            continue;
        for (int j = 0; j < m; j++)
            z[j] += x[i] * w[j];
    }
}
"""

_INT8_DENSE = """
/* z = (o + x @ w) * s * step + b for x[n], w[m][n], o[m], s[m], b[m], z[m]; integer sums.
 * If the byte 128 represents 0, o = -128 * sum of w corrects for it; otherwise o is 0. */
static void dense(const uint8_t *x, int n, float step, const int8_t *w, const int32_t *o,
                  const float *s, const float *b, float *z, int m)
{
    for (int j = 0; j < m; j++, w += n) {
        int32_t sum = o ? o[j] : 0;
        for (int i = 0; i < n; i++)
            sum += (int32_t)w[i] * x[i];
        z[j] = (float)sum * (s[j] * step) + b[j];
    }
}
"""

_ACTIVATIONS = {
    "logistic": """
static void apply_logistic(float *z, int n)
{
    for (int i = 0; i < n; i++)
        z[i] = 1.0f / (1.0f + expf(-z[i]));
}
""",
    "relu": """
static void apply_relu(float *z, int n)
{
    for (int i = 0; i < n; i++)
        z[i] = z[i] > 0.0f ? z[i] : 0.0f;
}
""",
    "tanh": """
static void apply_tanh(float *z, int n)
{
    for (int i = 0; i < n; i++)
        z[i] = tanhf(z[i]);
}
""",
}

_INT8_ROUND = """
/* x = a / step + zero, rounded; the step makes the largest |a| equal to `levels` steps. */
static float quantize(const float *a, int n, int zero, int levels, uint8_t *x)
{
    float top = 0.0f;
    for (int i = 0; i < n; i++)
        top = fabsf(a[i]) > top ? fabsf(a[i]) : top;
    float per_step = top > 1e-30f ? (float)levels / top : 0.0f;
    for (int i = 0; i < n; i++)
        x[i] = (uint8_t)(a[i] * per_step + ((float)zero + 0.5f));
    return top / (float)levels;
}
"""

_PREDICT = """
/* The number of the most probable class of an image. */
int predict(const uint8_t image[INPUTS])
{
    const float *z = logits(image);
    int best = 0;
    for (int j = 1; j < CLASSES; j++)
        if (z[j] > z[best])
            best = j;
    return best;
}

/* The probability of each class. */
void predict_proba(const uint8_t image[INPUTS], float probabilities[CLASSES])
{
    const float *z = logits(image);
    float top = z[0], sum = 0.0f;
    for (int j = 1; j < CLASSES; j++)
        top = z[j] > top ? z[j] : top;
    for (int j = 0; j < CLASSES; j++) {
        probabilities[j] = expf(z[j] - top);
        sum += probabilities[j];
    }
    for (int j = 0; j < CLASSES; j++)
        probabilities[j] /= sum;
}
"""

_MAIN = """
#ifdef MNISTCORE_MAIN
#include <stdio.h>

int main(void)
{
    static uint8_t image[INPUTS];
    static float probabilities[CLASSES];
    size_t bytes;
    while ((bytes = fread(image, 1, INPUTS, stdin)) == INPUTS) {
        printf("%d", predict(image));
        predict_proba(image, probabilities);
        for (int j = 0; j < CLASSES; j++)
            printf(" %.9g", (double)probabilities[j]);
        printf("\\n");
    }
    if (bytes > 0)
        fprintf(stderr, "the last image has %d of %d bytes\\n", (int)bytes, INPUTS);
    return bytes > 0;
}
#endif
"""
