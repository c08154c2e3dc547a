"""Makes glibc's allocator keep large buffers, which network layers free and request again."""

from __future__ import annotations

import ctypes
import sys

# Numbers of mallopt's parameters in <malloc.h>.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Stop returning freed memory to the kernel after every layer; does nothing without glibc.

    Otherwise the kernel maps and zeroes every page of each layer's output again, which on a CPU
    takes longer than many convolutions.
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
