"""Architectures of PhotoNet: the parts that are present, and the width of each level.

Source: An et al., "Ultrafast Photorealistic Style Transfer via Neural Architecture Search" (AAAI
2020, arXiv 1912.02398) and its 32-character architecture string.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from photostyle.errors import PhotostyleError

LEVELS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Architecture:
    """The parts of PhotoNet that are on; the order of the fields is the order of the string.

    ``wct_level5`` whitens and colours relu5_1 itself, ``wct_dN`` what stage N of the decoder reads,
    ``wct_skipL`` the encoder's features of level L. ``bfaL`` aggregates level L at the
    bottleneck, ``skipL`` concatenates it in the decoder, ``normL`` instance-normalizes that skip
    link, ``convN`` are the optional convolutions of the decoder; without conv19 or conv23 a 1x1
    convolution narrows the features.
    """

    wct_level5: bool = False
    bfa4: bool = False
    bfa3: bool = False
    bfa2: bool = False
    bfa1: bool = False

    wct_d1: bool = False
    conv15: bool = False
    conv16: bool = False
    # The reference implementation never reads this bit; it is kept so that strings round-trip.
    unread: bool = field(default=False, compare=False)

    wct_d2: bool = False
    norm4: bool = False
    skip4: bool = False
    conv18: bool = False
    conv19: bool = False
    conv20: bool = False
    wct_skip4: bool = False

    wct_d3: bool = False
    norm3: bool = False
    skip3: bool = False
    conv22: bool = False
    conv23: bool = False
    conv24: bool = False
    wct_skip3: bool = False

    wct_d4: bool = False
    norm2: bool = False
    skip2: bool = False
    conv26: bool = False
    wct_skip2: bool = False

    wct_d5: bool = False
    norm1: bool = False
    skip1: bool = False
    wct_skip1: bool = False

    @classmethod
    def parse(cls, string: str) -> Architecture:
        """Read the 32-character string of 0 and 1; raises PhotostyleError for any other."""
        if len(string) != 32 or set(string) - set("01"):
            raise PhotostyleError(
                f"An architecture is a string of 32 characters 0 and 1, not {string[:40]!r}."
            )
        return cls(*(bit == "1" for bit in string))

    def __str__(self) -> str:
        return "".join("01"[getattr(self, part.name)] for part in fields(self))

    def aggregates(self, level: int) -> bool:
        """Whether ``level`` (1 to 4) enters the bottleneck feature aggregation."""
        return getattr(self, f"bfa{level}")

    def skips(self, level: int) -> bool:
        """Whether ``level`` (1 to 4) is concatenated in the decoder."""
        return getattr(self, f"skip{level}")

    def normalizes(self, level: int) -> bool:
        """Whether the skip link of ``level`` (1 to 4) is instance-normalized."""
        return getattr(self, f"norm{level}")

    def uses(self, level: int) -> bool:
        """Whether the features of ``level`` are used beyond the encoder."""
        return level == 5 or self.aggregates(level) or self.skips(level)

    @property
    def wct_layers(self) -> tuple[str, ...]:
        """Names of the WCT layers in the order in which the network reaches them."""
        on_levels = [level for level in (4, 3, 2, 1) if self.uses(level)]
        candidates = ["level5", *(f"skip{level}" for level in on_levels)]
        candidates += [f"d{stage}" for stage in (1, 2, 3, 4, 5)]
        return tuple(layer for layer in candidates if getattr(self, f"wct_{layer}"))


PHOTONET = Architecture.parse("1" * 32)
PHOTONAS = Architecture.parse("01010000000100000000000000001111")

ARCHITECTURES = {"photonet": PHOTONET, "photonas": PHOTONAS}
"""The named architectures."""

Widths = tuple[int, int, int, int, int]

FULL_WIDTHS: Widths = (64, 128, 256, 512, 512)
"""Channels of relu1_1 to relu5_1 of VGG-19, as in the paper."""

MAXIMUM_WIDTH = 4096


def parse_widths(text: str) -> Widths:
    """Read "32,48,64,96,128"; raises PhotostyleError unless it is five numbers from 1 to 4096."""
    try:
        w1, w2, w3, w4, w5 = (int(width) for width in text.split(","))
    except ValueError:
        raise PhotostyleError(
            f"Widths are five numbers separated by commas, not {text[:40]!r}."
        ) from None
    if not all(0 < width <= MAXIMUM_WIDTH for width in (w1, w2, w3, w4, w5)):
        raise PhotostyleError(f"Widths lie between 1 and {MAXIMUM_WIDTH}, not {text[:40]!r}.")
    return w1, w2, w3, w4, w5


def find_architecture(name: str) -> Architecture:
    """The architecture of a name ("photonas") or string; raises PhotostyleError for any other."""
    return ARCHITECTURES.get(name) or Architecture.parse(name)
