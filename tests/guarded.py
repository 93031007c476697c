"""Arrays beside pages that may not be touched: a float too far is a segmentation fault."""

import ctypes
import mmap

import numpy as np

PAGE = mmap.PAGESIZE


def guarded(array, *, before=False):
    """A copy of ``array`` whose last byte is the last one before a page without any access.

    Or whose first byte is the first one after such a page.
    """
    size = -(-max(array.nbytes, 1) // PAGE) * PAGE
    memory = mmap.mmap(-1, size + PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(start + (0 if before else size)), ctypes.c_size_t(PAGE), 0):
        raise OSError(ctypes.get_errno(), "mprotect failed")
    offset = PAGE if before else size - array.nbytes
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy  # which keeps the memory
