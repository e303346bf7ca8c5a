"""Logarithms of sums of exponentials as logarithms of products, for ``value_and_grad``.

Before: ``logsumexp(a[:, None] + A, axis=0)``, an exponential for each pair of entries, in every turn of a loop where it stands in one. After:
``log(exp(a - top) @ exp(A)) + top`` of the largest entry of a, with ``exp(A)`` made once. That is as exact where the entries of A are moderate:
their exponentials so far from the ends of what floats hold that no sum, of which one term is as large as one of these, comes near them.
So this is a graph beside the other, which the generated code takes where it has made sure of that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from dsl.calculus.carried import scaled
from dsl.calculus.identities import rewrite, rewritten
from dsl.calculus.scalings import scale_of, upon
from dsl.calculus.within import within
from dsl.nodes import Apply, Input, Node, Program, Way, applies, apply, remapped, substituted, topological
from dsl.ops.broadcasting import reshape, settings, total
from dsl.ops.core import axes_of
from dsl.ops.exactness import MODERATE
from dsl.ops.loops import Loop
from dsl.ops.making import stop_gradient
from dsl.ops.reduction import reduce as reduction
from dsl.types import ONE, ZERO, product, trimmed

WAY = "logsums"
# so many terms of a sum are looked at
MOST = 16


def logsums(program: Program) -> Program:
    """The program, which says whether there is another graph of it, and keeps what that one is made of."""
    return replace(program, ways=(*program.ways, WAY), undifferentiated=program) if _Search(program).guards else program


def as_products(program: Program) -> Program:
    """The other graph of a program that has one, not differentiated yet, and what must be asked before it is taken."""
    assert program.undifferentiated is not None
    search = _Search(program.undifferentiated)
    carried = scaled(search.program)
    told = ["Logarithms of sums of exponentials are those of products; None where exponentials might leave the range of floats."]
    if carried.roots != search.program.roots:
        told.append("A loop carries numbers that are scaled in every turn, and adds up the logarithms of the scales.")
    said = "Logarithms of sums of exponentials are those of products where these are as exact: see _by_products."
    way = Way("_by_products", said, finite=True, spared=None if search.in_loops else search.spared)
    return replace(carried, guards=tuple(search.guards), hastened=(*told, *carried.hastened), way=way)


class _Search:
    """What is found in a program: its graph with such sums as products, the questions whether they are as exact, how many entries are not formed,
    and whether there are such sums in loops."""

    def __init__(self, program: Program) -> None:
        self.guards: dict[Node, None] = {}
        self.spared = ZERO
        self.in_loops = False
        self.program = self._changed(program, None)

    def _changed(self, program: Program, outside: Mapping[Node, Node] | None) -> Program:
        """A program, or a turn of one; ``outside`` are then the values of what it is given that no turn changes."""
        program = within(program, lambda turn, made: self._changed(turn, _unchanging(made, outside)))
        long = scale_of(program).long
        mapped: dict[Node, Node] = {}
        wishes: dict[Node, str] = {}
        for node in topological(program.roots):
            mapped[node] = new = upon(node, mapped)
            sum_ = _Sum.of(new, outside, long) if isinstance(new, Apply) and new.op.name == "logsumexp" else None
            if sum_ is not None:
                mapped[node], called = sum_.as_product()
                wishes |= called
                self._ask(sum_, outside)
        changed = remapped(program, mapped)
        return replace(changed, wishes={**wishes, **changed.wishes})

    def _ask(self, sum_: _Sum, outside: Mapping[Node, Node] | None) -> None:
        held = sum_.held
        self.guards[apply(MODERATE, held if outside is None else substituted([held], outside)[held])] = None
        self.spared += product(sum_.node.args[0].type.known)
        self.in_loops |= outside is not None


def _unchanging(made: Loop, outside: Mapping[Node, Node] | None) -> dict[Node, Node]:
    """The values, outside of all loops, of what a loop's turns are given that none of them changes."""
    pairs = zip(made.turn.constants, made.constants, strict=True)
    return {inner: node if outside is None else substituted([node], outside)[node] for inner, node in pairs if _is_known(node, outside)}


def _is_known(node: Node, outside: Mapping[Node, Node] | None) -> bool:
    """Whether a value has one outside of all loops."""
    return outside is None or all(each in outside for each in topological([node]) if isinstance(each, Input))


@dataclass(frozen=True)
class _Term:
    """A term of a sum: an array, and the signs and numbers that are applied to it in turn."""

    array: Node
    changes: tuple[tuple[str, *tuple[Node, ...]], ...] = ()

    @property
    def axes(self) -> set[int]:
        """The axes, counted from the right, along which it has several entries."""
        shape = self.array.type.known
        return {i - len(shape) for i, dim in enumerate(shape) if dim != ONE}

    def along(self, axes: Iterable[int]) -> Node:
        """The term with these axes alone, counted from the right: it has no others, and those that it lacks are of size 1."""
        own = self.array.type.known
        shape = tuple(own[axis] if -axis <= len(own) else ONE for axis in axes)
        return reduce(lambda term, change: rewritten(change[0], term, *change[1:]), self.changes, rewrite(reshape(self.array, trimmed(shape))))

    @property
    def made(self) -> Node:
        return self.along(range(-len(self.array.type.known), 0))


@dataclass(frozen=True)
class _Sum:
    """A logsumexp of ``left + right + beside``, of which the first does not have all axes, and the last none that is summed over."""

    node: Apply
    left: tuple[_Term, ...]
    right: tuple[_Term, ...]
    beside: tuple[_Term, ...]

    @classmethod
    def of(cls, node: Apply, outside: Mapping[Node, Node] | None, long: Collection[str]) -> _Sum | None:
        """A logsumexp as such a sum; on the right is what no turn of a loop changes. Outside of loops that does not have all axes either, and rather
        none as long as the data."""
        terms = _terms(node.args[0])
        if terms is None or any(term.array.type.shape is None or (term.made.type.dtype != "float" and not term.made.type.weak) for term in terms):
            return None
        axes = _Term(node.args[0]).axes
        summed = {*axes_of(settings(dict(node.attrs))[0], len(node.args[0].type.known))} & axes
        beside = tuple(term for term in terms if not term.axes & summed)
        known = [term for term in terms if term not in beside and _is_known(term.made, outside)]
        for most in sorted(known, key=lambda term: any(symbol.name in long for dim in term.array.type.known for symbol in dim.symbols())):
            right = tuple(term for term in known if term.axes <= most.axes)
            left = tuple(term for term in terms if term not in beside + right)
            # what is on the right and asked for is not empty, and then there is a largest on the left
            fits = _axes_of(left) < axes and _axes_of(left) & summed <= most.axes
            if left and fits and (outside is not None or most.axes < axes):
                return cls(node, left, right, beside)
        return None

    @property
    def held(self) -> Node:
        """What is asked whether it is moderate."""
        return _added([term.made for term in self.right])

    def as_product(self) -> tuple[Node, dict[Node, str]]:
        """The logarithm of a product, and what is to be called how."""
        rank, (over, keepdims) = len(self.node.args[0].type.known), settings(dict(self.node.attrs))
        summed, axes = axes_of(over, rank), sorted(_axes_of(self.left))
        left = _added([term.along(axes) for term in self.left])
        along = tuple(place - len(axes) for place, axis in enumerate(axes) if axis in summed)
        top = stop_gradient(reduction("max", left, along, keepdims=len(along) < len(axes)))
        weights = rewritten("exp", rewritten("subtract", left, top))
        wide = tuple(left.type.known[axes.index(axis)] if axis in axes else ONE for axis in range(-rank, 0))
        sums = rewrite(total(rewritten("multiply", rewrite(reshape(weights, wide)), rewritten("exp", self.held)), over, keepdims))
        kept = [axis for axis in range(-rank, 0) if keepdims or axis not in summed]
        highest = reshape(top, trimmed(tuple(wide[axis] if axis not in summed else ONE for axis in kept)))
        made = _added([rewritten("log", sums), rewrite(highest), *(term.along(kept) for term in self.beside)])
        return made, {top: "top", weights: "weights", sums: "sums"}


def _terms(node: Node) -> tuple[_Term, ...] | None:
    """What a sum is of, with the numbers that the whole of it is multiplied or divided by; None for very many."""
    terms: list[_Term] = []
    stack = [_Term(node)]
    for _ in range(MOST):
        if not stack:
            return tuple(terms)
        term = stack.pop()
        each = term.array
        if applies(each, "add", "subtract"):
            sign = (("negative",),) if applies(each, "subtract") else ()
            stack += [_Term(each.args[1], (*sign, *term.changes)), _Term(each.args[0], term.changes)]
        elif applies(each, "broadcast_to"):
            stack.append(_Term(each.args[0], term.changes))
        elif applies(each, "negative"):
            stack.append(_Term(each.args[0], (("negative",), *term.changes)))
        elif applies(each, "multiply", "divide") and each.args[1].type.shape == () != each.args[0].type.shape:
            stack.append(_Term(each.args[0], ((each.op.name, each.args[1]), *term.changes)))
        elif applies(each, "multiply") and each.args[0].type.shape == () != each.args[1].type.shape:
            stack.append(_Term(each.args[1], ((each.op.name, each.args[0]), *term.changes)))
        else:
            terms.append(term)
    return None


def _axes_of(terms: Iterable[_Term]) -> set[int]:
    return {axis for term in terms for axis in term.axes}


def _added(terms: Sequence[Node]) -> Node:
    return reduce(lambda x, y: rewritten("add", x, y), terms)


__all__ = ["as_products", "logsums"]
