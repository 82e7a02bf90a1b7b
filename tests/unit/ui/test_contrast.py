"""The tokens of wfmon.css: every text can be read, in both themes."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[3] / "assets" / "wfmon.css").read_text("utf-8")
BODY = re.sub(r"/\*.*?\*/", "", CSS, flags=re.DOTALL)
TEXTS = ("ink", "ink-2", "ink-3", "accent", "ok", "warn", "bad")
GROUNDS = ("ground", "panel", "raised")
LINES = ("s-1", "s-2", "s-3", "s-4", "s-5", "s-6")


def tokens(selector: str) -> dict[str, str]:
    """Give the colours of the first block of a selector."""
    block = BODY[BODY.index(selector) :]
    block = block[block.index("{") + 1 : block.index("}")]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


DARK = tokens(":root {")
LIGHT = tokens(':root[data-theme="light"]')
THEMES = pytest.mark.parametrize("theme", [DARK, LIGHT], ids=["dark", "light"])


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_is_that_of_wcag():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@THEMES
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("text", TEXTS)
def test_every_text_stands_out_at_least_four_and_a_half_to_one(theme, text, ground):
    assert contrast(theme[text], theme[ground]) >= 4.5


@THEMES
@pytest.mark.parametrize("line", LINES)
def test_every_line_stands_out_at_least_three_to_one_on_its_panel(theme, line):
    assert contrast(theme[line], theme["panel"]) >= 3


@THEMES
def test_dim_lines_stand_behind_the_others_and_can_still_be_seen(theme):
    assert 2 <= contrast(theme["s-dim"], theme["panel"]) < 3


def _machado(colour: str, matrix: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    """Simulate a dichromat's sight in linear RGB (Machado, Oliveira and Fernandes 2009, severity 1)."""
    rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in rgb]
    return tuple(sum(m * p for m, p in zip(row, linear, strict=True)) for row in matrix)


def _lab(linear: tuple[float, ...]) -> tuple[float, float, float]:
    """CIE L*a*b* (D65) from linear sRGB."""
    x, y, z = (
        sum(m * max(0.0, p) for m, p in zip(row, linear, strict=True))
        for row in ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    )
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x / 0.9505, y, z / 1.089))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


SIGHTS = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}


@THEMES
@pytest.mark.parametrize("sight", SIGHTS)
def test_neighbours_of_the_palette_differ_for_colour_blind_eyes(theme, sight):
    seen = [_lab(_machado(theme[name], SIGHTS[sight])) for name in LINES[:4]]
    for one, other in itertools.combinations(seen, 2):
        distance = sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
        assert distance >= 10


def test_both_light_themes_are_the_same():
    followed = tokens(':root:not([data-theme="dark"])')
    assert followed == LIGHT
    assert set(LIGHT) == set(DARK)


def test_only_tokens_carry_colours():
    rules = BODY[BODY.index("@font-face") :]
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[^{}]*;)", rules)) <= {"#000", "#0000"}  # masks


def test_there_are_no_shadows():
    assert "box-shadow" not in BODY
    assert "text-shadow" not in BODY
    assert "linear-gradient" not in BODY


def test_nothing_is_fetched_from_elsewhere():
    assert re.findall(r"@import|https?:|//[a-z]", BODY) == []
    for name in re.findall(r'url\("([^"]+)"\)', BODY):
        assert (Path(__file__).parents[3] / "assets" / name).is_file(), name
