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
"""What decoders raise for damaged files.

Without AttributeError, NameError and TypeError, which only programming errors raise.
"""

TAG_ERRORS = (*DECODER_ERRORS, TypeError, AttributeError)
"""What Pillow and tifffile raise for damaged tags, whose types they do not check."""
