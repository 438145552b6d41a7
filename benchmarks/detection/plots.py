"""Line and grid plots as SVG, in a few lines: axes, marks and words, no library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#0b6e4f", "#c1666b", "#4281a4", "#d4a017", "#7d5ba6", "#555555")
FONT = 'font-family="sans-serif" font-size="12"'


def lines(
    title: str,
    x_name: str,
    y_name: str,
    xs: Sequence[str],
    series: Mapping[str, Sequence[float]],
) -> str:
    """One line for each of ``series``, values in [0, 1], over the evenly spaced labels ``xs``."""
    width, height, left, top = 640, 360, 60, 40
    wide, high = 400, 260

    def at(i: int, y: float) -> tuple[float, float]:
        return left + wide * i / max(1, len(xs) - 1), top + high * (1.0 - y)

    parts = [_text(left, 22, title, 'font-weight="bold"')]
    for tenth in range(0, 11, 2):
        x, y = at(0, tenth / 10)
        parts.append(f'<path d="M{x} {y}h{wide}" stroke="#ddd"/>')
        parts.append(_text(x - 8, y + 4, f"{tenth / 10:.1f}", 'text-anchor="end"'))
    for i, label in enumerate(xs):
        x, y = at(i, 0.0)
        parts.append(_text(x, y + 18, label, 'text-anchor="middle"'))
    parts.append(_text(left + wide / 2, top + high + 40, x_name, 'text-anchor="middle"'))
    turned = f'text-anchor="middle" transform="rotate(-90 16 {top + high / 2})"'
    parts.append(_text(16, top + high / 2, y_name, turned))
    for n, (name, values) in enumerate(series.items()):
        colour = COLOURS[n % len(COLOURS)]
        points = [at(i, value) for i, value in enumerate(values)]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        y = top + 10 + 20 * n
        parts.append(f'<path d="M{left + wide + 20} {y}h20" stroke="{colour}" stroke-width="3"/>')
        parts.append(_text(left + wide + 46, y + 4, name))
    return _svg(width, height, parts)


def grid(
    title: str, rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]]
) -> str:
    """A table of shares in [0, 1] whose cells are the darker the higher they are."""
    left, top, cell, line = 230, 70, 92, 26
    parts = [_text(12, 22, title, 'font-weight="bold"')]
    for j, column in enumerate(columns):
        x = left + cell * (j + 0.5)
        parts.append(_text(x, top - 10, column, 'text-anchor="middle" font-size="10"'))
    for i, (row, shares) in enumerate(zip(rows, values, strict=True)):
        y = top + line * i
        parts.append(_text(left - 10, y + 17, row, 'text-anchor="end"'))
        for j, share in enumerate(shares):
            shade = f'fill="#0b6e4f" fill-opacity="{0.06 + 0.94 * share:.2f}"'
            box = f'width="{cell - 2}" height="{line - 2}"'
            parts.append(f'<rect x="{left + cell * j}" y="{y}" {box} {shade}/>')
            ink = "#fff" if share > 0.55 else "#000"
            middle = f'text-anchor="middle" fill="{ink}"'
            parts.append(_text(left + cell * (j + 0.5), y + 17, f"{share:.2f}", middle))
    return _svg(left + cell * len(columns) + 12, top + line * len(rows) + 12, parts)


def _text(x: float, y: float, words: str, more: str = "") -> str:
    size = "" if "font-size" in more else FONT
    font = size or 'font-family="sans-serif"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {font} {more}>{escape(words)}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
    box = f'viewBox="0 0 {width:.0f} {height:.0f}">'
    white = f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>'
    return "\n".join([f"{head} {box}", white, *parts, "</svg>"]) + "\n"
