# exp and related functions on vectors, the activations, and the public element-wise kernels.

cdef inline vec exp(vec x) noexcept nogil:
    """Return e**x to about 1 ulp: 0 below -87.4, inf above 88.4, NaN for NaN.

    Split ``x = n log 2 + r`` with log 2 in two parts (Cody and Waite 1980, chapter 6), evaluate
    a polynomial for e**r (the coefficients of Cephes' expf) and add n to the exponent. Adding
    1.5 * 2**23 rounds to an integer and leaves it in the low bits.
    """
    cdef vec rounder = splat(12582912.0)
    cdef vec clamped = minimum(splat(89.0), maximum(splat(-88.0), x))
    cdef vec shifted = fma(clamped, splat(1.44269504088896341), rounder)
    cdef vec n = shifted - rounder
    cdef vec r = fma(n, splat(2.12194440e-4), fma(n, splat(-0.693359375), clamped))
    cdef vec p = splat(1.9875691500e-4)
    p = fma(p, r, splat(1.3981999507e-3))
    p = fma(p, r, splat(8.3334519073e-3))
    p = fma(p, r, splat(4.1665795894e-2))
    p = fma(p, r, splat(1.6666665459e-1))
    p = fma(p, r, splat(5.0000001201e-1))
    p = fma(p, r * r, r + splat(1.0))
    return p * from_bits((as_bits(shifted) + 127) << 23)


cdef inline vec tanh(vec x) noexcept nogil:
    """Return tanh x to about 2 ulp, by a polynomial for abs(x) < 0.625, else by exp (Cephes)."""
    cdef ivec sign = as_bits(x) & as_bits(splat(-0.0))
    cdef vec size = from_bits(as_bits(x) ^ sign)
    cdef vec large = splat(1.0) - splat(2.0) / (exp(size + size) + splat(1.0))
    cdef vec square = size * size
    cdef vec p = splat(-5.70498872745e-3)
    p = fma(p, square, splat(2.06390887954e-2))
    p = fma(p, square, splat(-5.37397155531e-2))
    p = fma(p, square, splat(1.33314422036e-1))
    p = fma(p, square, splat(-3.33332819422e-1))
    p = fma(p * square, size, size)
    p = select(less(size, splat(0.625)), p, large)
    return from_bits(as_bits(p) | sign)


cdef inline vec logistic(vec x) noexcept nogil:
    """Return 1 / (1 + e**-x)."""
    return splat(1.0) / (splat(1.0) + exp(splat(0.0) - x))


cdef inline vec activate(const int64_t activation, vec z) noexcept nogil:
    """Apply an activation, given by its ``layout`` code: a constant wherever this is inlined."""
    if activation == RELU:
        return maximum(splat(0), z)
    if activation == TANH:
        return tanh(z)
    if activation == LOGISTIC:
        return logistic(z)
    return z


cdef inline vec derive(const int64_t activation, vec da, vec a) noexcept nogil:
    """Return dz, given da and the activation's output a."""
    if activation == RELU:
        return select(less(splat(0), a), da, splat(0))
    if activation == TANH:
        return da * (splat(1) - a * a)
    if activation == LOGISTIC:
        return da * (a * (splat(1) - a))
    return da


cdef inline void activate_loop(
    const int64_t activation, const float *z, int64_t n, float *a
) noexcept nogil:
    cdef int64_t v, whole = n - n % VL
    for v in range(n // VL):
        store(a + v * VL, activate(activation, load(z + v * VL)))
    if whole < n:
        store_first(a + whole, activate(activation, load_first(z + whole, n - whole)), n - whole)


cdef inline void derive_loop(
    const int64_t activation, const float *da, const float *a, int64_t n, float *dz
) noexcept nogil:
    cdef int64_t v, whole = n - n % VL
    for v in range(n // VL):
        store(dz + v * VL, derive(activation, load(da + v * VL), load(a + v * VL)))
    if whole < n:
        store_first(
            dz + whole,
            derive(activation, load_first(da + whole, n - whole), load_first(a + whole, n - whole)),
            n - whole,
        )


def activation_forward(int64_t activation, const float[:, ::1] z, float[:, ::1] a):
    """Compute a = activation(z), both (B, O), for a ``layout`` code other than IDENTITY."""
    cdef int64_t n = z.shape[0] * z.shape[1]
    cdef uint32_t mode
    with nogil:
        mode = flush_denormals()
        if activation == RELU:
            activate_loop(RELU, address(z), n, out_address(a))
        elif activation == TANH:
            activate_loop(TANH, address(z), n, out_address(a))
        else:
            activate_loop(LOGISTIC, address(z), n, out_address(a))
        set_float_mode(mode)


def activation_backward(
    int64_t activation, const float[:, ::1] da, const float[:, ::1] a, float[:, ::1] dz
):
    """Compute dz from da and the activation's output a, all (B, O)."""
    cdef int64_t n = a.shape[0] * a.shape[1]
    cdef uint32_t mode
    with nogil:
        mode = flush_denormals()
        if activation == RELU:
            derive_loop(RELU, address(da), address(a), n, out_address(dz))
        elif activation == TANH:
            derive_loop(TANH, address(da), address(a), n, out_address(dz))
        else:
            derive_loop(LOGISTIC, address(da), address(a), n, out_address(dz))
        set_float_mode(mode)


def add_bias(const float[:, ::1] z, const float[::1] b, float[:, ::1] out):
    """Add the bias b (O,) to each row of z (B, O), giving out (B, O)."""
    cdef int64_t row, i, n = z.shape[1]
    cdef uint32_t mode
    with nogil:
        mode = flush_denormals()
        for row in range(z.shape[0]):
            for i in range(n):
                out[row, i] = z[row, i] + b[i]
        set_float_mode(mode)


def sum_rows(const float[:, ::1] dz, float[::1] out):
    """Sum the columns of dz (B, O) to out (O,), always in the order of the rows."""
    cdef int64_t row, i, n = dz.shape[1]
    cdef uint32_t mode
    with nogil:
        mode = flush_denormals()
        for i in range(n):
            out[i] = 0
        for row in range(dz.shape[0]):
            for i in range(n):
                out[i] += dz[row, i]
        set_float_mode(mode)
