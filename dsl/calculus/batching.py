"""A graph over more leading axes: what a function makes of one element, made of all of them at once.

Axes are counted from the right, so most operations do to an array with leading axes what they do to one without, and the rest say here what
they do. Where one cannot, ``Unbatchable`` tells the caller to write a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from string import ascii_letters
from typing import Any

from dsl.calculus.identities import rewrite
from dsl.nodes import Apply, Input, Node, apply, argument, topological
from dsl.ops.broadcasting import broadcast_to, reshape
from dsl.ops.contraction import einsum, permute, split_spec
from dsl.ops.core import typed
from dsl.ops.elementwise import Elementwise, cast, ew
from dsl.ops.factorisations import place_of
from dsl.ops.indexing import FULL, index, narrow, scatter
from dsl.ops.loops import LOOP, Loop, Turn, as_loop
from dsl.ops.making import arange
from dsl.ops.signal_ops import full, valid
from dsl.rules import RuleOp
from dsl.types import ONE, ZERO, Shape, as_dim, product


class Unbatchable(Exception):
    """An operation that does not take leading axes."""


def batched(roots: Sequence[Node], given: Mapping[Node, Node], lead: Shape, repeat: bool = True) -> list[Node]:
    """The roots with the leading axes ``lead``, where the nodes of ``given`` are replaced by arrays that have these; what does not vary is
    repeated, or left as it is. Raises Unbatchable."""
    made = dict(given)
    for node in topological(roots):
        if isinstance(node, Apply) and node not in made and not made.keys().isdisjoint(node.args):
            made[node] = batched_node(node, made, lead)
    return [made[node] if node in made else node if not repeat else broadcast_to(node, lead + node.type.known) for node in roots]


def batched_node(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    """One operation with the leading axes, where those of its arguments that vary are ``made``. Raises Unbatchable."""
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
    *("softmax", "log_softmax", "cumsum", "cumprod", "argsort", "sort", "flip", "repeat", "tril", "triu", "diagonal"),
    *("concatenate", "stack", "take_along_axis", "polygamma", "stop_gradient", "windows", "unwindows"),
    *("inv", "inv_upper", "det", "cofactor", "nonzero", "slogdet", "cholesky", "eigh", "reciprocal_gaps", "svd", "qr", "pinv"),
}


def _aligned(x: Node, lead: Shape, rank: int) -> Node:
    """x with axes of size 1 behind the leading ones, so that it broadcasts against what has more axes."""
    own = x.type.known[len(lead) :]
    return x if len(own) == rank else reshape(x, (*lead, *(ONE,) * (rank - len(own)), *own))


def _cast(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    return cast(made[node.args[0]], str(node.attr("dtype")))


def _alias(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    x = node.args[0]
    return made[x] if x in made else broadcast_to(x, lead + x.type.known)


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
    x, *arrays = node.args
    if made.keys().isdisjoint(arrays):
        return apply(node.op, made[x], *arrays, items=_items(node, lead))
    items, wide = _gathers(node, arrays, made, lead, x in made)
    return apply(node.op, made.get(x, x), *wide, items=items)


def _scatter(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    g, *arrays = node.args
    items, wide = (_items(node, lead), arrays) if made.keys().isdisjoint(arrays) else _gathers(node, arrays, made, lead, True)
    every = made[g] if g in made else broadcast_to(g, lead + g.type.known)
    return apply(node.op, every, *wide, items=items, shape=lead + node.type.known)


def _gathers(node: Apply, arrays: Sequence[Node], made: Mapping[Node, Node], lead: Shape, rows: bool) -> tuple[tuple[Any, ...], list[Node]]:
    """The items of an index by arrays that vary, and its arrays: where what is indexed has ``rows`` of its own, each takes from its own."""
    items = _items(node, ())
    if any(item[0] != "array" for item in items[: len(arrays)]) or any(item[0] == "int" for item in items):
        raise Unbatchable(node.op.name)
    rank, count = max(len(each.type.known) for each in arrays), len(lead)
    wide = [_aligned(made[each], lead, rank) if each in made else each for each in arrays]
    if not rows:
        return items, wide
    counts = [reshape(arange(dim), (*(ONE,) * i, dim, *(ONE,) * (count - 1 - i + rank))) for i, dim in enumerate(lead)]
    shifted = (("array", item[1] + count) if item[0] == "array" else item for item in items)
    return (*(("array", i) for i in range(count)), *shifted), [*counts, *wide]


def _pad(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    widths = node.attr("widths")
    assert isinstance(widths, tuple)
    return apply(node.op, made[node.args[0]], **{**dict(node.attrs), "widths": (*[(ZERO, ZERO)] * len(lead), *widths)})


def _tile(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    reps = node.attr("reps")
    assert isinstance(reps, tuple)
    x = made[node.args[0]]
    own = len(x.type.known) - len(lead)
    return apply(node.op, _aligned(x, lead, max(own, len(reps))), reps=(*[ONE] * (len(lead) + max(own - len(reps), 0)), *reps))


def _roll(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    """Without an axis it moves what is laid out flat."""
    x = made[node.args[0]]
    if node.attr("axis") is not None:
        return apply(node.op, x, **dict(node.attrs))
    flat = reshape(x, (*lead, product(node.type.known)))
    return reshape(apply(node.op, flat, shift=node.attr("shift"), axis=(-1,)), lead + node.type.known)


def _diag(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    """A vector spread over a diagonal of a matrix."""
    x, k = made[node.args[0]], int(str(node.attr("k")))
    size = node.args[0].type.known[0]
    rows, columns = arange(size + max(-k, 0), start=as_dim(max(-k, 0))), arange(size + max(k, 0), start=as_dim(max(k, 0)))
    return scatter(x, (*[FULL] * len(lead), ("array", 0), ("array", 1)), (rows, columns), lead + node.type.known)


def _set(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    """What is written must have the leading axes, and all axes of its place, or none."""
    x, value, *arrays = node.args
    items, arrays = (_items(node, lead), arrays) if made.keys().isdisjoint(arrays) else _gathers(node, arrays, made, lead, True)
    wide = made[x] if x in made else broadcast_to(x, lead + x.type.known)
    if value in made:
        place = index(wide, items, arrays).type.known
        value = _aligned(made[value], lead, len(place) - len(lead))
    return apply(node.op, wide, value, *arrays, items=items)


def _convolve(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    a, v = (made.get(arg, arg) for arg in node.args)
    (n,), (m,) = (arg.type.known for arg in node.args)
    if node.attr("mode") == "valid":
        return valid(a, v)
    if node.attr("mode") == "full":
        return full(a, v)
    late = (m - 1) // 2
    return narrow(full(a, v), -1, late, late + n)


def _loop(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    """A loop of which the carries, the elements and the constants that vary have the leading axes in every turn."""
    old = as_loop(node)
    turn = old.turn
    varying = {given for given, arg in zip(turn.given, node.args, strict=True) if arg in made}
    while True:
        reached = _reached(turn.nexts, varying)
        more = {carry for carry, after in zip(turn.carries, turn.nexts, strict=True) if after in reached} - varying
        if not more:
            break
        varying |= more
    given = {each: _wide(old, each, lead) for each in turn.given if each in varying}
    rank = len(lead)
    within: dict[Node, Node] = {each: _led(wide, rank) if old.by_block(each) else wide for each, wide in given.items()}
    mapped = dict(zip(turn.made, batched(turn.made, within, lead, repeat=False), strict=True))
    carries, elements, constants = (tuple(given.get(each, each) for each in part) for part in turn.inputs)
    # a carry that varies in the first turn alone has the leading axes in all
    nexts = tuple(broadcast_to(mapped[after], carry.type.known) for carry, after in zip(carries, turn.nexts, strict=True))
    outs = tuple(_stacked(mapped[each], rank) if old.by_block(each) and mapped[each] is not each else mapped[each] for each in turn.outs)
    new = Turn(carries, elements, constants, nexts, outs, turn.notes.mapped(mapped, (*nexts, *outs)))
    args = [_given(made, arg, each, each in varying, each in turn.elements, lead) for each, arg in zip(turn.given, node.args, strict=True)]
    first, last = len(carries), len(carries) + len(elements)
    return old.again(new, args[:first], args[first:last], args[last:]).node


def _wide(old: Loop, given: Input, lead: Shape) -> Input:
    """What varies of what a turn is given: an array with the leading axes, behind the rows of a block."""
    shape = given.type.known
    return argument(given.name, given.role, typed(given.type, shape[:1] + lead + shape[1:] if old.by_block(given) else lead + shape))


def _stacked(x: Node, rank: int) -> Node:
    """An array with the axis behind so many leading ones in front of them."""
    return permute(x, [rank, *range(rank), *range(rank + 1, len(x.type.known))])


def _led(x: Node, rank: int) -> Node:
    """An array with its first axis behind so many leading ones."""
    return permute(x, [*range(1, rank + 1), 0, *range(rank + 1, len(x.type.known))])


def _given(made: Mapping[Node, Node], arg: Node, given: Node, varies: bool, element: bool, lead: Shape) -> Node:
    """What a loop is given, with the leading axes where its turns need them; those of a sequence stand behind its own first."""
    if not varies:
        return arg
    if element:
        return _stacked(made[arg], len(lead))
    return made[arg] if arg in made else broadcast_to(arg, lead + given.type.known)


def _reached(roots: Sequence[Node], varying: Container[Node]) -> set[Node]:
    """The nodes that what varies acts on."""
    reached: set[Node] = set()
    for node in topological(roots):
        if node in varying or not reached.isdisjoint(node.args):
            reached.add(node)
    return reached


def _part(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    """One result of several. What a loop's turns leave is stacked in front of the leading axes, and moved behind them."""
    whole = made[node.args[0]]
    if not (isinstance(whole, Apply) and whole.op is LOOP):
        return apply(node.op, whole, **{**dict(node.attrs), "shape": lead + node.type.known})
    turn, n, place = as_loop(whole).turn, len(as_loop(whole).turn.carries), place_of(node)
    inner = turn.carries[place % n] if place < 2 * n else turn.outs[place - 2 * n]
    own, stacked = node.type.known, place >= n
    if len(inner.type.known) == len(own) - (stacked and not as_loop(whole).by_block(inner)):
        return broadcast_to(apply(node.op, whole, **dict(node.attrs)), lead + own)
    taken = apply(node.op, whole, **{**dict(node.attrs), "shape": (*own[:stacked], *lead, *own[stacked:])})
    return _led(taken, len(lead)) if stacked else taken


def _solve(node: Apply, made: Mapping[Node, Node], lead: Shape) -> Node:
    """One matrix is factorised once, and all that varies on the right stands in its columns; else a vector is a matrix of one column."""
    A, b = node.args
    if A not in made and len(A.type.known) == 2 and len(b.type.known) <= 2:
        x = made[b]
        rank = len(x.type.known)
        turned = permute(x, [len(lead), *range(len(lead)), *range(len(lead) + 1, rank)])
        flat = reshape(turned, (turned.type.known[0], product(turned.type.known[1:])))
        solved = reshape(rewrite(apply(node.op, A, rewrite(flat), **dict(node.attrs))), turned.type.known)
        return permute(solved, [*range(1, len(lead) + 1), 0, *range(len(lead) + 1, rank)])
    wide = [made[arg] if arg in made else broadcast_to(arg, lead + arg.type.known) for arg in (A, b)]
    if len(b.type.known) > 1:
        return apply(node.op, *wide, **dict(node.attrs))
    column = reshape(wide[1], (*wide[1].type.known, ONE))
    return reshape(apply(node.op, wide[0], column, **dict(node.attrs)), wide[1].type.known)


_RULES: dict[str, Callable[[Apply, Mapping[Node, Node], Shape], Node]] = {
    "cast": _cast,
    "named": _alias,
    "jacobian": _alias,
    "reshape": _reshape,
    "broadcast_to": _broadcast_to,
    "einsum": _einsum,
    "index": _index,
    "scatter": _scatter,
    "set": _set,
    "convolve": _convolve,
    "loop": _loop,
    "pad": _pad,
    "tile": _tile,
    "roll": _roll,
    "diag": _diag,
    "part": _part,
    "solve": _solve,
    "solve_triangular": _solve,
}

__all__ = ["LEADING", "Unbatchable", "batched", "batched_node"]
