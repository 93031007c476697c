"""Export models to other programs, and import weights from them.

===================  ===========================================================================
``exporting``        the command: a model, or a fitted estimator, to a file
``conversion``       the command: weights in a file to a model
``dense``            a model as a list of dense layers, and its description for other formats
``to_onnx``          an ONNX graph from raw pixels to the label
``to_torch``         a ``state_dict`` for ``torch.nn.Sequential``, as safetensors
``to_numpy``         plain arrays in an ``.npz`` file
``to_c``             a C file with float or with int8 weights, and its header
``c_code``           the C that is the same for every network
``c_tables``         tables of numbers and names in C
``int8``             the quantised network that the C file computes, in NumPy
``int8_loss``        the accuracy that 8-bit weights cost
``reading``          the format of a file of weights, by its first bytes
``from_safetensors`` named arrays from untrusted safetensors files
``from_npz``         named arrays from untrusted ``.npz`` files
``from_torch``       named arrays from files of PyTorch, without running a pickle
``from_hdf5``        variables and configuration from HDF5 files of Keras
``from_keras``       the same from ``.keras`` files
``keras_layers``     a configuration of Keras to steps: products, activations, normalisation
``named_arrays``     named arrays to dense layers, batch normalisation, and what is no weight
``dense_stack``      order and orientation of dense layers
``batch_norm``       which layer a batch normalisation belongs to, and where it acts
``folding``          steps to dense layers without anything between them but activations
``output``           checks of the file that a command writes
===================  ===========================================================================

Each ``to_*`` has ``encode(model, ...) -> bytes``, the content of the file, and
``usage(model, name, ...) -> str``, lines of code that use it. Each ``from_*`` has
``read(path) -> WeightFile``.
"""
