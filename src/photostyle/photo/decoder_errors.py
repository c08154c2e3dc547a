"""The exceptions that mean a damaged file; any other is a bug and is not caught."""

from __future__ import annotations

import struct
import zlib

DECODER_ERRORS = (
    OSError,  # Pillow, imageio
    ValueError,  # Pillow, tifffile (TiffFileError), pillow-heif
    RuntimeError,  # imagecodecs (all its errors), AVIF, JPEG XL
    SyntaxError,  # Pillow: PNG, AVIF
    EOFError,  # Pillow, pillow-heif
    LookupError,  # Pillow: GIF; tifffile: unknown tags and compressions
    ArithmeticError,  # rational numbers that divide by zero, sizes beyond 64 bits
    AssertionError,  # Pillow: GIF
    struct.error,
    zlib.error,
)
"""The exceptions that decoders raise for damaged files.

AttributeError, NameError and TypeError are not included: they mean bugs.
"""

TAG_ERRORS = (*DECODER_ERRORS, TypeError, AttributeError)
"""The exceptions that Pillow and tifffile raise for damaged tags, whose types they do not check."""
