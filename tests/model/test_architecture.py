from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photostyle.errors import PhotostyleError
from photostyle.model.architecture import PHOTONAS, PHOTONET, Architecture, parse_widths

strings = st.text("01", min_size=32, max_size=32)


@given(strings)
def test_every_string_comes_back(string: str) -> None:
    assert str(Architecture.parse(string)) == string


@given(strings)
def test_the_unread_bit_makes_no_difference(string: str) -> None:
    other = string[:8] + "01"[string[8] == "0"] + string[9:]
    assert Architecture.parse(string) == Architecture.parse(other)


def test_photonet_has_everything() -> None:
    assert all(getattr(PHOTONET, part.name) for part in fields(PHOTONET))
    assert PHOTONET.wct_layers == (
        *("level5", "skip4", "skip3", "skip2", "skip1"),
        *("d1", "d2", "d3", "d4", "d5"),
    )


def test_photonas_is_what_the_paper_describes() -> None:
    on = {part.name for part in fields(PHOTONAS) if getattr(PHOTONAS, part.name)}
    assert on == {"bfa4", "bfa2", "skip4", "wct_d5", "norm1", "skip1", "wct_skip1"}
    assert PHOTONAS.wct_layers == ("skip1", "d5")


def test_a_wct_layer_on_an_unused_level_does_not_exist() -> None:
    assert Architecture(wct_skip2=True).wct_layers == ()
    assert Architecture(wct_skip2=True, bfa2=True).wct_layers == ("skip2",)


@pytest.mark.parametrize("string", ["", "0" * 31, "0" * 33, "0" * 31 + "2", "photonas"])
def test_other_strings_are_refused(string: str) -> None:
    with pytest.raises(PhotostyleError, match="32 characters"):
        Architecture.parse(string)


@pytest.mark.parametrize(
    "text", ["", "1,2,3,4", "1,2,3,4,5,6", "1,2,3,4,x", "0,1,1,1,1", "9999,1,1,1,1"]
)
def test_other_widths_are_refused(text: str) -> None:
    with pytest.raises(PhotostyleError, match="Widths"):
        parse_widths(text)
