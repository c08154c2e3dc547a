"""ffmpeg's filters between the frames of clips and the RGB planes that we exchange with ffmpeg.

Of 8 bits per channel the scale filter makes RGB, of more the zscale filter: the scale filter puts
the white of 16 bits at 65,283.

HDR becomes SDR in light: WHITE is its white (ITU-R BT.2408), light up to half of it stays, and a
Moebius curve of the largest of R, G and B compresses what is above, up to the clip's peak. Like
browsers, we show BT.709 by the curve of sRGB.
"""

from __future__ import annotations

import re

from photostyle.bt2100 import WHITE
from photostyle.display import KNEE
from photostyle.video.clip import Clip

_EXACT = "accurate_rnd+full_chroma_int+full_chroma_inp"
_RGB = re.compile(r"(x2|[xa0])?(rgb|bgr)|gbr|pal|xyz")
_SCALE = f"scale=flags=bicubic+{_EXACT}"
_SCALE_MATRICES = {"bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "bt2020nc"}


def raw_format(depth: int, *, alpha: bool) -> str:
    """ffmpeg's name of planes of G, B, R and perhaps alpha, of 8 or 16 bits per channel."""
    return f"gbr{'a' if alpha else ''}p{'16le' if depth == 16 else ''}"


def deinterlaced(clip: Clip) -> str:
    """The filter that makes progressive frames of interlaced ones; the others stay as they are."""
    is_small = clip.size[0] < 3 or clip.size[1] < 4
    return "null" if is_small or _RGB.match(clip.pixel_format) else "bwdif=send_frame:deint=1"


def to_rgb(
    clip: Clip,
    size: tuple[int, int],
    depth: int,
    *,
    alpha: bool = False,
    keep_hdr: bool = False,
    to_display: str = "",
) -> str:
    """The filters from a clip's frames to planes of a size, of 8 or 16 bits per channel.

    HDR becomes SDR in BT.709, unless ``keep_hdr``. to_display: see `log_footage.to_display`.
    """
    width, height = size
    from_yuv = not _RGB.match(clip.pixel_format)
    whole = _full_chroma(clip, clip.depth, alpha=alpha) if from_yuv else ""
    zscale = (
        f"{_SCALE + ',' + whole if whole else ''}zscale=w={width}:h={height}:f=bicubic:m=gbr:r=full"
    )
    floats = f"format=gbr{'a' if alpha else ''}pf32le"
    tagged = _tagged(clip, clip.rgb_matrix if from_yuv else "gbr")
    if to_display:
        scale = f"{tagged},{zscale},{floats},{to_display}"
    elif clip.is_hdr and not keep_hdr:
        peak = max(1.01, clip.hdr.peak / WHITE)
        scale = (
            f"{tagged},{zscale}:p=bt709:t=linear:npl={WHITE:g},{floats},"
            f"tonemap=mobius:param={KNEE}:desat=0:peak={peak:.6f},zscale=t=iec61966-2-1"
        )
    elif (depth == 16 and not clip.pixel_format.startswith("xyz")) or (
        from_yuv and clip.rgb_matrix not in _SCALE_MATRICES
    ):
        scale = f"{tagged},{zscale}"
    else:
        flags = "area" if size != clip.size else "bicubic"
        matrix = f"colorspace={clip.rgb_matrix}:" if from_yuv else ""
        matrix += f"range={clip.source.range}:" if clip.source.range else ""
        scale = (
            # The scale filter refuses some tags.
            f"setparams={matrix}color_primaries=unknown:color_trc=unknown,"
            f"scale={width}:{height}:in_color_matrix={clip.rgb_matrix}:flags={flags}+{_EXACT}"
        )
    return f"{scale},format={raw_format(depth, alpha=alpha)}"


def from_rgb(clip: Clip, pixel_format: str, depth: int) -> str:
    """The filters from planes of 8 or 16 bits per channel to a codec's pixel format."""
    full_range = clip.range == "pc" and clip.matrix != "gbr"
    if depth == 16 or clip.rgb_matrix not in _SCALE_MATRICES:
        whole = _full_chroma(clip, 10 if depth == 16 else 8, alpha="a" in pixel_format)
        scale = (
            f"{_tagged(clip, 'gbr')},"
            f"zscale=m={clip.rgb_matrix}:r={'full' if full_range else 'limited'}:f=bicubic"
            f"{',' + whole + _SCALE if whole else ''}"
        )
    else:
        scale = (
            f"scale=out_color_matrix={clip.rgb_matrix}:out_range={'pc' if full_range else 'tv'}"
            f":flags=bicubic+{_EXACT}"
        )
    return f"{scale},format={pixel_format}"


def _full_chroma(clip: Clip, depth: int, *, alpha: bool) -> str:
    """The format of whole chroma for a clip of odd size, whose reduced chroma zscale cannot handle.

    It begins or ends a step of the scale filter; empty for an even size.
    """
    if not any(side % 2 for side in clip.size):
        return ""
    return f"format=yuv{'a' if alpha else ''}444p{f'{depth}le' if depth > 8 else ''},"


def _tagged(clip: Clip, matrix: str) -> str:
    """The filter that gives frames, of a matrix, the tags that zscale needs for a conversion."""
    primaries, transfer = clip.primaries, clip.transfer
    if clip.is_hdr or clip.rgb_matrix in ("bt2020c", "ictcp"):
        primaries = primaries or "bt2020"
        transfer = transfer or ("smpte2084" if clip.rgb_matrix == "ictcp" else "bt2020-10")
    elif clip.rgb_matrix.startswith("chroma-derived"):
        primaries, transfer = primaries or "bt709", transfer or "bt709"
    else:  # they do not matter, and zscale does not know them all
        primaries = transfer = "unknown"
    source_range = "pc" if matrix == "gbr" else clip.range or "tv"
    return (
        f"setparams=colorspace={matrix}:color_primaries={primaries}:color_trc={transfer}"
        f":range={source_range}"
    )


def color_tags(clip: Clip) -> str:
    """The filter that copies the clip's colour tags to the frames; those of RGB become YUV's."""
    is_rgb = clip.matrix == "gbr"
    tags = {
        "range": "tv" if is_rgb else clip.range,
        "colorspace": clip.rgb_matrix if is_rgb else clip.matrix,
        "color_primaries": clip.primaries,
        "color_trc": clip.transfer,
    }
    return "setparams=" + ":".join(f"{name}={tag or 'unknown'}" for name, tag in tags.items())
