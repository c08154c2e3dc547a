"""Photos in files and in memory: upright, colour-managed, and written completely or not at all.

`decode` reads files and `encode` writes them. They use:

- `formats`: the formats and what each of them can store
- `limits`: the maximum size of a photo
- `decoder_errors`: the exceptions that mean a damaged file
- `isobmff`, `jxl`, `png`: the structure of HEIF, AVIF, JPEG XL and PNG files
- `avif`, `bmp`: AVIF and BMP files that Pillow refuses, and icons
- `high_bit_depth`: TIFF, 16-bit PNG and raw files
- `psd`: Photoshop files
- `jpeg`: JPEG files that Pillow refuses
- `fits`, `pixmaps`, `pnm`: FITS, XPM, Sun raster and PNM files
- `log_photo`: photos of log footage
- `linear_light`: Radiance HDR, OpenEXR and PFM files
- `completeness`: whether files are cut off
- `raster`: conversion of stored values to upright RGB
- `color`: ICC profiles
- `named_color`: colour spaces that a file names by numbers
- `hdr`: tone mapping of HDR to SDR
- `metadata`: what remains true of EXIF, XMP, IPTC, texts and resolution
- `metadata_blocks`: where each format keeps its metadata
- `exif`, `xmp`, `image_resources`: EXIF blocks, XMP packets, and Photoshop's resources with IPTC
- `photo`: `Photo`, the photo in memory
- `label_map`: masks, which say where the regions of a photo are
- `contact_sheet`: many photos in one picture
"""

from __future__ import annotations

from photostyle.photo.contact_sheet import side_by_side
from photostyle.photo.decode import has_photo_suffix, read, read_style
from photostyle.photo.encode import encode, write
from photostyle.photo.formats import check_depth, format_of, suffix_for, unsupported_features
from photostyle.photo.limits import MAX_PIXELS
from photostyle.photo.photo import Animation, AnimationFrame, Photo

__all__ = [
    "MAX_PIXELS",
    "Animation",
    "AnimationFrame",
    "Photo",
    "check_depth",
    "encode",
    "format_of",
    "has_photo_suffix",
    "read",
    "read_style",
    "side_by_side",
    "suffix_for",
    "unsupported_features",
    "write",
]
