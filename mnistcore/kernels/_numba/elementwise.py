"""Element-wise functions (exp, tanh, the activations), and the kernels that apply them.

The programs use the functions on vectors too. The kernels are the loops of tier 1 of the
contract, over arrays that the public functions have checked; for the last vector, they load and
store only the lanes that exist.
"""

import math

import numpy as np

from .. import layout
from .functions import entry, inner
from .machine import VL
from .memory import address
from .vectors import fma, load_first, raise_exponent, select_less, splat, store_first

# Adding 1.5 * 2**23 leaves no bits for a fraction: the sum is rounded to a whole number, which
# the low bits of the mantissa then hold.
_ROUND = np.float32(1.5 * 2**23)
_LOG2_E = np.float32(math.log2(math.e))
# ln 2 in two parts; the first has few enough bits for its multiples to be exact.
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(math.log(2) - 0.693359375)
_EXP_MIN = np.float32(-87.33)  # below this exp is denormal, and 0 is returned
_EXP_MAX = np.float32(88.72)


@inner
def exp(x):
    """Return e**x, lane by lane, to about 1 ulp; 0 below -87.33, inf above 88.72, NaN for NaN.

    x = n ln 2 + r with |r| <= ln 2 / 2; a polynomial gives e**r, and n is added to its exponent.
    Source: the method of Cephes's expf.
    """
    lowest, highest = splat(_EXP_MIN), splat(_EXP_MAX)
    inside = select_less(x, lowest, lowest, x)
    inside = select_less(highest, inside, highest, inside)
    n = fma(inside, splat(_LOG2_E), splat(_ROUND))
    whole = n - splat(_ROUND)
    r = fma(whole, splat(-_LN2_HIGH), inside)
    r = fma(whole, splat(-_LN2_LOW), r)
    p = fma(r, splat(1.9875691500e-4), splat(1.3981999507e-3))
    p = fma(p, r, splat(8.3334519073e-3))
    p = fma(p, r, splat(4.1665795894e-2))
    p = fma(p, r, splat(1.6666665459e-1))
    p = fma(p, r, splat(5.0000001201e-1))
    p = fma(p, r * r, r + splat(1.0))
    # n is 128 only if p < 1, and -126 only if p >= 1: the result is always a normal number.
    y = raise_exponent(p, n)
    y = select_less(x, lowest, splat(0.0), y)
    y = select_less(highest, x, splat(np.inf), y)
    return fma(inside, splat(0.0), y)  # NaN * 0 propagates a NaN


@inner
def tanh(x):
    """Return tanh x by lane: an odd polynomial near 0, else 1 - 2 / (e**2|x| + 1) (Cephes)."""
    zero = splat(0.0)
    size = select_less(x, zero, zero - x, x)
    square = x * x
    p = fma(square, splat(-5.70498872745e-3), splat(2.06390887954e-2))
    p = fma(p, square, splat(-5.37397155531e-2))
    p = fma(p, square, splat(1.33314422036e-1))
    p = fma(p, square, splat(-3.33332819422e-1))
    near = fma(p * square, x, x)
    far = splat(1.0) - splat(2.0) / (exp(size + size) + splat(1.0))
    far = select_less(x, zero, zero - far, far)
    return select_less(size, splat(0.625), near, far)


@inner
def logistic(x):
    """Return 1 / (1 + e**-x), lane by lane."""
    return splat(1.0) / (splat(1.0) + exp(splat(0.0) - x))


@inner
def relu(x):
    """Return max(x, 0), lane by lane; NaN stays NaN."""
    return select_less(x, splat(0.0), splat(0.0), x)


@inner
def activate(code, z):
    """Apply the activation with a given code of ``layout`` to a vector."""
    if code == layout.RELU:
        return relu(z)
    if code == layout.TANH:
        return tanh(z)
    if code == layout.LOGISTIC:
        return logistic(z)
    return z


@inner
def derive(code, gradient, a):
    """Multiply ``gradient`` by the derivative of an activation, computed from its output a."""
    one = splat(1.0)
    if code == layout.RELU:
        return select_less(splat(0.0), a, gradient, splat(0.0))
    if code == layout.TANH:
        return gradient * (one - a * a)
    if code == layout.LOGISTIC:
        return gradient * (a * (one - a))
    return gradient


@entry
def add_bias(z, b, out):
    """Compute out = z + b, row by row; z and out (B, O), b (O,), float32."""
    z_base, b_base, out_base = address(z), address(b), address(out)
    rows, n = z.shape
    for r in range(rows):
        for i in range(0, n, VL):
            row = load_first(z_base, r * n + i, n - i) + load_first(b_base, i, n - i)
            store_first(out_base, r * n + i, row, n - i)


@entry
def sum_rows(dz, out):
    """Compute out = the sum of the rows of dz, in order; dz (B, O), out (O,), float32."""
    base, out_base = address(dz), address(out)
    rows, n = dz.shape
    for i in range(0, n, VL):
        column = splat(0.0)
        for r in range(rows):
            column = column + load_first(base, r * n + i, n - i)
        store_first(out_base, i, column, n - i)


@entry
def activation_forward(code, z, a):
    """Compute a = the activation of z, by its code in ``layout``; (B, O) float32."""
    z_base, a_base = address(z), address(a)
    n = z.size
    for i in range(0, n, VL):
        store_first(a_base, i, activate(code, load_first(z_base, i, n - i)), n - i)


@entry
def activation_backward(code, da, a, dz):
    """Compute dz = da times the activation's derivative, from the output a; (B, O) float32."""
    da_base, a_base, dz_base = address(da), address(a), address(dz)
    n = a.size
    for i in range(0, n, VL):
        gradient = load_first(da_base, i, n - i)
        gradient = derive(code, gradient, load_first(a_base, i, n - i))
        store_first(dz_base, i, gradient, n - i)
