"""What `gradc check --plot` draws: how far central differences are from the derivative, by the step that they take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, log10
from pathlib import PurePath

from dsl.gradcheck import PLOTTED, TOLERANCE, CheckReport, Row
from dsl.views.diagram import shortened
from dsl.views.drawing import document, number, text, width_of

WIDTH, HEIGHT = 640.0, 340.0
LEFT, TOP = 70.0, 48.0
LEAST = 1e-16
# colours that can be told apart with any kind of eyes, by Okabe and Ito; where they come round again, the line is broken
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9")
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DASHES = ("", "6 3", "2 3", "8 3 2 3")
STYLE = """\
.gradc .axis { stroke: var(--soft); fill: none; }
.gradc .grid { stroke: var(--faint); fill: none; }
.gradc .limit { stroke: var(--soft); stroke-dasharray: 2 4; fill: none; }
.gradc .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
"""


def plotted(report: CheckReport) -> str:
    """An SVG of error against step, a curve for each gradient that was checked."""
    rows = [row for row in report.rows if row.curve]
    return _Plot(report.name, rows).document()


class _Plot:
    """The axes, in powers of ten, and what stands upon them."""

    def __init__(self, name: str, rows: Sequence[Row]) -> None:
        self.name, self.rows = name, rows
        errors = [max(error, LEAST) for row in rows for _, error in row.curve] or [1.0]
        self.high = max(ceil(log10(max(errors))), 0)
        self.low = min(floor(log10(min(errors))), self.high - 1)
        self.first, self.last = floor(log10(min(PLOTTED))), 0

    def x(self, step: float) -> float:
        return LEFT + WIDTH * (log10(step) - self.first) / (self.last - self.first)

    def y(self, error: float) -> float:
        return TOP + HEIGHT * (self.high - log10(max(error, LEAST))) / (self.high - self.low)

    def document(self) -> str:
        title = f"{shortened(PurePath(self.name).name)}: error of central differences by their step"
        legend = list(self.legend())
        bottom = TOP + HEIGHT + 58 + 20 * (legend_rows(self.rows) if self.rows else 1)
        head = text(LEFT, 28, title, anchor="start", size=13)
        return document(LEFT + WIDTH + 30, bottom, title, [head, *self.axes(), *self.curves(), *legend], STYLE)

    def axes(self) -> Iterator[str]:
        right, bottom = LEFT + WIDTH, TOP + HEIGHT
        for power in range(self.first, self.last + 1, 2):
            x = number(self.x(10.0**power))
            yield f'<path class="grid" d="M{x} {number(TOP)}V{number(bottom)}"/>'
            yield text(self.x(10.0**power), bottom + 18, ten(power), "soft", size=11)
        each = 2 if self.high - self.low > 6 else 1
        for power in (power for power in range(self.low, self.high + 1) if power % each == 0):
            y = number(self.y(10.0**power))
            yield f'<path class="grid" d="M{number(LEFT)} {y}H{number(right)}"/>'
            yield text(LEFT - 8, self.y(10.0**power) + 4, ten(power), "soft", "end", size=11)
        yield f'<path class="axis" d="M{number(LEFT)} {number(TOP)}V{number(bottom)}H{number(right)}"/>'
        yield text(LEFT + WIDTH / 2, bottom + 38, "step", "soft")
        yield f'<g transform="translate(16 {number(TOP + HEIGHT / 2)}) rotate(-90)">{text(0, 0, "relative error", "soft")}</g>'
        if self.low <= log10(TOLERANCE) <= self.high:
            yield f'<path class="limit" d="M{number(LEFT)} {number(self.y(TOLERANCE))}H{number(right)}"/>'
            yield text(self.x(1e-6), self.y(TOLERANCE) - 5, "what the check allows", "soft", size=11)

    def curves(self) -> Iterator[str]:
        for i, row in enumerate(self.rows):
            points = " ".join(f"{number(self.x(step))},{number(self.y(error))}" for step, error in row.curve)
            step, least = min(row.curve, key=lambda each: each[1])
            said = f"d{row.name[1:]}: {least:.1e} at a step of {step:.0e}" if row.name.startswith("d") else row.name
            yield f'<g class="gradient"><title>{said}</title><polyline class="curve" points="{points}" {stroke(i)}/></g>'

    def legend(self) -> Iterator[str]:
        if not self.rows:
            yield text(LEFT + WIDTH / 2, TOP + HEIGHT / 2, "no gradient to compare")
        columns = _columns(self.rows)
        for i, row in enumerate(self.rows):
            x, y = LEFT + (i % columns) * WIDTH / columns, TOP + HEIGHT + 62 + 20 * (i // columns)
            yield f'<path class="curve" d="M{number(x)} {number(y - 4)}h22" {stroke(i)}/>'
            yield text(x + 30, y, row.name, anchor="start")


def ten(power: int) -> str:
    return f"10{str(power).translate(RAISED)}" if power else "1"


def stroke(i: int) -> str:
    dashes = DASHES[i // len(COLOURS) % len(DASHES)]
    return f'stroke="{COLOURS[i % len(COLOURS)]}"' + (f' stroke-dasharray="{dashes}"' if dashes else "")


def _columns(rows: Sequence[Row]) -> int:
    widest = max((width_of(row.name) for row in rows), default=0.0) + 50
    return max(1, int(WIDTH // widest))


def legend_rows(rows: Sequence[Row]) -> int:
    return -(-len(rows) // _columns(rows))
