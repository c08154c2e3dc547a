"""glibc's allocator, told to keep the big buffers that network layers free and ask for again."""

from __future__ import annotations

import ctypes
import sys

# Numbers of mallopt's parameters in <malloc.h>.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Stop returning freed memory to the kernel after every layer; does nothing without glibc.

    Otherwise each layer's output is mapped anew and zeroed page by page, which on a CPU takes
    longer than many a convolution.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_TOP_PAD, 64 << 20)
