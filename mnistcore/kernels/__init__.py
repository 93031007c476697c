"""The kernels that training runs on: one module per backend, with the same names in each.

==================  ============================================================
``numpy_kernels``   the reference and specification: short, obvious; also float64
``numba_kernels``   compiled at first use by Numba, cached on disk
``cython_kernels``  compiled at installation, one build per instruction set
==================  ============================================================

THE CONTRACT
============

Every backend exports the names in :data:`KERNELS`, :data:`PROGRAMS` and :data:`ATTRIBUTES`, with
the same signatures and the same error messages, and its results agree with ``numpy_kernels``.
Below, B is the batch size, I the fan-in, O the fan-out, C the number of classes, P the number of
parameters and ``^T`` a transpose. Arrays are C-contiguous, aligned and in native byte order.

Attributes of a backend
-----------------------
``NAME``
    The name that :func:`.backends.get_backend` takes: "numpy", "numba" or "cython".
``INSTRUCTION_SET``
    The instruction set that the kernels are compiled for; "" if they are not compiled.
``compiled() -> bool``
    True if training would start without compiling anything.
``compile_programs(report)``
    Compile what training and prediction need, unless it is cached. ``report(text)`` is told what
    is being compiled. Programs do the same when they are first called.
``begin_compiling()``
    Start to compile it in other processes, to be called before other work, such as loading data.

Tier 1: kernels, each usable on its own
---------------------------------------
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
``augment(images, order, options, seed, epoch, out)``    out[s] = images[s] deformed, s in order
``sgd_update(gradient, learning_rate, momentum,``       one step of gradient descent in place
``nesterov, weight_decay, params, velocity)``
``adam_update(gradient, learning_rate, beta1, beta2,``  one step of Adam or AdamW in place
``eps, weight_decay, decoupled, step, params, m, v)``
======================================================  =======================================

``augment`` takes and writes square images as rows of uint8 (N, side * side). It deforms those whose
numbers are in order (n,) int64, and leaves the other rows of ``out`` alone. A number that occurs
twice has its row written twice, to the same bytes, perhaps by two threads at once. Its strengths
are one record of :data:`.layout.AUGMENTATION_DTYPE`. It makes strokes thicker or thinner, then
rotates, shears, scales, shifts and bends the image in one bilinear interpolation, with zeros
outside: see :mod:`.deformation`. The results of all backends are the same to the bit.

Tier 2: programs, which run the backend's own kernels inside one call
---------------------------------------------------------------------
``forward(x, params, layers, scale, shift, workspace, logits)``
    Compute the logits of every row of ``x``, without dropout.
``Predictor(params, layers, scale, shift)`` -> ``predictor(x, logits)``
    The same for fixed parameters: work that depends on them alone is done once, so that a single
    image takes microseconds.
``loss_and_gradient(x, targets, sample_weight, params, layers, options, workspace, gradient)``
    -> loss. One batch, with dropout (the sample ids are the row numbers) but no weight decay.
    If the loss is not finite, NaN is returned and all of ``gradient`` is NaN.
``train_steps(...)`` -> steps done
    Arguments are ``x, targets, sample_weight, order, learning_rates, layers, options, first_step,
    params, state, buffers, workspace, metrics``.

    Train on many mini-batches. Step s uses the samples ``order[s * batch_size:][:batch_size]``
    (the last batch may be partial) and ``learning_rates[s]``: gather, scale, forward, loss,
    backward, update. ``first_step`` is the number of updates made before (Adam counts from
    there). If a loss is not finite, the call returns early, *before* that step's update.
``workspace_size(layers, batch_size, slots)``
    The minimum size of a program's ``workspace``, in float32; ``slots`` is the number of rows of
    ``state``. The workspace carries nothing from one call to the next.

Arguments of the programs
-------------------------
============== =====================================================================================
x              (N, I) uint8 or float32; a value enters the network as ``x * scale + shift``. The
               gather does this, and is the only place that handles uint8
targets        (N,) int32 class ids in [0, C), or (N, C) float32 soft targets: probabilities that
               need not be one-hot, each row with a sum of 1 to within 0.001. Not with probs_clip
sample_weight  (N,) float32, or length 0 for weights of 1; the loss is divided by the sum of the
               batch's weights; if that sum is 0, the loss and its gradient are 0. Any value is
               accepted; a non-finite weight gives a non-finite loss
order          (n,) int64 indices into ``x``, within range
learning_rates (steps,) float64, finite, with ``steps == ceil(n / batch_size)``
layers         (n_layers, 8) int64, a row per layer with the columns of :mod:`.layout`. The
               fan-in of a layer is the fan-out of the one before, the last has no activation,
               dropout or batch normalisation, and together they use each parameter exactly
               once. ``forward`` and ``Predictor`` take no normalised layers: normalisation is
               folded into the weights first
options        (1,) records of :data:`.layout.OPTIONS_DTYPE`: momentum and betas in [0, 1), eps
               above 0, weight decay at least 0, probs_clip in [0, 0.5), label_smoothing in
               [0, 1), not both; norm_momentum in (0, 1], norm_eps above 0, max_norm and
               clip_norm at least 0, ema_decay in [0, 1)
params         (P,) float32: per layer the weights (I, O) row by row, then the bias (O,), and
               for a normalised layer the gains (O,)
state          (slots, P) float32, the optimizer state: no rows (plain SGD), the velocity
               (momentum), or m and v (Adam); then, with ema_decay, an average of ``params``,
               which starts as a copy of them. A row has the layout of ``params``
buffers        (2 S,) float32, where S is the number of units of all normalised layers: their
               running means, then their running variances; ``buffer_size`` of :mod:`.layout`
metrics        (3,) float64 running sums, updated in place: weighted loss, weight, weighted hits;
               of a soft target the first of its largest classes is the label
============== =====================================================================================

Rules
-----
* Arguments come in the order inputs, scalars, outputs. The caller allocates outputs, which are
  **written and never read** (they may hold NaN); gradients are overwritten, not accumulated. Only
  ``params``, ``state``, ``velocity``, ``m``, ``v``, ``buffers`` and ``metrics`` change in place.
  All other arguments are only read, and may be read-only, like a memory-mapped file.
* The output of an element-wise kernel (an activation, its derivative, ``add_bias``, ``softmax``,
  ``softmax_cross_entropy``, ``dropout``) may be the whole of an input of the same shape. No other
  array that is written may overlap another argument.
* The compiled backends are float32; ``numpy_kernels`` also takes float64 throughout.
* A call that raises writes nothing, and no compiled loop reads or writes outside its arrays,
  whatever values they hold. A call checks only the targets and indices that it will use, so its
  cost depends on its own samples alone. ``ValueError``: a wrong shape, a read-only output,
  overlapping arrays, a code, constant, target or index out of range. ``TypeError``: a wrong dtype
  or byte order, an array that is not contiguous or not aligned, a subclass other than
  ``np.memmap`` (its mask or unit would be ignored, and ``np.matrix`` multiplies differently).
* Any shape works, including sizes of 1 and a partial last batch. With no rows, the loss and the
  gradients are 0. A softmax over no classes is a ``ValueError``.
* NaN and infinity propagate as the formulas say, to the same elements in every backend:
  ``dz = 0`` where ReLU's output is not above 0, and a dropped unit is 0, whatever its value was;
  a weight decay of 0 adds nothing, even to an infinite weight. Only zeros among the inputs of the
  first layer, and those that a ReLU puts out, may be left out of products. They then add nothing,
  even if the other factor is not finite: a gradient, or a weight that became infinite in a step of
  the same call. In which step training then stops may depend on the threads and on the call.
* ``z = x w + b``; derivatives take the activation's *output*. The 1/B of the mean is applied
  once, in ``dlogits``; the loss is a log-sum-exp accumulated in float64.
* With ``probs_clip``, reported losses are those of probabilities clipped to [clip, 1 - clip], as
  in scikit-learn's ``log_loss``; the gradient is that of the unclipped loss.
* A normalised layer computes ``z = x w`` less its mean over the batch, divided by
  ``sqrt(variance + norm_eps)``, times its gain, plus its bias; the statistics count each row
  once, whatever its weight. After the update the running statistics move by ``norm_momentum``
  towards those of the batch, its variances made unbiased; a batch of one row moves nothing.
* The loss of a soft target t is ``sum(t) log(sum(exp(z))) - sum(t z)``, summed over the classes.
  Its gradient in the logits z is ``sum(t) softmax(z) - t``, which lacks the digits that cancel
  where both are near 1. A loss with class ids avoids that.
* With ``label_smoothing`` s, the target of a class is s / C, and 1 - s more for the label; of a
  soft target it is s / C more than (1 - s) t. It is computed as a soft target.
* With ``clip_norm``, a gradient is multiplied by the lesser of 1 and ``clip_norm / (n + 1e-6)``,
  where n is its norm over all parameters; weight decay is added to it afterwards.
* With ``max_norm``, the weights (I,) of each unit whose norm exceeds it after an update, biases
  left out, are scaled to that norm.
* With ``ema_decay``, after updates whose number t, from 1, is a multiple of ``AVERAGE_EVERY`` (8),
  the average moves towards the parameters by 1 - d^8, where d is the lesser of ``ema_decay`` and
  (1 + t) / (10 + t).
* Squares are float32: with components above 1.8e19, those two norms and a variance are infinite,
  and what is divided by them becomes 0. The compiled backends may take subnormal numbers, those
  below 1.2e-38, for 0, sample weights as well.
* Weight decay acts on the weights, not the biases, of layers whose ``decay`` flag is set: SGD and
  Adam add ``weight_decay * w`` to the gradient (L2), AdamW shrinks ``w``.
* The same seed, backend, instruction set and library versions give the same bits, in the compiled
  backends with any number of threads: each output element has one owner, and the order of a sum
  depends on shapes only. The order in which NumPy's BLAS adds may depend on its threads.
* Random numbers are a counter hash of (seed, epoch, sample, layer, unit), computed by
  :func:`.layout.random_bits`: neither the masks of dropout nor the deformations of ``augment``
  depend on threads, batches or resuming.
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
    "augment",
    "sgd_update",
    "adam_update",
)
PROGRAMS = ("forward", "Predictor", "loss_and_gradient", "train_steps", "workspace_size")
ATTRIBUTES = ("NAME", "INSTRUCTION_SET", "compiled", "begin_compiling", "compile_programs")
EXPORTS = KERNELS + PROGRAMS + ATTRIBUTES
