"""Curves are drawn where their points are, on axes with round numbers."""

import re

import pytest

from spacy_bloom.cli.pages.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    nice_ticks,
    render_chart,
    short,
)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (3, 9, [2, 4, 6, 8, 10]),
        (0.12, 0.19, [0.12, 0.14, 0.16, 0.18, 0.2]),
        (5, 5, [4.5, 4.75, 5, 5.25, 5.5]),
    ],
)
def test_ticks_are_round_and_cover_the_values(low, high, expected):
    found = nice_ticks(low, high)
    assert found[0] <= low and found[-1] >= high and len(found) <= 7
    if low != high:
        assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "text"), [(1500, "1.5k"), (12_000_000, "12M"), (0.25, "0.25"), (0, "0"), (-2000, "-2k")]
)
def test_short_numbers(value, text):
    assert short(value) == text


def test_points_are_at_their_places():
    chart = render_chart("Scores", {"a": [(0, 0), (50, 50), (100, 100)], "<b>": [(0, 100)]}, unit="steps")
    first, second = re.findall(r'<polyline points="([^"]*)"', chart)
    points = [tuple(map(float, pair.split(","))) for pair in first.split()]
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    assert points == [(left, bottom), ((left + right) / 2, (top + bottom) / 2), (right, top)]
    assert second == f"{float(left)},{float(top)}" and "<b>" not in chart and "&lt;b&gt;" in chart
    assert chart.count("<circle") == 4 and "a: 50 at 50" in chart


def test_one_point():
    assert "nan" not in render_chart("Loss", {"a": [(0, 0)]}, unit="steps")
