"""Small SVG plots for the reports: no script, no font, no file beside the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["COLORS", "Series", "bars", "lines", "ticks"]

#: Okabe & Ito's palette, which people with colour-blindness can tell apart.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 40


@dataclass(frozen=True, slots=True)
class Series:
    """A line (or its points only) through x and y; a y of None makes a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    points: bool = False


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that cover the range.

    Examples:
        >>> ticks(0.0, 9.7)
        [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    if not math.isfinite(low) or not math.isfinite(high) or high <= low:
        high = low + max(abs(low) * 0.1, 1e-9)
    raw = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten (whole powers only over more than three of them) that cover the range.

    Examples:
        >>> log_ticks(0.3, 4.0)
        [0.2, 0.5, 1.0, 2.0, 5.0]
    """
    low = max(low, 1e-9)
    high = max(high, low)
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    marks = [round(m * 10.0**e, 12) for e in range(first, last + 1) for m in steps]
    below = [mark for mark in marks if mark <= low * (1 + 1e-9)]
    above = [mark for mark in marks if mark >= high * (1 - 1e-9)]
    return [mark for mark in marks if below[-1] <= mark <= above[0]]


def lines(series: Sequence[Series], x_label: str, y_label: str, *, log: bool = False) -> str:
    """A line plot as an ``<svg>`` element, with a legend above if there is more than one series.

    Args:
        series: what to draw.
        x_label, y_label: of the axes, with units.
        log: whether the y axis is logarithmic; values must be positive then.
    """
    xs = [x for s in series for x in s.x]
    ys = [y for s in series for y in s.y if y is not None]
    if not xs or not ys:
        return ""
    x_ticks = ticks(min(xs), max(xs), 8)
    y_ticks = log_ticks(min(ys), max(ys)) if log else ticks(min(ys), max(ys))
    scale: Callable[[float], float] = (lambda y: math.log(max(y, y_ticks[0]))) if log else float
    bottom, top = scale(y_ticks[0]), scale(y_ticks[-1])
    top = top if top > bottom else bottom + 1

    def px(x: float) -> float:
        return LEFT + (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        return HEIGHT - BOTTOM - (scale(y) - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM)

    out = _axes(x_ticks, y_ticks, px, py, x_label, y_label)
    for i, s in enumerate(series):
        color = COLORS[i % len(COLORS)]
        if s.points:
            dots = (
                f'<circle cx="{px(x):.1f}" cy="{py(y):.1f}" r="1.6"/>'
                for x, y in zip(s.x, s.y, strict=True)
                if y is not None
            )
            out.append(f'<g fill="{color}" fill-opacity="0.6">{"".join(dots)}</g>')
        else:
            path, pen = [], "M"
            for x, y in zip(s.x, s.y, strict=True):
                if y is None:
                    pen = "M"
                    continue
                path.append(f"{pen}{px(x):.1f},{py(y):.1f}")
                pen = "L"
            out.append(f'<path d="{"".join(path)}" fill="none" stroke="{color}" stroke-width="1.6"/>')
    return _legend([s.name for s in series]) + _element(out, HEIGHT)


def bars(rows: Sequence[tuple[str, float]], shown: Callable[[float], str], unit: str) -> str:
    """Horizontal bars with their values, as `shown` writes them, as an ``<svg>`` element."""
    if not rows:
        return ""
    line, label = 18, 330
    high = max(value for _, value in rows) or 1.0
    out = []
    for i, (name, value) in enumerate(rows):
        y = 4 + i * line
        length = value / high * (WIDTH - label - 110)
        short = name if len(name) <= 48 else name[:47] + "…"
        out.append(f'<text x="{label - 8}" y="{y + 12}" text-anchor="end">{escape(short)}</text>')
        out.append(f'<rect x="{label}" y="{y + 2}" width="{length:.1f}" height="{line - 5}" fill="{COLORS[0]}"/>')
        out.append(f'<text x="{label + length + 6:.1f}" y="{y + 12}">{escape(shown(value))} {escape(unit)}</text>')
    return _element(out, 8 + line * len(rows))


def _axes(
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    px: Callable[[float], float],
    py: Callable[[float], float],
    x_label: str,
    y_label: str,
) -> list[str]:
    out = []
    for tick in y_ticks:
        y = py(tick)
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    out += [
        f'<text x="{px(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>' for tick in x_ticks
    ]
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    out.append(f'<text transform="translate(14,{middle}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>')
    return out


def _legend(names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    items = (
        f'<span class="key"><i style="background:{COLORS[i % len(COLORS)]}"></i>{escape(name)}</span>'
        for i, name in enumerate(names)
    )
    return f'<div class="legend">{"".join(items)}</div>'


def _element(parts: Sequence[str], height: int) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{"".join(parts)}</svg>'
