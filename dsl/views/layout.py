"""Where the boxes of a diagram go and how its edges run: Graphviz decides, which pygraphviz brings along.

Graphviz is given sizes only, never a text to measure, so that a diagram does not depend on the fonts of the machine that draws it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from dsl.diagnostics import Code, error
from dsl.views.diagram import Diagram
from dsl.views.graph_text import Node, nested, quoted

Point = tuple[float, float]
# half the distance between the lane of values and that of gradients
LANE = 9.0


@dataclass(frozen=True)
class Route:
    """An edge: the points of its Bézier curve, and the tip of an arrow at either end, where there is one."""

    points: tuple[Point, ...]
    start: Point | None
    end: Point | None


@dataclass(frozen=True)
class Layout:
    """The centre of each node by key, the routes of the arrows, the gradient's after the value's, the corners of each group, and the whole size."""

    centres: Mapping[str, Point]
    routes: tuple[tuple[Route, Route | None], ...]
    groups: Mapping[str, tuple[Point, Point]]
    width: float
    height: float


def laid_out(drawn: Diagram, sizes: Mapping[str, Point], labels: Mapping[str, Point], across: bool) -> Layout:
    """A place for everything of a diagram whose nodes have these sizes in pixels, from left to right or from top to bottom. Raises DslError
    where Graphviz is not installed."""
    try:
        from pygraphviz import AGraph
    except ImportError:
        raise error(Code.E0503, "the layout of a diagram needs Graphviz", help="`pip install 'gradc[views]'` brings it along") from None
    graph = AGraph(_source(drawn, sizes, labels, across))
    graph.layout(prog="dot")
    return _read(drawn, json.loads(graph.draw(format="json0")))


def _source(drawn: Diagram, sizes: Mapping[str, Point], labels: Mapping[str, Point], across: bool) -> str:
    out, into = ("e", "w") if across else ("s", "n")
    fans = Counter(key for each in drawn.arrows for key in (f"from {each.tail}", f"to {each.head}"))
    # where many edges meet, their curves need room
    gap = (0.32 if across else 0.4) + 0.03 * min(max(fans.values(), default=0), 12)
    lines = ["digraph {", f"rankdir={'LR' if across else 'TB'}; nodesep=0.3; ranksep={gap:.2f}; edge [arrowsize=0.7]"]
    arrays = {each.key for each in drawn.arrays}
    lanes = with_gradient(drawn)

    def node(each: Node) -> str:
        return f"{quoted(each.key)} [shape=plain label=<{_table(_cells(*sizes[each.key], across, each.key in lanes))}>]"

    def open_group(key: str, label: str) -> str:
        return f"subgraph {quoted('cluster ' + key)} {{ margin=10; labeljust=l; label=<{_table([[('t', *labels[key])]])}>"

    lines += nested(drawn, node, open_group, "}")
    for i, each in enumerate(drawn.arrows):
        ends = f"{quoted(each.tail)}:v:{out} -> {quoted(each.head)}:v:{into}"
        back = f"{quoted(each.tail)}:g:{out} -> {quoted(each.head)}:g:{into}"
        last = each.head not in arrays or not any(other.tail == each.head for other in drawn.arrows) or bool(each.turn)
        loose = " constraint=false" if each.turn == "next" else ""
        lines.append(f"{ends} [id=v{i} dir={'forward' if last else 'none'}{loose}]")
        if each.returns:
            first = each.tail not in arrays or not any(other.head == each.tail for other in drawn.arrows) or bool(each.turn)
            lines.append(f"{back} [id=g{i} dir={'back' if first else 'none'}{loose}]")
    return "\n".join([*lines, "}"])


def with_gradient(drawn: Diagram) -> set[str]:
    """The boxes and arrays that a gradient passes: they have a lane for it."""
    return {key for each in drawn.arrows if each.returns for key in (each.tail, each.head)}


def _cells(width: float, height: float, across: bool, lanes: bool) -> list[list[tuple[str, float, float]]]:
    """A node's ports: ``v`` for values, ``g`` for gradients beside it."""
    if not lanes:
        return [[("v", width, height)]]
    if across:
        return [[("a", width, height / 2 - 2 * LANE)], [("v", width, 2 * LANE)], [("g", width, 2 * LANE)], [("z", width, height / 2 - 2 * LANE)]]
    return [[("a", width / 2 - 2 * LANE, height), ("v", 2 * LANE, height), ("g", 2 * LANE, height), ("z", width / 2 - 2 * LANE, height)]]


def _table(rows: list[list[tuple[str, float, float]]]) -> str:
    """An empty label of a fixed size."""

    def cell(port: str, width: float, height: float) -> str:
        return f'<TD PORT="{port}" FIXEDSIZE="TRUE" WIDTH="{round(width)}" HEIGHT="{round(height)}"></TD>'

    body = "".join(f"<TR>{''.join(cell(*each) for each in row)}</TR>" for row in rows)
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{body}</TABLE>'


def _read(drawn: Diagram, found: dict[str, object]) -> Layout:
    """Graphviz's answer; its y runs upwards."""
    left, bottom, right, top = _numbers(str(found["bb"]))

    def point(x: float, y: float) -> Point:
        return x - left, top - y

    objects = found.get("objects", [])
    edges = found.get("edges", [])
    assert isinstance(objects, list) and isinstance(edges, list)
    centres = {str(each["name"]): point(*_numbers(each["pos"])) for each in objects if "pos" in each}
    groups = {}
    for each in objects:
        if str(each["name"]).startswith("cluster "):
            x0, y0, x1, y1 = _numbers(each["bb"])
            groups[str(each["name"]).removeprefix("cluster ")] = (point(x0, y1), point(x1, y0))
    routes = {each["id"]: _route(str(each["pos"]), point) for each in edges}
    pairs = tuple((routes[f"v{i}"], routes.get(f"g{i}")) for i in range(len(drawn.arrows)))
    return Layout(centres, pairs, groups, right - left, top - bottom)


def _route(text: str, point: object) -> Route:
    assert callable(point)
    tips: dict[str, Point] = {}
    points: list[Point] = []
    for word in text.split():
        match = re.fullmatch(r"(?:([se]),)?(.*)", word)
        assert match is not None
        place = point(*_numbers(match[2]))
        if match[1]:
            tips[match[1]] = place
        else:
            points.append(place)
    return Route(tuple(points), tips.get("s"), tips.get("e"))


def _numbers(text: str) -> list[float]:
    return [float(each) for each in text.split(",")]
