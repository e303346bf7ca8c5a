"""Which matrices are symmetric for every value of the arguments: declared ones, and what is made of them in ways that read the same transposed.

``A @ P @ A.T + Q`` is symmetric where P and Q are, so is a kernel of the differences between the rows of one array, and so is a carry of a loop
that begins symmetric and that every turn leaves so. A matrix is taken as a sum of products; one is symmetric whose products, written from right
to left with every factor transposed, are the same ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from dsl.nodes import Apply, Const, Node, topological
from dsl.ops.contraction import split_spec
from dsl.ops.elementwise import Elementwise
from dsl.ops.factorisations import PART, place_of
from dsl.ops.linalg_ops import INV, SOLVE
from dsl.ops.loops import LOOP, Loop, as_loop
from dsl.rules import RuleOp
from dsl.types import ONE

# longer sums and products are taken as they are
MOST = 12
Factor = tuple[Node, str, bool]  # a matrix, or a vector as a column, or what "inv" and "diag" make of these; and whether it is transposed


class _Term(NamedTuple):
    """A product of matrices, with its sign and the numbers that it is multiplied and divided by."""

    sign: int
    numbers: tuple[tuple[str, Node], ...]
    factors: tuple[Factor, ...]


class Symmetry:
    """What is ``known`` to be symmetric in a graph where some nodes are ``given`` so; and for the loops in it, the same of their turns."""

    def __init__(self, roots: Iterable[Node], given: Collection[Node]) -> None:
        self.known: set[Node] = set(given)
        self.turns: dict[Node, Symmetry] = {}
        self._crossed: set[Node] = set()  # arrays that change sign when their first two axes are exchanged
        self._even: set[Node] = set()  # and those that stay as they are
        self._terms: dict[Node, tuple[_Term, ...]] = {}
        for node in topological(roots):
            if isinstance(node, Apply) and node.op is LOOP:
                self.turns[node] = self._turn(as_loop(node))
            if isinstance(node, Apply):
                self._look(node)
            self._terms[node] = self._sum(node) if len(node.type.shape or ()) in (1, 2) else ()
            if self._is_symmetric(node):
                self.known.add(node)

    def _turn(self, made: Loop) -> Symmetry:
        """What is symmetric in a loop's turns: of the carries those that begin so and stay so."""
        turn, n, m = made.turn, len(made.turn.carries), len(made.turn.carries) + len(made.turn.elements)
        fixed = {each for each, arg in zip(turn.given[n:], made.node.args[n:], strict=True) if arg in self.known}
        if made.blocks is not None:
            fixed -= set(turn.given[n:m])
        carries = {each for each, arg in zip(turn.carries, made.initial, strict=True) if arg in self.known}
        while True:
            inner = Symmetry(turn.made, fixed | carries)
            stay = {each for each, after in zip(turn.carries, turn.nexts, strict=True) if each in carries and after in inner.known}
            if stay == carries:
                return inner
            carries = stay

    def _is_symmetric(self, node: Node) -> bool:
        shape = node.type.shape
        if not isinstance(node, Apply) or shape is None or len(shape) < 2 or shape[-1] != shape[-2]:
            return False
        if node.op.name in ("eye", "diag"):
            return node.attr("k") == 0
        if node.op.name == "broadcast_to" and node.args[0].type.shape == ():
            return True
        if node in self._even and len(shape) == 2:
            return True
        if _is_elementwise(node) and all(arg.type.shape == () or (arg in self.known and arg.type.shape == shape) for arg in node.args):
            return True
        if node.op is PART:
            return self._is_carry(node)
        terms = self._terms[node]
        return bool(terms) and Counter(terms) == Counter(map(self._transposed, terms))

    def _is_carry(self, node: Apply) -> bool:
        """Whether a part of a loop's result is the last of a carry, or all of its values, that is symmetric in every turn."""
        (whole,), place = node.args, place_of(node)
        if whole not in self.turns or not isinstance(whole, Apply):
            return False
        carries = as_loop(whole).turn.carries
        return place < 2 * len(carries) and carries[place % len(carries)] in self.turns[whole].known

    # sums of products ------------------------------------------------------------------------------------------------

    def _factor(self, node: Node, kind: str = "", transposed: bool = False) -> Factor:
        return node, kind, transposed and kind != "diag" and node not in self.known

    def _transposed(self, term: _Term) -> _Term:
        return term._replace(factors=tuple(self._factor(node, kind, not flag) for node, kind, flag in reversed(term.factors)))

    def _product(self, node: Node) -> _Term:
        """A node as one product: it alone, if it is a sum."""
        terms = self._terms[node]
        return terms[0] if len(terms) == 1 else _Term(1, (), (self._factor(node),))

    def _sum(self, node: Node) -> tuple[_Term, ...]:
        alone = (_Term(1, (), (self._factor(node),)),)
        if not isinstance(node, Apply) or node in self.known:
            return alone
        name, args = node.op.name, node.args
        if node.op.alias:
            found = self._terms[args[0]]
        elif name in ("add", "subtract") and all(arg.type.shape == node.type.shape for arg in args):
            second = [each._replace(sign=-each.sign) if name == "subtract" else each for each in self._terms[args[1]]]
            found = (*self._terms[args[0]], *second)
        elif name == "negative":
            found = tuple(each._replace(sign=-each.sign) for each in self._terms[args[0]])
        elif name in ("multiply", "divide") and (args[1].type.shape == () or (name == "multiply" and args[0].type.shape == ())):
            number, other = (args[1], args[0]) if args[1].type.shape == () else (args[0], args[1])
            found = tuple(each._replace(numbers=(*each.numbers, (name, number))) for each in self._terms[other]) if other.type.shape else alone
        elif name == "multiply" and (scaled := self._scaled(args[0], args[1]) or self._scaled(args[1], args[0])):
            found = (self._multiplied(scaled),)
        elif node.op is INV:
            found = (_Term(1, (), (self._factor(args[0], "inv"),)),)
        elif node.op is SOLVE and len(args[0].type.known) == 2:
            found = (self._multiplied([_Term(1, (), (self._factor(args[0], "inv"),)), self._product(args[1])]),)
        elif name == "einsum":
            found = self._contracted(node) or alone
        else:
            return alone
        return found if len(found) <= MOST and all(len(each.factors) <= MOST for each in found) else alone

    def _multiplied(self, terms: Iterable[_Term]) -> _Term:
        total = _Term(1, (), ())
        for each in terms:
            total = _Term(total.sign * each.sign, total.numbers + each.numbers, total.factors + each.factors)
        return total

    def _scaled(self, matrix: Node, vector: Node) -> list[_Term]:
        """The factors of a matrix whose rows or columns are each multiplied by an entry of a vector."""
        shape = matrix.type.shape or ()
        if len(shape) != 2:
            return []
        if vector.type.shape == shape[1:]:
            return [self._product(matrix), _Term(1, (), (self._factor(vector, "diag"),))]
        if vector.type.shape == (shape[0], ONE) and isinstance(vector, Apply) and vector.op.name == "reshape" and vector.args[0].type.shape == shape[:1]:
            return [_Term(1, (), (self._factor(vector.args[0], "diag"),)), self._product(matrix)]
        return []

    def _contracted(self, node: Apply) -> tuple[_Term, ...]:
        """A transpose, an outer product, or a product of matrices in the order in which its labels lead from one axis to the other."""
        labels, output = split_spec(str(node.attr("spec")))
        if len(output) != 2 or output[0] == output[1]:
            return ()
        if len(labels) == 1:
            return tuple(map(self._transposed, self._terms[node.args[0]])) if labels[0] == output[::-1] else ()
        if sorted(labels) == sorted(output):
            parts = dict(zip(labels, map(self._product, node.args), strict=True))
            return (self._multiplied([parts[output[0]], self._transposed(parts[output[1]])]),)
        left, at, found = list(zip(labels, node.args, strict=True)), output[0], []
        while left:
            if (along := next((each for each in left if each[0] == at), None)) is not None:
                left.remove(along)
                found.append(_Term(1, (), (self._factor(along[1], "diag"),)))
                continue
            step = next((each for each in left if at in each[0] and len(set(each[0])) == len(each[0]) == 2), None)
            if step is None:
                return ()
            left.remove(step)
            term = self._product(step[1])
            found.append(term if step[0][0] == at else self._transposed(term))
            at = step[0].replace(at, "")
        counts = Counter("".join(each for each in labels if len(each) > 1))
        return (self._multiplied(found),) if at == output[1] and all(counts[each] == (1 if each in output else 2) for each in counts) else ()

    # differences between the rows of one array -----------------------------------------------------------------------

    def _look(self, node: Apply) -> None:
        """Whether an array is, up to its sign, the same with its first two axes exchanged."""
        name, args = node.op.name, node.args
        if len(node.type.shape or ()) < 2:
            return
        if name in ("add", "subtract", "multiply") and _crossing(*args):
            (self._crossed if name == "subtract" else self._even).add(node)
        elif _is_elementwise(node) and all(arg.type.shape == () or (arg in self._even and arg.type.shape == node.type.shape) for arg in args):
            self._even.add(node)
        elif args and args[0] in self._crossed:
            power = args[1] if name == "power" else None
            if name in ("square", "abs") or (isinstance(power, Const) and power.value % 2 == 0) or (name == "multiply" and args[1] is args[0]):
                self._even.add(node)
            elif name in ("multiply", "divide") and args[1].type.shape == ():
                self._crossed.add(node)
            elif name == "einsum" and args == (args[0],) * 2:
                labels, output = split_spec(str(node.attr("spec")))
                if labels[0] == labels[1] and output[:2] == labels[0][:2]:
                    self._even.add(node)
        elif name in ("sum", "norm", "mean") and args[0] in self._even and not node.attr("keepdims"):
            axes, rank = node.attr("axes"), len(args[0].type.known)
            if isinstance(axes, tuple) and all(axis >= 2 - rank for axis in axes):
                self._even.add(node)


def _is_elementwise(node: Apply) -> bool:
    """Whether an entry is made of the entries at its place alone."""
    if isinstance(node.op, Elementwise):
        return True
    return node.op.name == "stop_gradient" or (isinstance(node.op, RuleOp) and bool(node.op.elementwise))


def _crossing(x: Node, y: Node) -> bool:
    """Whether two arrays are one, once along the first axis of what they broadcast to, and once along the second."""
    for one, other in ((x, y), (y, x)):
        inner = one.args[0] if isinstance(one, Apply) and one.op.name == "reshape" else None
        if inner is None or inner.type.shape is None or one.type.shape != (*inner.type.shape[:1], ONE, *inner.type.shape[1:]):
            continue
        flat = other.args[0] if isinstance(other, Apply) and other.op.name == "reshape" and other.type.shape == (ONE, *inner.type.shape) else other
        if flat is inner:
            return True
    return False


__all__ = ["Symmetry"]
