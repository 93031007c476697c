"""The kernels that training runs on: one module per backend, the same names in each.

==================  ============================================================
``numpy_kernels``   the reference and specification: short, obvious; also float64
``numba_kernels``   compiled at first use by Numba, cached on disk
``cython_kernels``  compiled at installation, one build per instruction set
==================  ============================================================

THE CONTRACT
============

Every backend exports the names in :data:`KERNELS`, :data:`PROGRAMS` and :data:`ATTRIBUTES`, the
functions with the same signatures. It raises the same errors in the same words, and agrees with
``numpy_kernels``. Below, B is the batch size, I the fan-in, O the fan-out, C the number of
classes, P the number of parameters and ``^T`` a transpose. Arrays are C-contiguous, aligned and
in the byte order of the machine.

Attributes
----------
``NAME``
    By which :func:`.backends.get_backend` finds it: "numpy", "numba" or "cython".
``INSTRUCTION_SET``
    The instruction set that its kernels are compiled for; "" where they are not compiled.
``compiled() -> bool``
    Whether training would start without compiling anything.

Tier 1: kernels, each usable alone
----------------------------------
======================================================  =======================================
``matmul(a, b, out)``                                   out = a b, (M,K) (K,N) -> (M,N)
``matmul_tn(a, b, out)``                                out = a^T b, (K,M) (K,N) -> (M,N)
``matmul_nt(a, b, out)``                                out = a b^T, (M,K) (N,K) -> (M,N)
``add_bias(z, b, out)``                                 out[n, o] = z[n, o] + b[o]
``sum_rows(dz, out)``                                   out[o] = sum over n of dz[n, o]
``tanh_forward(z, a)``                                  a = tanh z
``tanh_backward(da, a, dz)``                            dz = da (1 - a^2)
``relu_forward(z, a)``                                  a = max(z, 0); NaN stays NaN
``relu_backward(da, a, dz)``                            dz = da where a > 0, else 0
``logistic_forward(z, a)``                              a = 1 / (1 + exp(-z))
``logistic_backward(da, a, dz)``                        dz = da a (1 - a)
``softmax(logits, probs)``                              probs = exp(z - max z) / sum, row by row
``softmax_cross_entropy(logits, labels,``               the mean loss, and its gradient
``sample_weight, dlogits) -> loss``
``dropout(a, samples, rate, seed, epoch, layer, out)``  out = a / (1 - rate), or 0 where dropped
``sgd_update(gradient, learning_rate, momentum,``       one step of gradient descent in place
``nesterov, weight_decay, params, velocity)``
``adam_update(gradient, learning_rate, beta1, beta2,``  one step of Adam or AdamW in place
``eps, weight_decay, decoupled, step, params, m, v)``
======================================================  =======================================

Tier 2: programs, made of the backend's own kernels inside one call
-------------------------------------------------------------------
``forward(x, params, layers, scale, shift, workspace, logits)``
    The logits of every row of ``x``; no dropout.
``Predictor(params, layers, scale, shift)`` -> ``predictor(x, logits)``
    The same for parameters that stay: what depends on them alone is done once, so that a single
    image takes microseconds.
``loss_and_gradient(x, targets, sample_weight, params, layers, options, workspace, gradient)``
    -> loss. One batch, dropout included (the sample ids are the row numbers), no weight decay.
    Where the loss is not finite, it is returned as NaN and all of ``gradient`` is NaN.
``train_steps(x, targets, sample_weight, order, learning_rates, layers, options, first_step,
params, state, buffers, workspace, metrics)`` -> steps done
    Many mini-batches. Step s trains on the samples ``order[s * batch_size:][:batch_size]``
    (the last batch may be partial) with ``learning_rates[s]``: gather, scale, forward, loss,
    backward, update. ``first_step`` updates came before (Adam counts from there). It returns
    early, *before* the update that a loss that is not finite would make.
``workspace_size(layers, batch_size, slots)``
    How many float32 the ``workspace`` of a program must hold at least; ``slots`` is the
    number of rows of ``state``. Its contents mean nothing between two calls.

Arguments of the programs
-------------------------
x              (N, I) uint8 or float32; a value enters the network as ``x * scale + shift``, in
               the gather, the only place that knows of uint8
targets        (N,) int32 class ids in [0, C)
sample_weight  (N,) float32, or length 0 for weights of 1; a loss is divided by the sum of the
               weights of its batch, and is 0, as its gradient, where that sum is 0. Any value is
               taken: one that is not finite makes a loss that is not
order          (n,) int64 indices into ``x``, within range
learning_rates (steps,) float64, finite, with ``steps == ceil(n / batch_size)``
layers         (n_layers, 8) int64, a row per layer: the columns of :mod:`.layout`. Each layer
               takes what the one before gives, the last has neither activation nor dropout,
               and together they take each of the parameters once
options        (1,) records of :data:`.layout.OPTIONS_DTYPE`: momentum and betas in [0, 1), eps
               above 0, weight decay at least 0, probs_clip in [0, 0.5)
params         (P,) float32: per layer the weights (I, O) row by row, then the bias (O,)
state          (slots, P) float32, the optimizer's rows: none (plain SGD), the velocity
               (momentum), or m and v (Adam); the same layout as ``params``
buffers        (0,) float32: the place of what is neither parameter nor optimizer state, such as
               the running statistics of batch normalisation, which no layer has yet
metrics        (3,) float64 running sums, added to: weighted loss, weight, weighted hits

Rules
-----
* Inputs, then scalars, then outputs. Outputs are allocated by the caller, **written and never
  read** (they may hold NaN); gradients are overwritten, not accumulated. Only ``params``,
  ``state``, ``velocity``, ``m``, ``v``, ``buffers`` and ``metrics`` change in place. All other
  arguments are only read: they may be read-only, as a memory-mapped file is.
* The output of an element-wise kernel (an activation, its derivative, ``add_bias``, ``softmax``,
  ``softmax_cross_entropy``, ``dropout``) may be its input of the same shape, all of it. Nothing
  else that is written may overlap another argument.
* The compiled backends are float32; ``numpy_kernels`` also takes float64 throughout.
* Nothing is written by a call that raises, and no compiled loop reads or writes outside its
  arrays, whatever values they hold. A call checks the labels and indices that it will use, not
  those of other samples: it costs what its own samples cost. ``ValueError``: a wrong shape, a
  read-only output, arrays that overlap, a code, constant, label or index out of range.
  ``TypeError``: another dtype or byte order, an array that is not contiguous or not aligned, a
  subclass other than ``np.memmap`` (a mask or a unit would be ignored, a matrix multiplied
  otherwise).
* Any shape works, also 1 and a partial last batch. With no rows there is nothing to do: loss and
  gradients are 0. A softmax of no classes is a ``ValueError``.
* NaN and infinity go where the formulas take them, at the same places in every backend:
  ``dz = 0`` where ReLU's output is not above 0, and 0 where a unit drops, whatever stood there;
  a weight decay of 0 adds nothing, even to an infinite weight. Only zeros among the inputs of the
  first layer may be left out of its products: they add nothing, even where the other factor is
  not finite: a gradient, or a weight that a step of the same call has made infinite.
* ``z = x w + b``; derivatives take the activation's *output*. The 1/B of the mean is applied
  once, in ``dlogits``; the loss is a log-sum-exp accumulated in float64.
* With ``probs_clip`` the loss of a sample, as it is reported, is that of a probability clipped to
  [clip, 1 - clip], as in scikit-learn's ``log_loss``; the gradient is that of the unclipped loss.
* Weight decay acts on the parameters of layers whose ``decay`` flag is set, weights only, not
  biases: SGD and Adam add ``weight_decay * w`` to the gradient (L2), AdamW shrinks ``w``.
* Same seed, backend, instruction set and library versions: same bits, for every number of
  threads. Each output element has one owner, and the order of a sum depends on shapes only.
* Random numbers are a counter hash of (seed, epoch, sample, layer, unit), :func:`.layout`'s
  recipe, so that a dropout mask depends on neither threads, batches nor resuming.
"""

KERNELS = (
    "matmul",
    "matmul_tn",
    "matmul_nt",
    "add_bias",
    "sum_rows",
    "tanh_forward",
    "tanh_backward",
    "relu_forward",
    "relu_backward",
    "logistic_forward",
    "logistic_backward",
    "softmax",
    "softmax_cross_entropy",
    "dropout",
    "sgd_update",
    "adam_update",
)
PROGRAMS = ("forward", "Predictor", "loss_and_gradient", "train_steps", "workspace_size")
ATTRIBUTES = ("NAME", "INSTRUCTION_SET", "compiled")
EXPORTS = KERNELS + PROGRAMS + ATTRIBUTES
