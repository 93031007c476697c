# Adam: from a loop for each operation to a loop over vectors.

from libc.math cimport pow, sqrt, sqrtf


cdef struct Adam:
    # The factors of one update, which are the same for all parameters.
    float beta1
    float rest1  # 1 - beta1
    float beta2
    float rest2
    float rate  # the learning rate over 1 - beta1**step
    float scale  # 1 over the root of 1 - beta2**step
    float eps


cdef Adam adam_factors(
    double learning_rate, double beta1, double beta2, double eps, int64_t step
) noexcept nogil:
    cdef Adam adam
    adam.beta1, adam.rest1 = <float> beta1, <float> (1 - beta1)
    adam.beta2, adam.rest2 = <float> beta2, <float> (1 - beta2)
    adam.rate = <float> (learning_rate / (1 - pow(beta1, step)))
    adam.scale = <float> (1 / sqrt(1 - pow(beta2, step)))
    adam.eps = <float> eps
    return adam


def adam_passes(
    const float[::1] gradient, double learning_rate, double beta1, double beta2, double eps,
    int64_t step, float[::1] params, float[::1] m, float[::1] v,
):
    """Run a loop for each line of the formula, as NumPy does for each operation."""
    cdef int64_t i, n = params.shape[0]
    cdef float[::1] roots = np.empty(n, np.float32)
    cdef Adam adam = adam_factors(learning_rate, beta1, beta2, eps, step)
    with nogil:
        for i in range(n):
            m[i] = adam.beta1 * m[i] + adam.rest1 * gradient[i]
        for i in range(n):
            v[i] = adam.beta2 * v[i] + adam.rest2 * gradient[i] * gradient[i]
        for i in range(n):
            roots[i] = sqrtf(v[i]) * adam.scale + adam.eps
        for i in range(n):
            params[i] -= adam.rate * m[i] / roots[i]


def adam_one_pass(
    const float[::1] gradient, double learning_rate, double beta1, double beta2, double eps,
    int64_t step, float[::1] params, float[::1] m, float[::1] v,
):
    """Update a parameter with all that belongs to it before the next one."""
    cdef int64_t i
    cdef Adam adam = adam_factors(learning_rate, beta1, beta2, eps, step)
    with nogil:
        for i in range(params.shape[0]):
            m[i] = adam.beta1 * m[i] + adam.rest1 * gradient[i]
            v[i] = adam.beta2 * v[i] + adam.rest2 * gradient[i] * gradient[i]
            params[i] -= adam.rate * m[i] / (sqrtf(v[i]) * adam.scale + adam.eps)
