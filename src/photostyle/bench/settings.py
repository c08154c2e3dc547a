"""Settings of a measurement; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from photostyle.transfer.options import Match, Mode


@dataclass(frozen=True)
class Settings:
    """Options of the engine and of the measurement.

    model, device, match, mode, working_size, tile: as in `Stylizer.apply` and `photostyle.load`.
    runs: number of timed runs, after a warm-up. baseline: also time the reference implementation,
    once. frames: number of frames of a clip whose stability is measured.
    """

    model: str
    device: str
    match: Match
    mode: Mode
    working_size: int
    tile: int
    runs: int = 5
    baseline: bool = False
    frames: int = 40

    @property
    def arguments(self) -> list[str]:
        """Command-line options that `photostyle image` and `photostyle video` share."""
        return [
            *("--model", self.model, "--device", self.device),
            *("--match", self.match),
            *("--working-size", str(self.working_size)),
        ]
