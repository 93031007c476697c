"""Data sets of labelled images: MNIST, those that people bring, and digits drawn by a program."""

from mnistcore.data.classes import RESERVED, read_class_names
from mnistcore.data.dataset import Dataset
from mnistcore.data.idx import IdxError, read_idx, write_idx
from mnistcore.data.loading import absolute, load_data
from mnistcore.data.raw import DataError, DataNotFoundError
from mnistcore.system.cache import cache_folder

__all__ = [
    "RESERVED",
    "DataError",
    "DataNotFoundError",
    "Dataset",
    "IdxError",
    "absolute",
    "cache_folder",
    "load_data",
    "read_class_names",
    "read_idx",
    "write_idx",
]
