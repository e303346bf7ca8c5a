"""Sums of arrays that are zero but for a piece, as a person writes them: the pieces are added where they belong, into one array.

Before: ``_scatter((N,), np.s_[:-1], a) + _scatter((N,), np.s_[1:], b)``. After: zeros, ``dx[:-1] = a`` and ``dx[1:] += b``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from dsl.calculus.identities import rewritten
from dsl.calculus.owned import owns
from dsl.calculus.scalings import upon
from dsl.calculus.sums import SIGNS, Terms, added_up, sums_of_cotangents, terms_of
from dsl.nodes import Apply, Node, Program, Walk, applies, remapped, topological
from dsl.ops.elementwise import ew
from dsl.ops.indexing import FULL, SCATTER, distinct, slice_of, start_of
from dsl.types import Dim


@dataclass(frozen=True)
class Pieces:
    """A sum of pieces, each with its sign, beside a ``base`` that has all entries; the first piece has the sign + where there is no base."""

    base: Node | None
    terms: tuple[tuple[int, Apply], ...]

    @property
    def below(self) -> set[Node]:
        """The base, and what stands in the pieces."""
        return {piece.args[0] for _, piece in self.terms} | ({self.base} if self.base is not None else set())


def sums_of_pieces(nodes: Iterable[Node], alone: Callable[[Node], bool]) -> tuple[dict[Node, Pieces], set[Node]]:
    """The sums among the nodes, and what is no step of its own for being part of one. ``alone`` tells of a value whether it is read once."""
    found: dict[Node, Pieces] = {}
    taken: set[Node] = set()
    nodes = list(nodes)
    if not any(applies(node, "scatter") for node in nodes):
        return found, taken
    for node in reversed(nodes):
        if isinstance(node, Apply) and node.op.name in SIGNS and node not in taken and node.type.shape and node.type.dtype == "float":
            for terms, inner in _readings(node, alone):
                pieces = tuple((sign, each) for sign, each in terms if _is_piece(each, node) and alone(each) and isinstance(each, Apply))
                whole = {each for _, each in pieces}
                made = _made(node, pieces, [(sign, each) for sign, each in terms if each not in whole], alone)
                if made is not None:
                    found[node] = made
                    taken |= inner | whole
                    break
    return found, taken


def _readings(node: Apply, alone: Callable[[Node], bool]) -> Iterator[tuple[Terms, set[Node]]]:
    """The terms of a sum, each with its sign, and the sums within it that they are those of: all its terms, and those of the second beside the first."""
    inner: set[Node] = set()
    yield terms_of(node, alone, inner), inner
    base, other = node.args
    sign, inner = SIGNS[node.op.name][1], {other}
    if isinstance(other, Apply) and other.op.name in SIGNS and alone(other) and other.type.matches(node.type):
        yield [(1, base), *((sign * own, each) for own, each in terms_of(other, alone, inner))], inner
    else:
        yield [(1, base), (sign, other)], set()


def _is_piece(node: Node, whole: Node) -> bool:
    """Whether an array is zero but for entries that are named once each."""
    return isinstance(node, Apply) and node.op is SCATTER and distinct(node.args[1:]) and node.type.matches(whole.type)


def _made(whole: Node, pieces: tuple[tuple[int, Apply], ...], rest: Terms, alone: Callable[[Node], bool]) -> Pieces | None:
    if not rest and len(pieces) > 1 and any(sign > 0 for sign, _ in pieces):
        return Pieces(None, tuple(sorted(pieces, key=lambda piece: piece[0] < 0)))
    if len(rest) != 1 or not pieces:
        return None
    ((sign, base),) = rest
    return Pieces(base, pieces) if sign > 0 and base.type.matches(whole.type) and alone(base) and owns(base) else None


def slices_of(node: Node) -> Pieces | None:
    """The slices that a node is the sum of, beside a ``base``, where all else is zero; None for another node."""
    if terms := _slices(node, node):
        return Pieces(None, terms)
    if applies(node, "add", "subtract"):
        base, other = node.args
        if base.type.matches(node.type) and (terms := _slices(other, node)):
            return Pieces(base, tuple((sign if node.op.name == "add" else -sign, piece) for sign, piece in terms))
    return None


def added_by(walk: Walk) -> list[tuple[Node, Pieces]]:
    """The sums of slices that a block of a walk adds to."""
    return [(node, of) for node in walk.added if (of := slices_of(node)) is not None]


def begun(of: Pieces, dim: Dim) -> Apply | None:
    """The piece whose rows along a dimension are not added to others but are the first to be written, where blocks come one after another: no
    block before has reached those of the one that begins last."""
    starts = [(start, piece) for sign, piece in of.terms if sign > 0 and (start := first_row(piece, dim)) is not None]
    last = max(starts, key=lambda each: each[0], default=None)
    beyond = last is not None and all((start := first_row(piece, dim)) is not None and start <= last[0] for _, piece in of.terms)
    return last[1] if last is not None and beyond and of.base is None else None


def overlap(walk: Walk) -> int | None:
    """How many rows of the next block's a block adds to, where that is a number."""
    found = 0
    for _, of in added_by(walk):
        if len(of.terms) > 1:
            starts = [first_row(piece, walk.dim) for _, piece in of.terms]
            known = [start for start in starts if start is not None]
            if len(known) < len(starts):
                return None
            found = max(found, max(known) - min(known))
    return found


def on_threads(walks: Iterable[Walk]) -> bool:
    """Whether threads may share the blocks of some walk."""
    return any(overlap(walk) is not None for walk in walks)


def first_row(piece: Apply, dim: Dim) -> int | None:
    """The first of the rows that a piece stands in; None where they are not next to each other, or the first is no number."""
    return start_of(slice_of(piece, piece.args[0].type.known.index(dim)))


def corner(node: Node) -> tuple[int, ...]:
    """Where along each axis a slice of an array, or what is put into one, begins, up to the last axis that is cut; none of what is no slice or does
    not begin at numbers."""
    if not (applies(node, "index", "scatter") and len(node.args) == 1):
        return ()
    cut = node.type.known if node.op is SCATTER else node.args[0].type.known
    items = [slice_of(node, axis) for axis in range(len(cut))]
    while items and items[-1] == FULL:
        items.pop()
    starts = [start_of(item) for item in items]
    return tuple(start for start in starts if start is not None) if None not in starts else ()


def _slices(node: Node, whole: Node) -> tuple[tuple[int, Apply], ...]:
    """The pieces, each with its sign, of a sum of arrays that are zero but for a slice, or of such an array; none of another node."""
    terms = terms_of(node, lambda each: True, set()) if isinstance(node, Apply) else []
    found = tuple((sign, each) for sign, each in terms if isinstance(each, Apply) and _is_piece(each, whole) and len(each.args) == 1)
    return found if len(found) == len(terms) else ()


def together(program: Program) -> Program:
    """``y + a + z + b`` of pieces a and b as ``y + z + (a + b)``, and ``a - y`` as ``-y + a``, so that they are put into one array. That is done to
    cotangents."""
    order = topological(program.roots)
    if not any(applies(node, "scatter") for node in order):
        return program

    def mixed(node: Apply, terms: Terms, uses: Mapping[Node, int]) -> Terms | None:
        rest = [(sign, each) for sign, each in terms if not _is_piece(each, node)]
        return terms if 0 < len(rest) < len(terms) and (len(terms) > 2 or rest[0][0] < 0) else None

    sums = sums_of_cotangents(program, order, mixed)
    if not sums:
        return program
    mapped: dict[Node, Node] = {}
    for node in order:
        mapped[node] = upon(node, mapped)
        if node in sums:
            pieces = [(sign, mapped[each]) for sign, each in sums[node] if _is_piece(each, node)]
            rest = [(sign, mapped[each]) for sign, each in sums[node] if not _is_piece(each, node)]
            base = _minus(rest[0][1]) if len(rest) == 1 and rest[0][0] < 0 else added_up(rest)
            mapped[node] = rewritten("add", base, added_up(pieces))
    return remapped(program, mapped)


def _minus(node: Node) -> Node:
    """An array with the other sign: in a product, that of a factor that has fewer entries."""
    if applies(node, "multiply"):
        for at, factor in enumerate(node.args):
            if not factor.type.matches(node.type):
                minus = rewritten("negative", factor)
                return ew("multiply", *((minus, node.args[1]) if at == 0 else (node.args[0], minus)))
    return rewritten("negative", node)


def scalar_of(piece: Apply) -> Node:
    """What stands in a piece, a number alone where it is the same everywhere."""
    g = piece.args[0]
    return g.args[0] if isinstance(g, Apply) and g.op.name == "broadcast_to" and g.args[0].type.shape == () else g


__all__ = ["Pieces", "added_by", "begun", "corner", "first_row", "on_threads", "overlap", "scalar_of", "slices_of", "sums_of_pieces", "together"]
