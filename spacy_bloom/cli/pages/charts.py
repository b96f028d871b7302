"""Curves as SVG, drawn by a template: no library, and colours that follow the page's scheme."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from .cards import ENVIRONMENT

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 34
# Readable on white and on black, and different in lightness too.
COLORS = ("#7048e8", "#e8590c", "#0ca678", "#d6336c", "#1c7ed6", "#f08c00", "#74b816", "#868e96")


class Line(NamedTuple):
    """A curve for the template."""

    name: str
    color: str
    path: str
    dots: Sequence[tuple[float, float, str]]
    last: str


class Tick(NamedTuple):
    """A label of an axis for the template, and its place."""

    at: float
    text: str


@dataclass(frozen=True)
class Scale:
    """Maps values to places.

    low, high (float): Values at its ends.
    first, last (float): Places at its ends.
    """

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        """RETURNS (float): The place of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.first + share * (self.last - self.first), 2)


def render_chart(title: str, curves: Mapping[str, Points], *, unit: str) -> Markup:
    """Draw curves over one axis.

    curves (Mapping[str, Points]): Points by name, at least one.
    unit (str): What is counted along the horizontal axis.
    RETURNS (Markup): A figure with a legend.
    """
    xs, ys = ([point[i] for points in curves.values() for point in points] for i in (0, 1))
    x_ticks, y_ticks = nice_ticks(min(xs), max(xs)), nice_ticks(min(ys), max(ys))
    across = Scale(min(xs), max(max(xs), min(xs) + 1e-9), LEFT, WIDTH - RIGHT)
    up = Scale(min(y_ticks[0], *ys), max(y_ticks[-1], *ys), HEIGHT - BOTTOM, TOP)
    return Markup(
        ENVIRONMENT.get_template("chart.html").render(
            chart_title=title,
            unit=unit,
            width=WIDTH,
            height=HEIGHT,
            left=LEFT,
            right=WIDTH - RIGHT,
            bottom=HEIGHT - BOTTOM,
            x_ticks=[Tick(across(x), short(x)) for x in x_ticks if min(xs) <= x <= max(xs)],
            y_ticks=[Tick(up(y), short(y)) for y in y_ticks],
            lines=list(_lines(curves, across, up)),
        )
    )


def nice_ticks(low: float, high: float, n_most: int = 5) -> list[float]:
    """RETURNS (list[float]): Round numbers, from one that is not above `low` to one that is not below `high`."""
    if low == high:
        low, high = low - max(abs(low) * 0.1, 0.5), high + max(abs(high) * 0.1, 0.5)
    least = (high - low) / n_most
    unit = 10 ** math.floor(math.log10(least))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= least * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def short(value: float) -> str:
    """RETURNS (str): A number with few characters, as 1.5k or 12M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _lines(curves: Mapping[str, Points], across: Scale, up: Scale) -> Iterator[Line]:
    for number, (name, points) in enumerate(curves.items()):
        places = [(across(x), up(y)) for x, y in points]
        dots = [
            (*place, f"{name}: {y:.4g} at {x:,.0f}") for place, (x, y) in zip(places, points, strict=True)
        ]
        path = " ".join(f"{x},{y}" for x, y in places)
        yield Line(name, COLORS[number % len(COLORS)], path, dots, f"{points[-1][1]:.4g}")
