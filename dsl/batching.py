"""A graph over more leading axes: what a function makes of one element, made of all of them at once.

Axes are counted from the right, so most operations do to an array with leading axes what they do to one without, and the rest say here what
they do. Where one cannot, ``Unbatchable`` tells the caller to write a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from string import ascii_letters
from typing import Any

from dsl.nodes import Apply, Node, apply, topological
from dsl.ops.broadcasting import broadcast_to, reshape
from dsl.ops.contraction import einsum, split_spec
from dsl.ops.elementwise import Elementwise, cast, ew
from dsl.ops.indexing import FULL
from dsl.ops.making import eye
from dsl.rules import RuleOp
from dsl.types import ONE, Dim, Shape


class Unbatchable(Exception):
    """An operation that does not take leading axes."""


def batched(roots: Sequence[Node], given: Mapping[Node, Node], lead: Shape) -> list[Node]:
    """The roots with the leading axes ``lead``, where the nodes of ``given`` are replaced by arrays that have these. Raises Unbatchable."""
    made = dict(given)
    for node in topological(roots):
        if isinstance(node, Apply) and node not in made and not made.keys().isdisjoint(node.args):
            made[node] = _batched(node, made, lead)
    return [made[node] if node in made else broadcast_to(node, lead + node.type.known) for node in roots]


def _batched(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    name = node.op.name
    if any(arg.type.shape is None for arg in node.args):
        raise Unbatchable(name)
    if isinstance(node.op, RuleOp) and node.op.elementwise:
        return apply(node.op, *(_aligned(made[arg], lead, len(node.type.known)) if arg in made else arg for arg in node.args))
    if isinstance(node.op, Elementwise):
        return ew(name, *(_aligned(made[arg], lead, len(node.type.known)) if arg in made else arg for arg in node.args))
    if name in _RULES:
        return _RULES[name](node, made, lead)
    if name not in LEADING or dict(node.attrs).get("axis", 0) is None:
        raise Unbatchable(name)
    return apply(node.op, *(made[arg] if arg in made else broadcast_to(arg, lead + arg.type.known) for arg in node.args), **dict(node.attrs))


# operations that leave leading axes alone, all arguments having them
LEADING = {
    *("sum", "mean", "prod", "prod_others", "max", "min", "any", "all", "argmax", "argmin", "logsumexp", "norm", "var", "std"),
    *("softmax", "log_softmax", "cumsum", "cumprod", "argsort", "sort", "flip", "roll", "repeat", "tril", "triu", "diagonal"),
    *("concatenate", "stack", "take_along_axis", "polygamma", "stop_gradient", "windows", "unwindows"),
    *("inv", "det", "cofactor", "slogdet", "cholesky", "eigh", "reciprocal_gaps", "svd", "qr", "pinv"),
}


def _aligned(x: Node, lead: Shape, rank: int) -> Node:
    """x with axes of size 1 behind the leading ones, so that it broadcasts against what has more axes."""
    own = x.type.known[len(lead) :]
    return x if len(own) == rank else reshape(x, (*lead, *(ONE,) * (rank - len(own)), *own))


def _cast(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    return cast(made[node.args[0]], str(node.attr("dtype")))


def _alias(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    return made[node.args[0]]


def _reshape(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    return reshape(made[node.args[0]], lead + node.type.known)


def _broadcast_to(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    return broadcast_to(_aligned(made[node.args[0]], lead, len(node.type.known)), lead + node.type.known)


def _einsum(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    labels, output = split_spec(str(node.attr("spec")))
    fresh = [label for label in ascii_letters if label not in "".join(labels)][: len(lead)]
    if len(fresh) < len(lead):
        raise Unbatchable("einsum")
    prefix = "".join(fresh)
    terms = [prefix + term if arg in made else term for term, arg in zip(labels, node.args, strict=True)]
    return einsum(f"{','.join(terms)}->{prefix}{output}", *(made.get(arg, arg) for arg in node.args))


def _items(node: Apply, lead: Shape) -> tuple[Any, ...]:
    items = node.attr("items")
    assert isinstance(items, tuple)
    return (*[FULL] * len(lead), *items)


def _index(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    """The index arrays may not vary."""
    x, *arrays = node.args
    if not made.keys().isdisjoint(arrays):
        raise Unbatchable("index")
    return apply(node.op, made[x], *arrays, items=_items(node, lead))


def _scatter(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    g, *arrays = node.args
    if not made.keys().isdisjoint(arrays):
        raise Unbatchable("scatter")
    return apply(node.op, made[g], *arrays, items=_items(node, lead), shape=lead + node.type.known)


def _pad(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    widths = node.attr("widths")
    assert isinstance(widths, tuple)
    return apply(node.op, made[node.args[0]], **{**dict(node.attrs), "widths": (*[(Dim.number(0), Dim.number(0))] * len(lead), *widths)})


def _tile(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    reps = node.attr("reps")
    assert isinstance(reps, tuple)
    x = made[node.args[0]]
    own = len(x.type.known) - len(lead)
    return apply(node.op, _aligned(x, lead, max(own, len(reps))), reps=(*[Dim.number(1)] * (len(lead) + max(own - len(reps), 0)), *reps))


def _diag(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    """A vector spread over the diagonal of a matrix."""
    x = made[node.args[0]]
    if node.attr("k") != 0:
        raise Unbatchable("diag")
    return ew("multiply", reshape(x, (*x.type.known, ONE)), eye(x.type.known[-1]))


def _part(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    return apply(node.op, made[node.args[0]], **{**dict(node.attrs), "shape": lead + node.type.known})


def _solve(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    """A vector on the right is a matrix of one column among several."""
    A, b = node.args
    wide = [made[arg] if arg in made else broadcast_to(arg, lead + arg.type.known) for arg in (A, b)]
    if len(b.type.known) > 1:
        return apply(node.op, *wide, **dict(node.attrs))
    column = reshape(wide[1], (*wide[1].type.known, ONE))
    return reshape(apply(node.op, wide[0], column, **dict(node.attrs)), wide[1].type.known)


_RULES: dict[str, Callable[[Apply, Mapping[Node, Node], Shape], Node]] = {
    "cast": _cast,
    "named": _alias,
    "reshape": _reshape,
    "broadcast_to": _broadcast_to,
    "einsum": _einsum,
    "index": _index,
    "scatter": _scatter,
    "pad": _pad,
    "tile": _tile,
    "diag": _diag,
    "part": _part,
    "solve": _solve,
    "solve_triangular": _solve,
}

__all__ = ["LEADING", "Unbatchable", "batched"]
