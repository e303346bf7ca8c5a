"""The functions of the language that are not written in the language itself, collected: each stands beside the operation it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from dsl.nodes import Node
from dsl.ops import along, broadcasting, contraction, diagonals, elementwise, indexing, linalg, making, moving, prods, products, reduction, shaping, signal
from dsl.ops.elementwise import elementwise_ops, ew
from dsl.ops.shaping import transpose
from dsl.ops.spec import REQUIRED, Function, Op, Param

FUNCTIONS = (
    *elementwise.FUNCTIONS,
    *broadcasting.FUNCTIONS,
    *making.FUNCTIONS,
    *moving.FUNCTIONS,
    *indexing.FUNCTIONS,
    *diagonals.FUNCTIONS,
    *contraction.FUNCTIONS,
    *reduction.FUNCTIONS,
    *along.FUNCTIONS,
    *shaping.FUNCTIONS,
    *products.FUNCTIONS,
    *linalg.FUNCTIONS,
    *signal.FUNCTIONS,
)
MODULES = (elementwise, broadcasting, making, moving, indexing, diagonals, contraction, prods, along, reduction, shaping)


def _elementwise(name: str) -> Callable[..., Node]:
    return lambda *args: ew(name, *args)


def _ruled(name: str) -> Function:
    """A rule as a function. NumPy's and SciPy's take their arguments by position, JAX's activations by name too."""
    lines = elementwise_ops()[name].stanza
    family = lines.lines.get("family", "elementwise")
    how = "either" if family == "activations" else "positional"
    params = tuple(Param(each, REQUIRED, how=how) for each in lines.params)
    return Function(name, params, _elementwise(name), family, lines.lines.get("doc", ""), "; ".join(lines.partials.values()))


@cache
def functions() -> Mapping[str, Function]:
    """Every built-in function by name, the aliases too."""
    return {each.name: each for each in (*map(_ruled, elementwise_ops()), *FUNCTIONS)}


@cache
def operations() -> Mapping[str, Op]:
    """Every primitive by name: what a graph, and so a derivative, is made of."""
    return {**elementwise_ops(), **{op.name: op for module in MODULES for op in module.OPS}}


__all__ = ["functions", "operations", "transpose"]
