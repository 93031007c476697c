"""Models on their way to other programs, and weights on their way in.

=================  =========================================================================
``dense``          a model as a list of dense layers; what each format must say beside them
``to_onnx``        an ONNX graph from raw pixels to the label
``to_torch``       a ``state_dict`` for ``torch.nn.Sequential``, as safetensors
``to_numpy``       plain arrays in an ``.npz`` file
``to_c``           one C99 file, with float or with int8 weights
``int8``           the quantised network that the C file computes, in NumPy
``array_files``    named arrays from safetensors and ``.npz`` files of strangers
``dense_stack``    named arrays to layers: roles, order, orientation
=================  =========================================================================

Each ``to_*`` has ``encode(model, ...) -> bytes``, the content of the file, and
``usage(model, name, ...) -> str``, the lines that run it.
"""
