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
from photostyle.video.clip import Clip

_EXACT = "accurate_rnd+full_chroma_int+full_chroma_inp"
_RGB = re.compile(r"(x2|[xa0])?(rgb|bgr)|gbr|pal|xyz")
_MATRICES = {"bt470": "bt470bg", "bt2020": "bt2020nc"}


def raw_format(depth: int, *, alpha: bool) -> str:
    """ffmpeg's name of planes of G, B, R and perhaps alpha, of 8 or 16 bits per channel."""
    return f"gbr{'a' if alpha else ''}p{'16le' if depth == 16 else ''}"


def deinterlaced(clip: Clip) -> str:
    """The filter that makes progressive frames of interlaced ones; the others stay as they are."""
    is_small = clip.size[0] < 3 or clip.size[1] < 4
    return "null" if is_small or _RGB.match(clip.pixel_format) else "bwdif=send_frame:deint=1"


def to_rgb(
    clip: Clip, size: tuple[int, int], depth: int, *, alpha: bool = False, keep_hdr: bool = False
) -> str:
    """The filters from a clip's frames to planes of a size, of 8 or 16 bits per channel.

    HDR becomes SDR in BT.709, unless ``keep_hdr``.
    """
    width, height = size
    if clip.is_hdr and not keep_hdr:
        peak = max(1.01, clip.hdr.peak / WHITE)
        matrix = "gbr" if _RGB.match(clip.pixel_format) else clip.matrix or "bt2020nc"
        scale = (
            f"setparams=colorspace={matrix}:color_primaries={clip.primaries or 'bt2020'}"
            f":color_trc={clip.transfer}:range={clip.range or 'unknown'},"
            f"zscale=w={width}:h={height}:f=bicubic:m=gbr:r=full:p=bt709:t=linear:npl={WHITE:g},"
            f"format=gbr{'a' if alpha else ''}pf32le,"
            f"tonemap=mobius:param=0.5:desat=0:peak={peak:.6f},zscale=t=iec61966-2-1"
        )
    elif depth == 16 and not _RGB.match(clip.pixel_format):
        matrix = _MATRICES.get(clip.rgb_matrix, clip.rgb_matrix)
        scale = (
            # Tags that zscale does not know do not matter here.
            f"setparams=colorspace={matrix}:color_primaries=unknown:color_trc=unknown,"
            f"zscale=w={width}:h={height}:rin={'full' if clip.range == 'pc' else 'limited'}"
            ":m=gbr:r=full:f=bicubic"
        )
    else:
        flags = "area" if size != clip.size else "bicubic"
        scale = f"scale={width}:{height}:in_color_matrix={clip.rgb_matrix}:flags={flags}+{_EXACT}"
    return f"{scale},format={raw_format(depth, alpha=alpha)}"


def from_rgb(clip: Clip, pixel_format: str, depth: int) -> str:
    """The filters from planes of 8 or 16 bits per channel to a codec's pixel format."""
    full_range = clip.range == "pc" and clip.matrix != "gbr"
    if depth == 16:
        matrix = _MATRICES.get(clip.rgb_matrix, clip.rgb_matrix)
        scale = f"zscale=m={matrix}:r={'full' if full_range else 'limited'}:f=bicubic"
    else:
        scale = (
            f"scale=out_color_matrix={clip.rgb_matrix}:out_range={'pc' if full_range else 'tv'}"
            f":flags=bicubic+{_EXACT}"
        )
    return f"{scale},format={pixel_format}"


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
