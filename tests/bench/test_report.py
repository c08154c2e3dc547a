"""Measurements as tables and sentences."""

from __future__ import annotations

import json

import pytest

from photostyle.bench.command import CommandMeasurement
from photostyle.bench.measure import Measurement, Spread
from photostyle.bench.phases import PHASES
from photostyle.bench.report import (
    command_table,
    notes,
    phase_table,
    speed_table,
    stability_table,
    summary_table,
)
from photostyle.bench.resolution import Resolution
from photostyle.bench.stability import Stability
from photostyle.bench.video import ClipMeasurement, Speed


def measurement(baseline: float | str | None = None, peak: int | None = 500_000_000) -> Measurement:
    phases = {name: Spread(0.5, 0.4, 0.6) for name in PHASES}
    return Measurement(
        Resolution(1920, 1080),
        "fast",
        Spread(0.25, 0.2, 0.3),
        phases,
        Spread(2.0, 1.5, 3.0),
        Spread(2.5, 2.0, 3.0),
        0.034,
        peak,
        baseline=baseline,
    )


def test_phases_are_percentages_of_their_sum() -> None:
    table = phase_table(measurement())
    assert table.header[0] == "fhd 1920x1080, fast"
    assert table.rows[0] == ("learning", "250 ms", "200 ms", "300 ms", "")
    assert table.rows[1] == ("encoding", "500 ms", "400 ms", "600 ms", "20%")
    assert table.rows[-1] == ("total", "2 s", "1.5 s", "3 s", "")
    assert {len(row) for row in table.rows} == {len(table.header)}


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        (None, "1.0 megapixels per second, peak memory 500 MB."),
        (9.0, "takes 9.0 s: 4 times as long, or 4 times if the style is new."),
        ("The baseline needs 12 GB.", "The baseline needs 12 GB."),
    ],
)
def test_notes_say_what_the_table_does_not(baseline: float | str | None, expected: str) -> None:
    sentences = list(notes(measurement(baseline)))
    assert any(expected in sentence for sentence in sentences), sentences
    assert any("+3.4%" in sentence for sentence in sentences)


def test_the_summary_has_a_row_for_each_resolution() -> None:
    table = summary_table([measurement(), measurement(9.0, peak=None)])
    first, second = table.rows
    assert first == ("fhd 1920x1080", "fast", "2.1", "250 ms", "2 s", "1.0", "500 MB", "-")
    assert second[-2:] == ("unknown", "4x")
    assert len(first) == len(table.header)


def test_the_command_is_compared_with_pillow() -> None:
    seconds = {"start": 0.5, "apply": 1.0, "total": 1.5}
    command = CommandMeasurement(Resolution(30, 20), "exact", seconds, 0.5, None)
    table = command_table([command])
    assert table.header == ("", "mode", *seconds, "Pillow", "ratio", "peak memory")
    assert table.rows == [("30x20", "exact", "500 ms", "1 s", "1.5 s", "500 ms", "3.0x", "unknown")]


def test_clips_are_compared_with_their_source_and_with_the_codec() -> None:
    stability = {"shot": Stability(0.9, 0.0), "smooth": Stability(1.25, None)}
    speed = Speed(4.0, 2.0, 40, 0.5, 10**9)
    clip = ClipMeasurement("a.mp4", (64, 48), stability, speed)  # type: ignore[arg-type]
    table = stability_table([clip])
    assert table.header[1:] == ("shot", "smooth")
    assert table.rows == [("a.mp4", "0.90, 0.00", "1.25, -")]
    assert speed_table([clip]).rows == [
        ("a.mp4", "64x48", "40", "4 s", "2 s", "2.0x", "10.0", "2.0", "1000 MB")
    ]
    read = json.loads(json.dumps(clip.as_json()))
    assert (read["codec_ratio"], read["speedup"]) == (2.0, 5.0)
