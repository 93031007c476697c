"""Export models to other programs, and import weights from them.

=================  =========================================================================
``exporting``      the command: a model, or a fitted estimator, to a file
``conversion``     the command: weights in a file to a model
``dense``          a model as a list of dense layers, and its description for other formats
``to_onnx``        an ONNX graph from raw pixels to the label
``to_torch``       a ``state_dict`` for ``torch.nn.Sequential``, as safetensors
``to_numpy``       plain arrays in an ``.npz`` file
``to_c``           a C file with float or with int8 weights, and its header
``c_code``         the C that is the same for every network
``c_tables``       tables of numbers and names in C
``int8``           the quantised network that the C file computes, in NumPy
``int8_loss``      the accuracy that 8-bit weights cost
``array_files``    named arrays from untrusted safetensors and ``.npz`` files
``dense_stack``    named arrays to layers: roles, order, orientation
``output``         checks of the file that a command writes
=================  =========================================================================

Each ``to_*`` has ``encode(model, ...) -> bytes``, the content of the file, and
``usage(model, name, ...) -> str``, lines of code that use it.
"""
