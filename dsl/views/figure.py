"""A diagram as SVG: one file that stands alone or within a page, in light and dark.

Each box is ``<g class="step" id="step-3" data-step="3">``; one that stands for several steps has all their numbers in ``data-step``.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import hypot

from dsl.views.diagram import Array, Arrow, Box, Diagram, Group
from dsl.views.drawing import document, escaped, number, text, width_of
from dsl.views.layout import LANE, Layout, Point, Route, laid_out

STYLE = """\
.gradc .box rect { fill: var(--box); stroke: var(--edge); stroke-width: 1.2; }
.gradc .box .symbol { font-weight: 600; }
.gradc .box .letter { font-family: Georgia, "Times New Roman", "Liberation Serif", "DejaVu Serif", serif; font-style: italic; font-weight: 400; }
.gradc .box .rule { stroke: var(--faint); }
.gradc .array .name { font-weight: 600; }
.gradc .array .made { fill: var(--soft); font-style: italic; }
.gradc .array .shape { fill: var(--soft); }
.gradc .array .end { fill: none; stroke: var(--edge); stroke-width: 1.2; }
.gradc .param .end { stroke: var(--mark); }
.gradc .output .end { stroke: var(--ink); stroke-width: 1.8; }
.gradc .gradient, .gradc .slope { fill: var(--back); }
.gradc .arrow { fill: none; stroke: var(--edge); stroke-width: 1.3; }
.gradc .tip { fill: var(--edge); stroke: none; }
.gradc .back .arrow { stroke: var(--back); stroke-dasharray: 5 3; }
.gradc .back .tip { fill: var(--back); }
.gradc .turn .arrow { stroke-dasharray: 1.5 3; stroke-linecap: round; }
.gradc .group rect { fill: none; stroke: var(--faint); stroke-width: 1.2; }
.gradc .step:hover rect, .gradc .step:focus-visible rect, .gradc .step.on rect { stroke: var(--mark); stroke-width: 2.2; outline: none; }
"""
MARGIN = 14.0
WIDEST = 1500.0


def figure(drawn: Diagram, across: bool | None = None) -> str:
    """The diagram as an SVG document. It runs ``across``, from left to right, or from top to bottom; by default across where that is not too
    wide. Raises DslError where Graphviz is not installed."""
    made = _Figure(drawn, across is not False)
    return (_Figure(drawn, False) if across is None and made.layout.width > WIDEST else made).document()


class _Figure:
    def __init__(self, drawn: Diagram, across: bool) -> None:
        self.drawn, self.across = drawn, across
        self.sizes = {each.key: box_size(each) for each in drawn.boxes} | {each.key: array_size(each) for each in drawn.arrays}
        labels = {each.key: (width_of(each.label, 11), 14.0) for each in drawn.groups}
        self.layout: Layout = laid_out(drawn, self.sizes, labels, across)

    def document(self) -> str:
        body = [f'<g transform="translate({number(MARGIN)} {number(MARGIN)})">']
        body += [line for each in self.drawn.groups if each.key in self.layout.groups for line in self.group(each)]
        body += [line for each, routes in zip(self.drawn.arrows, self.layout.routes, strict=True) for line in self.arrow(each, *routes)]
        body += [line for each in self.drawn.arrays for line in self.array(each)]
        body += [line for each in self.drawn.boxes for line in self.box(each)]
        return document(self.layout.width + 2 * MARGIN, self.layout.height + 2 * MARGIN, self.drawn.title, [*body, "</g>"], STYLE, "group")

    def group(self, group: Group) -> Iterator[str]:
        (x0, y0), (x1, y1) = self.layout.groups[group.key]
        steps = " ".join(map(str, group.steps))
        marks = f'class="step group" id="{group.key}" data-step="{steps}" role="group" tabindex="0"' if steps else 'class="group"'
        yield f'<g {marks}><rect {corners(x0, y0, x1 - x0, y1 - y0)} rx="10"/>'
        yield f'{text(x0 + 10, y0 + 17, group.label, "soft", "start", 11)}</g>'

    def arrow(self, arrow: Arrow, ahead: Route, back: Route | None) -> Iterator[str]:
        turn = ' class="turn"' if arrow.turn else ""
        yield f"<g{turn}>{''.join(drawn_route(ahead))}</g>"
        if back is not None:
            yield f'<g class="back">{"".join(drawn_route(back))}</g>'

    def array(self, array: Array) -> Iterator[str]:
        x, y = self.layout.centres[array.key]
        width, height = self.sizes[array.key]
        yield f'<g class="array {array.kind}">'
        if array.kind != "inner":
            yield f'<rect class="end" {corners(x - width / 2, y - height / 2, width, height)} rx="{number(min(height / 2, 12))}"/>'
        row = y + 4 - (LANE if array.gradient else 0)
        left = x - width_of(label(array)) / 2
        yield text(left, row, array.name, "name" if array.named else "made", "start")
        if array.shape:
            yield text(left + width_of(f"{array.name} "), row, array.shape, "shape", "start")
        if array.gradient:
            yield text(x, y + 4 + LANE, array.gradient, "gradient", size=11)
        yield "</g>"

    def box(self, box: Box) -> Iterator[str]:
        x, y = self.layout.centres[box.key]
        width, height = self.sizes[box.key]
        steps = " ".join(map(str, box.steps))
        yield f'<g class="step box" id="{box.key}" data-step="{steps}" role="img" tabindex="0"><title>{escaped(box.title)}</title>'
        yield f'<rect {corners(x - width / 2, y - height / 2, width, height)} rx="7"/>'
        top = y - height / 2
        letter = len(box.symbol) == 1
        yield text(x, top + 21, box.symbol, "symbol letter" if letter else "symbol", size=20 if letter else 13)
        yield text(x, top + 37, box.caption, "soft", size=11)
        if box.slopes:
            yield f'<path class="rule" d="M{number(x - width / 2)} {number(top + 46)}h{number(width)}"/>'
        for i, slope in enumerate(box.slopes):
            yield text(x, top + 60 + 15 * i, slope, "slope", size=11)
        yield "</g>"


def label(array: Array) -> str:
    return f"{array.name} {array.shape}".strip()


def array_size(array: Array) -> Point:
    width = max(width_of(label(array)), width_of(array.gradient, 11))
    return width + (20 if array.kind != "inner" else 10), 42.0 if array.gradient else 24.0


def box_size(box: Box) -> Point:
    texts = [width_of(box.symbol, 13), *(width_of(each, 11) for each in (box.caption, *box.slopes))]
    return max(*texts, 36.0) + 22, 46.0 + (15 * len(box.slopes) + 6 if box.slopes else 0)


def corners(x: float, y: float, width: float, height: float) -> str:
    return f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'


def drawn_route(route: Route) -> Iterator[str]:
    """A curve, drawn to its tips, and the tips."""
    (x, y), *rest = route.points
    path = f"M{number(x)} {number(y)}C{' '.join(f'{number(a)} {number(b)}' for a, b in rest)}"
    yield f'<path class="arrow" d="{path}"/>'
    if route.end is not None:
        yield tip(route.points[-1], route.end)
    if route.start is not None:
        yield tip(route.points[0], route.start)


def tip(base: Point, end: Point) -> str:
    """The tip of an arrow that ends at a point."""
    (x, y), (u, v) = base, end
    length = hypot(u - x, v - y) or 1.0
    side = (3.2 * (v - y) / length, -3.2 * (u - x) / length)
    return (
        f'<path class="tip" d="M{number(u)} {number(v)}L{number(x + side[0])} {number(y + side[1])}L{number(x - side[0])} {number(y - side[1])}Z"/>'
    )
