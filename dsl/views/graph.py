"""What `gradc graph` draws, in each form that it can be drawn in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dsl.nodes import Program
from dsl.views.collapse import collapsed
from dsl.views.diagram import Diagram, diagram
from dsl.views.elements import expanded
from dsl.views.figure import figure
from dsl.views.graph_text import dot, mermaid
from dsl.views.slopes import slopes
from dsl.views.steps import Composition, composition

FORMS: Mapping[str, Callable[[Diagram], str]] = {"svg": figure, "dot": dot, "mermaid": mermaid}


def graph(
    program: Program,
    form: str = "svg",
    backward: bool = False,
    elements: bool = False,
    collapse: str | None = None,
    dims: Mapping[str, int] | None = None,
) -> str:
    """A program's diagram as text. ``collapse`` is none, functions or lines; ``dims`` are sizes for the products that ``elements`` writes out.
    Raises DslError where it cannot be drawn."""
    made = composition(program)
    drawn = collapsed(diagram(made, slopes(made) if backward else None), made, collapse)
    return FORMS[form](expanded(drawn, made, dims or {}) if elements else drawn)


def svg(made: Composition, backward: bool = True, across: bool | None = None) -> str:
    """The diagram of a program's steps as an SVG element for a page, by default from left to right where it is short. Raises DslError where
    Graphviz is not installed."""
    return figure(collapsed(diagram(made, slopes(made) if backward else None), made), across)
