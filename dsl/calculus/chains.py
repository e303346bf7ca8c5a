"""Several products as one: its factors, each with labelled axes, what it costs in the program's dimensions, and the cheapest order.

``A @ B @ x`` is one product of three factors, ``ij,jk,k->i``, and is computed in pairs. A sum, a scaling of rows and an axis of size 1 are
part of it. No order is less accurate than what is written: the rounding errors of ``A @ B @ x`` are small beside ``|A| @ |B| @ |x|`` either
way. But where two sums are multiplied, as in ``(Q @ z) @ (Q @ z)``, only one of them is taken apart: ``z @ (Q.T @ Q) @ z`` may cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from itertools import count
from operator import or_
from string import ascii_letters
from weakref import WeakKeyDictionary

from dsl.calculus.factors import is_factor
from dsl.calculus.identities import rewrite, rewritten
from dsl.nodes import Apply, Node, const
from dsl.ops.broadcasting import total
from dsl.ops.contraction import einsum, split_spec
from dsl.ops.core import axes_of, is_number
from dsl.ops.making import eye
from dsl.ops.shaping import reshape
from dsl.types import ONE, ZERO, Dim, Shape, Symbol, product

Labels = tuple[int, ...]
Tree = int | tuple["Tree", "Tree"]
MOST = 6
COMMON = 100.0
ROW_BY_ROW = 1.001


@dataclass(frozen=True)
class Factor:
    """An array of a product. Axes of size 1 have no label."""

    labels: Labels
    node: Node


@dataclass(frozen=True)
class Product:
    """A contraction of any number of factors; ``output`` labels the axes of its result that are not of size 1."""

    factors: tuple[Factor, ...]
    output: Labels
    sizes: Mapping[int, Dim]


@dataclass(frozen=True)
class Step:
    """Labels before and after one step of a product: a factor summed, or two multiplied."""

    before: tuple[Labels, ...]
    after: Labels

    def cost(self, sizes: Mapping[int, Dim]) -> Dim:
        """Multiplications and additions; all of two arrays' products are added pairwise, which takes a pass of its own."""
        every = dict.fromkeys(label for labels in self.before for label in labels)
        work = product(tuple(sizes[label] for label in every))
        return work * 2 if len(self.before) > 1 and every and not self.after else work


# the graph's products ------------------------------------------------------------------------------------------------

# a pass asks for the same node's several times
_PRODUCTS: WeakKeyDictionary[Node, Product | None] = WeakKeyDictionary()


def as_product(node: Node) -> Product | None:
    """What a node multiplies and sums, if that is all it does."""
    if node not in _PRODUCTS:
        _PRODUCTS[node] = _read(node)
    return _PRODUCTS[node]


def _read(node: Node) -> Product | None:
    reader = _READERS.get(node.op.name) if isinstance(node, Apply) and node.type.dtype == "float" else None
    if reader is None or not isinstance(node, Apply) or any(each.type.shape is None for each in (node, *node.args)):
        return None
    return reader(node)


def _labelled(terms: Sequence[Sequence[int]], args: Sequence[Node], output: Sequence[int], shape: Shape) -> Product | None:
    """A product from the labels of every axis, those of size 1 taken out."""
    sizes: dict[int, Dim] = {}
    factors: list[Factor] = []
    for term, arg in zip(terms, args, strict=True):
        labels = [(label, dim) for label, dim in zip(term, arg.type.known, strict=True) if dim != ONE]
        if any(sizes.setdefault(label, dim) != dim for label, dim in labels):
            return None
        factors.append(Factor(tuple(label for label, _ in labels), arg))
    kept = tuple(label for label, dim in zip(output, shape, strict=True) if dim != ONE)
    return Product(tuple(factors), kept, sizes) if all(label in sizes for label in kept) else None


def _einsum(node: Apply) -> Product | None:
    inputs, output = split_spec(str(node.attr("spec")))
    return _labelled([[ord(label) for label in term] for term in inputs], node.args, [ord(label) for label in output], node.type.known)


def _sum(node: Apply) -> Product | None:
    rank = len(node.args[0].type.known)
    summed = axes_of(node.attr("axes"), rank)
    kept = [axis for axis in range(-rank, 0) if axis not in summed]
    output = [axis if axis in kept else 0 for axis in range(-rank, 0)] if node.attr("keepdims") else kept
    return _labelled([range(-rank, 0)], node.args, output, node.type.known)


def _multiply(node: Apply) -> Product | None:
    shape = node.type.known
    if any(arg.type.dtype != "float" and not is_factor(arg) for arg in node.args) or not shape:
        return None
    return _labelled([range(-len(arg.type.known), 0) for arg in node.args], node.args, range(-len(shape), 0), shape)


def _square(node: Apply) -> Product | None:
    axes = range(-len(node.type.known), 0)
    squared = node.op.name == "square" or is_number(node.args[1], 2)
    return _labelled([axes, axes], [node.args[0]] * 2, axes, node.type.known) if squared and axes else None


def _negative(node: Apply) -> Product | None:
    axes = range(-len(node.type.known), 0)
    return _labelled([(), axes], [const(-1), node.args[0]], axes, node.type.known)


def _reshape(node: Apply) -> Product | None:
    """A reshape that moves axes of size 1 only."""
    (x,) = node.args
    before, after = ([dim for dim in each.type.known if dim != ONE] for each in (x, node))
    if before != after:
        return None
    labels = iter(count())
    term = [next(labels) if dim != ONE else -1 for dim in x.type.known]
    labels = iter(count())
    return _labelled([term], [x], [next(labels) if dim != ONE else -1 for dim in node.type.known], node.type.known)


_READERS: dict[str, Callable[[Apply], Product | None]] = {
    "einsum": _einsum,
    "sum": _sum,
    "multiply": _multiply,
    "negative": _negative,
    "power": _square,
    "square": _square,
    "reshape": _reshape,
}


def sums_within(order: Iterable[Node]) -> set[Node]:
    """The products that add anything up, themselves or in a factor."""
    sums: set[Node] = set()
    for node in order:
        found = as_product(node)
        if found and (any(factor.node in sums for factor in found.factors) or {label for each in found.factors for label in each.labels} - set(found.output)):
            sums.add(node)
    return sums


def flattened(node: Node, absorbs: Callable[[Node], bool], sums: Container[Node] = ()) -> tuple[Product, list[Node]] | None:
    """A product with those factors put in that are products themselves, as far as allowed, and the nodes that are so taken apart. Of factors
    that are ``sums`` only the one with most axes is."""
    found = as_product(node)
    if found is None:
        return None
    fresh = count(10**6)
    taken, whole = [node], _kept_whole(found, sums)
    factors, sizes = list(found.factors), dict(found.sizes)
    done: list[Factor] = []
    while factors:
        factor = factors.pop(0)
        inner = as_product(factor.node) if factor not in whole and absorbs(factor.node) else None
        if inner is None or len(factors) + len(done) + len(inner.factors) > MOST:
            done.append(factor)
            continue
        taken.append(factor.node)
        renamed = dict(zip(inner.output, factor.labels, strict=True))
        for label, dim in inner.sizes.items():
            sizes[renamed.setdefault(label, next(fresh))] = dim
        put = [Factor(tuple(renamed[label] for label in each.labels), each.node) for each in inner.factors]
        kept = _kept_whole(inner, sums)
        whole += [new for new, each in zip(put, inner.factors, strict=True) if each in kept]
        factors = put + factors
    return Product(tuple(done), found.output, sizes), taken


def _kept_whole(of: Product, sums: Container[Node]) -> list[Factor]:
    """All factors that are sums but the one with most axes."""
    added = [factor for factor in of.factors if factor.node in sums]
    return [factor for factor in added if factor is not max(added, key=lambda each: len(each.labels))]


# costs ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """How long the program's dimensions usually are: as hinted; else one that only data have is taken for longer than the others."""

    hints: Mapping[str, int]
    long: frozenset[str]

    def degree(self, symbol: Symbol) -> float:
        return 1.5 if symbol.name in self.long else 1.0

    def usual(self, dim: Dim) -> float:
        """A dimension or a cost in numbers, for comparing orders."""
        return sum((factor * _multiplied(self._size(atom) for atom in monomial) for monomial, factor in dim.terms), 0.0)

    def _size(self, atom: object) -> float:
        if isinstance(atom, Symbol) and atom.name in self.hints:
            return float(self.hints[atom.name])
        return float(COMMON ** (self.degree(atom) if isinstance(atom, Symbol) else 1.0))

    def cheaper(self, new: Dim, old: Dim) -> bool:
        """Whether a cost is lower: for every size, else for the hinted ones, else in every term that grows fastest."""
        gap = old - new
        if not gap.terms or _never_negative(-gap):
            return False
        if _never_negative(gap):
            return True
        if all(symbol.name in self.hints for symbol in gap.symbols()):
            return self.usual(gap) > 0
        grows = {monomial: sum(self.degree(atom) if isinstance(atom, Symbol) else 1.0 for atom in monomial) for monomial, _ in gap.terms}
        return all(factor > 0 for monomial, factor in gap.terms if grows[monomial] == max(grows.values()))


def _multiplied(sizes: Iterable[float]) -> float:
    result = 1.0
    for size in sizes:
        result *= size
    return result


def _never_negative(dim: Dim) -> bool:
    """Whether a polynomial is so for all sizes of at least 1: in each dimension less 1 it has no negative coefficient."""
    return all(factor >= 0 for _, factor in dim.substitute({symbol: Dim.symbol(symbol.name, symbol.flexible) + 1 for symbol in dim.symbols()}).terms)


# orders --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """A product and the tree of pairs in which it is computed."""

    of: Product
    tree: Tree

    @cached_property
    def cost(self) -> Dim:
        return sum((step.cost(self.of.sizes) for step in _steps(self.of, self.tree)), ZERO)

    @property
    def rearranges(self) -> bool:
        """Whether it is more than a pair of arrays, multiplied and summed at once."""
        return any(len(step.before) == 1 for step in _steps(self.of, self.tree)) or sum(bool(each.labels) for each in self.of.factors) > 2

    def built(self, factors: Sequence[Node], shape: Shape) -> Node:
        """The product of these nodes in the factors' places, of the given shape."""
        labels, node = self._built(self.tree, factors, self.of.output)
        if labels != self.of.output:
            node = rewrite(einsum(_spec([labels], self.of.output), node))
        return rewrite(reshape(node, shape))

    def _built(self, tree: Tree, factors: Sequence[Node], beside: Labels) -> tuple[Labels, Node]:
        """A part of the product, its axes in the order of what stands beside it, where that has them all."""
        kept = _kept(self.of, _members(tree))
        if isinstance(tree, int):
            labels, node = self.of.factors[tree].labels, factors[tree]
            node = rewrite(reshape(node, tuple(self.of.sizes[label] for label in labels)))
            gone = tuple(i - len(labels) for i, label in enumerate(labels) if label not in kept)
            return tuple(label for label in labels if label in kept), rewrite(total(node, gone)) if gone else node
        one, two = tree
        (left, x), (right, y) = self._built(one, factors, self._order(two, beside)), self._built(two, factors, self._order(one, beside))
        if not left or not right:
            return left or right, rewritten("multiply", *((x, y) if right else (y, x)))
        labels = tuple(label for label in beside if label in kept) if set(kept) <= set(beside) else _arranged(left, right, kept)
        if set(labels) in (set(left), set(right)) and {*left, *right} == set(labels):
            # a factor of fewer axes is stretched, not contracted
            return labels, rewritten("multiply", _wide(x, left, labels, self.of.sizes), _wide(y, right, labels, self.of.sizes))
        return labels, rewrite(einsum(_spec([left, right], labels), x, y))

    def _order(self, tree: Tree, beside: Labels) -> Labels:
        """The axes of an array that is there already, or of what it is to be multiplied into."""
        return self.of.factors[tree].labels if isinstance(tree, int) and self.of.factors[tree].labels else beside


def _arranged(left: Labels, right: Labels, kept: Sequence[int]) -> Labels:
    """The axes of a product on the way: as the longer operand has them all, or those of both first, then one side's, then the other's."""
    for whole in (left, right):
        if set(whole) == {*left, *right} == set(kept):
            return whole
    both = [label for label in left if label in right]
    return tuple(label for label in dict.fromkeys((*both, *left, *right)) if label in kept)


def _spec(terms: Sequence[Labels], output: Labels) -> str:
    letters = dict(zip(dict.fromkeys(label for term in terms for label in term), ascii_letters, strict=False))
    return f"{','.join(''.join(letters[label] for label in term) for term in terms)}->{''.join(letters[label] for label in output)}"


def _members(tree: Tree) -> frozenset[int]:
    return frozenset([tree]) if isinstance(tree, int) else _members(tree[0]) | _members(tree[1])


def _kept(of: Product, members: frozenset[int]) -> list[int]:
    """The labels of some factors that the others or the result have too."""
    outside = set(of.output).union(*(factor.labels for i, factor in enumerate(of.factors) if i not in members))
    return list(dict.fromkeys(label for i in sorted(members) for label in of.factors[i].labels if label in outside))


def _steps(of: Product, tree: Tree) -> list[Step]:
    after = tuple(_kept(of, _members(tree)))
    if isinstance(tree, int):
        labels = of.factors[tree].labels
        return [Step((labels,), after)] if len(after) < len(labels) else []
    before = (tuple(_kept(of, _members(tree[0]))), tuple(_kept(of, _members(tree[1]))))
    return [*_steps(of, tree[0]), *_steps(of, tree[1]), Step(before, after)]


def best_order(of: Product, scale: Scale) -> Order | None:
    """The cheapest order at the usual sizes; None for a factor with a diagonal taken, which is no pair's business."""
    if any(len(set(factor.labels)) < len(factor.labels) for factor in of.factors):
        return None
    bits = {label: 1 << i for i, label in enumerate(of.sizes)}
    usual = {bit: scale.usual(of.sizes[label]) for label, bit in bits.items()}
    masks = [sum(bits[label] for label in factor.labels) for factor in of.factors]
    result = sum(bits[label] for label in of.output)
    every = (1 << len(masks)) - 1

    def union(members: int) -> int:
        return reduce(or_, (mask for i, mask in enumerate(masks) if members >> i & 1), 0)

    @cache
    def entries(labels: int) -> float:
        return _multiplied(size for bit, size in usual.items() if labels & bit)

    def work(labels: int, kept: int) -> float:
        return entries(labels) if kept or not labels else 2 * entries(labels)

    def joins(left: int, right: int, kept: int) -> float:
        """What a pair costs. Row by row it is no product of matrices, and takes a little more than one of as much work."""
        row_by_row = left & right & kept and (left | right) & ~kept
        return work(left | right, kept) * (ROW_BY_ROW if row_by_row else 1.0)

    inside = [union(members) for members in range(every + 1)]
    kept = [inside[members] & (result | inside[every ^ members]) for members in range(every + 1)]
    best: list[tuple[float, Tree]] = [(0.0, 0)]
    for members in range(1, every + 1):
        first = members & -members
        rest = members ^ first
        if not rest:
            one = first.bit_length() - 1
            best.append((work(masks[one], 1) if kept[members] != masks[one] else 0.0, one))
            continue
        ways: list[tuple[float, Tree]] = []
        part = 0
        while part != rest:
            left, right = first | part, rest ^ part
            step = joins(kept[left], kept[right], kept[members])
            ways.append((best[left][0] + best[right][0] + step, (best[left][1], best[right][1])))
            part = (part - rest) & rest
        best.append(min(ways, key=lambda way: way[0]))
    return Order(of, best[every][1])


def only_turns(node: Node) -> bool:
    """Whether a node is a product of one factor that only has its axes in another order."""
    found = as_product(node)
    return found is not None and len(found.factors) == 1 and len(found.output) == len(found.factors[0].labels)


def own_cost(node: Node) -> Dim:
    """What a node's own step costs as it stands."""
    found = as_product(node)
    assert found is not None and isinstance(node, Apply)
    if node.op.name == "negative" or only_turns(node):
        return ZERO
    if len(found.factors) > 2:
        every = dict.fromkeys(label for factor in found.factors for label in factor.labels)
        return product(tuple(found.sizes[label] for label in every)) * len(found.factors)
    return Step(tuple(factor.labels for factor in found.factors), found.output).cost(found.sizes)


def joined(scaling: Product, matrix_product: Product, mapped: Mapping[Node, Node], scale: Scale) -> Node | None:
    """``d * x + M @ x`` as ``(M + diag(d)) @ x``, of the nodes that stand for theirs now; None where these are not that, or gain nothing."""
    if not len(scaling.factors) == len(matrix_product.factors) == 2 or len(scaling.output) != len(matrix_product.output):
        return None
    renamed = dict(zip(scaling.output, matrix_product.output, strict=True))
    if any(label not in renamed for factor in scaling.factors for label in factor.labels):
        return None
    for i in range(4):
        x, d = scaling.factors[i // 2], scaling.factors[1 - i // 2]
        same, matrix = matrix_product.factors[i % 2], matrix_product.factors[1 - i % 2]
        changed = [(renamed[row], column) for row, column in zip(x.labels, same.labels, strict=False) if renamed[row] != column]
        if x.node is not same.node or len(changed) != 1 or not d.labels:
            continue
        ((row, column),) = changed
        inner = tuple(renamed[label] for label in d.labels)
        sizes = matrix_product.sizes
        within = {row, column, *inner} <= set(matrix.labels) and column not in inner
        if column in matrix_product.output or row in same.labels or not within or sizes[row] != sizes[column]:
            continue
        if not scale.cheaper(*(product(tuple(sizes[label] for label in labels)) * 2 for labels in (matrix.labels, matrix_product.output))):
            continue
        wide = _aligned(mapped[d.node], inner, matrix.labels, sizes)
        unit = _aligned(eye(sizes[row]), (row, column), matrix.labels, sizes)
        whole = rewritten("add", _aligned(mapped[matrix.node], matrix.labels, matrix.labels, sizes), rewritten("multiply", wide, unit))
        return rewrite(einsum(_spec([matrix.labels, same.labels], matrix_product.output), whole, mapped[x.node]))
    return None


def _wide(node: Node, labels: Labels, wanted: Labels, sizes: Mapping[int, Dim]) -> Node:
    """An array as it broadcasts to all axes that are wanted: those in front that it lacks it need not have."""
    first = next((i for i, label in enumerate(wanted) if label in labels), len(wanted))
    return _aligned(node, labels, wanted[first:], sizes)


def _aligned(node: Node, labels: Labels, wanted: Labels, sizes: Mapping[int, Dim]) -> Node:
    """An array with an axis for every label that is wanted, of size 1 for those that it lacks."""
    order = tuple(label for label in wanted if label in labels)
    node = rewrite(reshape(node, tuple(sizes[label] for label in labels)))
    node = node if order == labels else rewrite(einsum(_spec([labels], order), node))
    return rewrite(reshape(node, tuple(sizes[label] if label in labels else ONE for label in wanted)))
