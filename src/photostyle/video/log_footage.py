"""ffmpeg's filters from values of log footage to what a display shows, see `InputSpace.display`.

The curve is a 1D table. The matrix to BT.709 is a 3D table of two points per axis, between which
ffmpeg interpolates as exactly as a matrix does.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from photostyle.display import KNEE
from photostyle.files import scratch_file
from photostyle.input_space import InputSpace

_POINTS = 4096
"""Points of a curve; between them the error of light is below a millionth."""


@contextmanager
def to_display(space: InputSpace | None) -> Iterator[str]:
    """The filters from planes of floats with log values to planes with those of sRGB.

    They serve ffmpeg within the block; empty if there is nothing to do. Raises PhotostyleError if
    no temporary files can be written.
    """
    if space is None or space.curve is None:
        yield ""
        return
    light = space.curve(np.linspace(0, 1, _POINTS))
    low, height = light[0], light[-1] - light[0]  # in between the tables, light is in 0..1
    curve = np.repeat((light[:, None] - low) / height, 3, 1)
    corners = np.array([(r, g, b) for b in (0, 1) for g in (0, 1) for r in (0, 1)])
    matrix = (corners * height + low) @ space.to_bt709.T
    with ExitStack() as files:
        yield (
            f"lut1d=file={_written(files, 'LUT_1D_SIZE', _POINTS, curve)},"
            f"lut3d=file={_written(files, 'LUT_3D_SIZE', 2, matrix)}:interp=trilinear,"
            f"tonemap=mobius:param={KNEE}:desat=0:peak={space.peak:.6f},"
            "zscale=min=gbr:rin=full:pin=bt709:tin=linear:m=gbr:r=full:p=bt709:t=iec61966-2-1"
        )


def quoted(path: Path | str) -> str:
    """A path as the value of an option within ffmpeg's filters."""
    value = re.sub(r"([\\':])", r"\\\1", str(path))
    return re.sub(r"([\\'\[\],;])", r"\\\1", value)


def _written(files: ExitStack, keyword: str, size: int, table: npt.NDArray[np.float64]) -> str:
    """The quoted path of a temporary `.cube` file with a table."""
    stream = files.enter_context(scratch_file(Path(tempfile.gettempdir()), ".cube"))
    stream.write(f"{keyword} {size}\n".encode())
    np.savetxt(stream, table, "%.9g")
    stream.flush()
    return quoted(stream.name)
