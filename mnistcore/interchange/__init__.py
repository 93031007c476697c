"""Export models to other programs, and import weights from them.

=================  =========================================================================
``dense``          a model as a list of dense layers, and its description for other formats
``to_onnx``        an ONNX graph from raw pixels to the label
``to_torch``       a ``state_dict`` for ``torch.nn.Sequential``, as safetensors
``to_numpy``       plain arrays in an ``.npz`` file
``to_c``           one C99 file, with float or with int8 weights
``int8``           the quantised network that the C file computes, in NumPy
``int8_loss``      the accuracy that 8-bit weights cost
``array_files``    named arrays from untrusted safetensors and ``.npz`` files
``dense_stack``    named arrays to layers: roles, order, orientation
``output``         checks of the file that a command writes
=================  =========================================================================

Each ``to_*`` has ``encode(model, ...) -> bytes``, the content of the file, and
``usage(model, name, ...) -> str``, lines of code that use it.
"""
