"""One exponential for two: a softmax beside its logarithm or the logsumexp, and a sigmoid beside its own.

Before: ``log_softmax(x)`` and ``exp(log_softmax(x))``, ``logsumexp(x)`` and ``exp(x - logsumexp(x))``, ``softplus(x)`` and ``sigmoid(x)``,
``logaddexp(x, y)``, ``sigmoid(x - y)`` and ``sigmoid(y - x)``. After: the parts of one operation.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from functools import reduce

from dsl.calculus.chains import Scale
from dsl.calculus.identities import rewritten
from dsl.calculus.scalings import readers_of, upon
from dsl.nodes import Apply, Node, Program, applies, apply, remapped, topological
from dsl.ops.along import (
    LOG_SOFTMAX,
    LOGADDEXP_AND_SHARES,
    SOFTMAX,
    SOFTMAX_AND_LOG,
    SOFTMAX_AND_LOGSUMEXP,
    SOFTMAX_AND_PICKED,
    SOFTPLUS_AND_SIGMOID,
)
from dsl.ops.core import axes_of
from dsl.ops.factorisations import PART, part, parts_of
from dsl.ops.indexing import place_in_rows
from dsl.ops.shaping import reshape
from dsl.types import ONE, Shape

# where one exponential serves two: the operation that gives both, and of which reductions or logarithms
_SHARED = {"log_softmax": SOFTMAX_AND_LOG, "logsumexp": SOFTMAX_AND_LOGSUMEXP}
_LOGISTIC = ("softplus", "log_sigmoid", "sigmoid")


class Joint:
    """What of a graph is taken together with something else."""

    def __init__(self, order: Sequence[Node], scale: Scale) -> None:
        self.softmax, self.logistic, self.added = _shared(order, scale), _logistic(order), _added(order)

    def part_of(self, node: Apply, mapped: Mapping[Node, Node]) -> Node | None:
        """A node as a part of what it is taken together with, upon what its arguments have become."""
        return _in_shared(node, self.softmax, mapped) or _in_added(node, self.added, mapped) or _in_logistic(node, self.logistic, mapped)


def picked(program: Program) -> Program:
    """A logarithm of a softmax of which each row is read in one place, as a cross-entropy does: only there is it taken."""
    order, readers = topological(program.roots), readers_of(program)
    found = {node: of for node in order if (of := _picked_from(node)) is not None and len(readers[node.args[0]]) == 1}
    places = {both: where for both, where in found.values() if both not in topological([where])}
    mapped: dict[Node, Node] = {}
    for node in topological([*places.values(), *program.roots]):
        mapped[node] = upon(node, mapped)
        both = node.args[0] if isinstance(node, Apply) and node.op is PART and node.attr("index") == 0 else found[node][0] if node in found else None
        if isinstance(both, Apply) and both in places:
            made = apply(SOFTMAX_AND_PICKED, mapped[both.args[0]], mapped[places[both]], axis=both.attr("axis"))
            mapped[node] = part(made, int(node.args[0] is not both), node.type.known)
    return remapped(program, mapped)


def undivided(program: Program) -> Program:
    """A softmax beside something that nothing reads is a softmax."""
    order = topological(program.roots)
    parts = parts_of(order)
    mapped: dict[Node, Node] = {}
    for node in order:
        mapped[node] = upon(node, mapped)
        whole = node.args[0] if isinstance(node, Apply) and node.op is PART else None
        if isinstance(whole, Apply) and whole.op in _SHARED.values() and list(parts[whole]) == [0]:
            mapped[node] = apply(SOFTMAX, mapped[whole.args[0]], axis=whole.attr("axis"))
    return remapped(program, mapped)


def _picked_from(node: Node) -> tuple[Apply, Node] | None:
    """The softmax beside the logarithm of which a node takes one entry of each row, and where."""
    log = node.args[0] if applies(node, "index") else None
    both = log.args[0] if isinstance(log, Apply) and log.op is PART and log.attr("index") == 1 else None
    if not (isinstance(both, Apply) and both.op is SOFTMAX_AND_LOG):
        return None
    placed = place_in_rows(node)
    return (both, placed[0]) if placed is not None and both.attr("axis") == placed[1] else None


# a softmax -------------------------------------------------------------------------------------------------------------


def _shared(order: Iterable[Node], scale: Scale) -> dict[Node, Apply]:
    """What is a softmax, or stands beside one of the same array, as the logarithm or the logsumexp that it is taken together with. A logsumexp of a
    whole batch is left alone: it is gathered from blocks."""
    ranked = [node for node in order if isinstance(node, Apply) and all(arg.type.shape is not None for arg in node.args)]
    known = {_key(node): node for node in ranked if node.op.name in _SHARED and not _gathers(node, scale)}
    found: dict[Node, Apply] = {}
    for node in ranked:
        beside = _beside(node) or (known.get(_key(node)) if node.op is SOFTMAX else None)
        if beside is not None and not _gathers(beside, scale):
            found[node] = found[beside] = beside
    return found


def _gathers(node: Apply, scale: Scale) -> bool:
    """Whether a logsumexp goes over all entries, or over rows of data, which no other axis counts."""
    x, axes = _key(node)
    dims = x.type.known
    long = (dims[axis] for axis in axes if any(symbol.name in scale.long for symbol in dims[axis].symbols()))
    return node.op.name == "logsumexp" and (len(axes) == len(dims) or any(dims.count(dim) == 1 for dim in long))


def _key(node: Apply) -> tuple[Node, tuple[int, ...]]:
    """An array, and the axes that an operation works along."""
    axes = node.attr("axes" if node.op.name == "logsumexp" else "axis")
    return node.args[0], axes_of(axes, len(node.args[0].type.known))


def _beside(node: Node) -> Apply | None:
    """What an exponential is the softmax beside: ``x`` of ``exp(x)``, or ``s`` of ``exp(x - s)``."""
    x = node.args[0] if isinstance(node, Apply) and node.op.name == "exp" else None
    if isinstance(x, Apply) and x.op is LOG_SOFTMAX:
        return x
    if not (isinstance(x, Apply) and x.op.name == "subtract" and x.type.shape is not None):
        return None
    s = x.args[1]
    while isinstance(s, Apply) and s.op.name in ("reshape", "floored"):
        s = s.args[0]
    if not (isinstance(s, Apply) and s.op.name == "logsumexp" and s.args[0] is x.args[0]):
        return None
    return s if x.args[1].type.shape in (_kept(s), ()) else None


def _kept(node: Apply) -> Shape:
    """The shape of a reduction that keeps the axes it goes along."""
    x, axes = _key(node)
    return tuple(ONE if i - len(x.type.known) in axes else dim for i, dim in enumerate(x.type.known))


def _in_shared(node: Apply, shared: Mapping[Node, Apply], mapped: Mapping[Node, Node]) -> Node | None:
    """A softmax, or what stands beside one, as a part of both."""
    beside = shared.get(node)
    if beside is None:
        return None
    x, axes = _key(beside)
    both = apply(_SHARED[beside.op.name], mapped[x], axis=axes[0] if len(axes) == 1 else axes)
    made = part(both, 1, _kept(beside)) if node.op.name == "logsumexp" else part(both, int(node is beside), node.type.known)
    return reshape(made, node.type.known)


# the logistic function -------------------------------------------------------------------------------------------------


def _logistic(order: Iterable[Node]) -> set[Node]:
    """What both the softplus and the sigmoid are of, where log(sigmoid(x)) is -softplus(-x)."""
    taken: dict[str, set[Node]] = {"softplus": set(), "sigmoid": set()}
    for node in order:
        if isinstance(node, Apply) and node.op.name in _LOGISTIC and node.args[0].type.shape is not None:
            taken["sigmoid" if node.op.name == "sigmoid" else "softplus"].add(_within(node))
    return taken["softplus"] & taken["sigmoid"]


def _within(node: Apply) -> Node:
    return rewritten("negative", node.args[0]) if node.op.name == "log_sigmoid" else node.args[0]


def _in_logistic(node: Apply, both: Container[Node], mapped: Mapping[Node, Node]) -> Node | None:
    """A softplus or a sigmoid as a part of both."""
    if node.op.name not in _LOGISTIC or (x := _within(node)) not in both:
        return None
    x = mapped.get(x) or rewritten("negative", mapped[node.args[0]])
    made = part(apply(SOFTPLUS_AND_SIGMOID, x), int(node.op.name == "sigmoid"), node.type.known)
    return rewritten("negative", made) if node.op.name == "log_sigmoid" else made


def _added(order: Sequence[Node]) -> dict[Node, tuple[Apply, int]]:
    """The logarithms of two exponentials' sum, and the sigmoids that say how much of it each of the two is: with which logarithm, and as which part of it."""
    logs = {node: node.args for node in order if isinstance(node, Apply) and node.op.name == "logaddexp" and node.type.shape is not None}
    shares = {_share(*args[::turn]): (log, at) for log, args in logs.items() for turn, at in ((1, 1), (-1, 2))}
    found = {node: shares[node] for node in order if node in shares}
    return {**found, **{log: (log, 0) for log, _ in found.values()}}


def _share(x: Node, y: Node) -> Node:
    """How much of the sum of two exponentials that of x is, as the derivative of its logarithm says it."""
    return rewritten("sigmoid", rewritten("subtract", x, rewritten("floored", y)))


def _in_added(node: Apply, added: Mapping[Node, tuple[Apply, int]], mapped: Mapping[Node, Node]) -> Node | None:
    """Such a logarithm or share as a part of all three."""
    if node not in added:
        return None
    log, at = added[node]
    return part(apply(LOGADDEXP_AND_SHARES, *(mapped[arg] for arg in log.args)), at, node.type.known)


def logistic(program: Program) -> Program:
    """``relu(x) + log1p(exp(-abs(x)))``, which a cross-entropy has once its ``x * y`` is a product of its own, as the softplus that it is, and with
    ``x * y`` taken away in between as what is left of that."""
    order = topological(program.roots)
    spelled = {node: found for node in order if (found := _softplus_of(node)) is not None}
    if not spelled:
        return program
    named = {node: rewritten("softplus", x) for node, (x, _) in spelled.items()}
    both = _logistic([*order, *named.values()])
    mapped: dict[Node, Node] = {}
    for node in order:
        each = named.get(node, node)
        made = _in_logistic(each, both, mapped) if isinstance(each, Apply) else None
        mapped[node] = made or upon(each, mapped)
        if node in spelled and (less := spelled[node][1]) is not None:
            mapped[node] = rewritten("subtract", mapped[node], mapped[less])
    return remapped(program, mapped)


def _softplus_of(node: Node) -> tuple[Node, Node | None] | None:
    """What a node is the softplus of, spelled out, and what is taken away from that."""
    for relu, log in (node.args, node.args[::-1]) if applies(node, "add") else ():
        less = relu.args[1] if applies(relu, "subtract") else None
        relu = relu.args[0] if less is not None else relu
        x = relu.args[0] if applies(relu, "relu") and relu.type.shape is not None and relu.type.matches(node.type) else None
        if x is not None and log is reduce(lambda arg, name: rewritten(name, arg), ("abs", "negative", "exp", "log1p"), x):
            return x, less
    return None


__all__ = ["Joint", "logistic", "picked", "undivided"]
