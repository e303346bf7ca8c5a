"""A small product as the multiplications and additions of its entries, as in figure 1.15 of the book.

Before: a box ``X @ W``. After: in its place a group with the entries of X and W, a box for each product of two of them, a box for each sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from dsl.diagnostics import Code, error, nearest
from dsl.nodes import Node
from dsl.views.diagram import Array, Arrow, Box, Diagram, Group
from dsl.views.steps import Composition, Step, short_names

MOST = 64
SIZE = 2
LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def expanded(drawn: Diagram, made: Composition, given: Mapping[str, int]) -> Diagram:
    """The diagram with every product of at most MOST multiplications written out; a dimension that is not ``given`` has size 2. Raises DslError
    for a dimension that there is not, and where no product is so small."""
    sizes = _sizes(made, given)
    found = drawn
    for box in drawn.boxes:
        if len(box.steps) == 1 and (product := _product(made.of(box.steps[0]), sizes)):
            found = _Expansion(found, box, product).diagram()
    if found is drawn:
        message = f"no product of vectors or matrices has at most {MOST} multiplications"
        raise error(Code.E0503, message, help="give sizes with --dims N=2, or leave --elements out")
    return found


def _sizes(made: Composition, given: Mapping[str, int]) -> dict[str, int]:
    """A size for each dimension, by the compiler's name for it; it is given by that which the diagram shows."""
    symbols = [symbol.name for each in made.arguments for dim in each.type.shape or () for symbol in dim.symbols()]
    short = short_names(made)
    names = {name: short.get(name, name) for name in symbols}
    for name in given:
        if name not in names.values():
            close = nearest(name, names.values())
            known = ", ".join(names.values()) or "all numbers"
            raise error(Code.E0503, f"there is no dimension `{name}`", help=f"did you mean `{close}`?" if close else f"the dimensions are {known}")
    return {name: given.get(letter, SIZE) for name, letter in names.items()}


@dataclass(frozen=True)
class Product:
    """A product of two arrays of one or two axes: their names, their sizes, and the name of the result."""

    names: tuple[str, str, str]
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    step: int

    @property
    def rows(self) -> list[tuple[int, ...]]:
        return [(i,) for i in range(self.shapes[0][0])] if len(self.shapes[0]) == 2 else [()]

    @property
    def columns(self) -> list[tuple[int, ...]]:
        return [(j,) for j in range(self.shapes[1][1])] if len(self.shapes[1]) == 2 else [()]

    @property
    def inner(self) -> int:
        return self.shapes[0][-1]


def _product(step: Step, sizes: Mapping[str, int]) -> Product | None:
    if step.title not in ("@", "matmul", "dot") or len(step.operands) != 2:
        return None
    left, right = (_shape(each.node, sizes) for each in step.operands)
    if left is None or right is None:
        return None
    found = Product((step.operands[0].name, step.operands[1].name, step.name), (left, right), step.number)
    return found if 0 < prod(left) * len(found.columns) <= MOST else None


def _shape(node: Node | None, sizes: Mapping[str, int]) -> tuple[int, ...] | None:
    if node is None or node.type.shape is None or len(node.type.shape) not in (1, 2):
        return None
    if any(symbol.name not in sizes for dim in node.type.shape for symbol in dim.symbols()):
        return None
    return tuple(int(dim.evaluate(sizes)) for dim in node.type.shape)


class _Expansion:
    """One product written out in a diagram."""

    def __init__(self, drawn: Diagram, box: Box, product: Product) -> None:
        self.drawn, self.box, self.product = drawn, box, product
        self.group = Group(box.key, f"{box.caption}, entry by entry", box.steps)
        self.groups = (*box.groups, self.group.key)
        into = [each for each in drawn.arrows if each.head == box.key]
        names = {each.key: each.name for each in drawn.arrays}
        self.sources = [next(each for each in into if names[each.tail] == name) for name in product.names[:2]]
        self.result = next((each for each in drawn.arrows if each.tail == box.key), None)
        gradients = {each.key: each.gradient for each in drawn.arrays}
        self.first = next((gradients[each.tail].partition("/")[0] for each in self.sources if each.returns), "")
        self.boxes: list[Box] = []
        self.arrays: dict[str, Array] = {}
        self.arrows: list[Arrow] = []

    def diagram(self) -> Diagram:
        for row in self.product.rows:
            for column in self.product.columns:
                self.add_sum(row, column)
        at = self.drawn.boxes.index(self.box)
        boxes = (*self.drawn.boxes[:at], *self.boxes, *self.drawn.boxes[at + 1 :])
        arrows = [each for each in self.drawn.arrows if self.box.key not in (each.tail, each.head)] + self.arrows
        arrays = (*self.drawn.arrays, *self.arrays.values())
        return replace(self.drawn, boxes=boxes, arrays=arrays, arrows=tuple(arrows), groups=(*self.drawn.groups, self.group))

    def add_sum(self, row: tuple[int, ...], column: tuple[int, ...]) -> None:
        """An entry of the result: the products of which it is the sum."""
        name = self.product.names[2] + self.marks((*row, *column))
        back = self.result is not None and self.result.returns
        key = "-".join([self.box.key, "sum", *map(str, (*row, *column))])
        parts = list(self.multiplied(row, column, key))
        if len(parts) > 1:
            self.box_of(key, "+", name, ())
            self.arrows += [Arrow(each, key, back) for each in parts]
        else:
            key = parts[0]
        if self.result is None:
            return
        if row or column:
            entry = self.entry(self.result.head, self.product.names[2], (*row, *column), back)
            self.arrows += [Arrow(key, entry, back), Arrow(entry, self.result.head, back)]
        else:
            self.arrows.append(Arrow(key, self.result.head, back))

    def multiplied(self, row: tuple[int, ...], column: tuple[int, ...], key: str) -> Iterator[str]:
        for k in range(self.product.inner):
            ends = ((0, (*row, k)), (1, (k, *column)))
            names = [self.product.names[i] + self.marks(place) for i, place in ends]
            slopes = tuple(f"∂/∂{names[i]} = {names[1 - i]}" for i in (0, 1) if self.sources[i].returns)
            own = f"{key}-{k}"
            self.box_of(own, "×", f"{names[0]} · {names[1]}", slopes)
            for i, place in ends:
                entry = self.entry(self.sources[i].tail, self.product.names[i], place, self.sources[i].returns)
                if not any(each.head == entry for each in self.arrows):
                    self.arrows.append(Arrow(self.sources[i].tail, entry, self.sources[i].returns))
                self.arrows.append(Arrow(entry, own, self.sources[i].returns))
            yield own

    def box_of(self, key: str, symbol: str, caption: str, slopes: tuple[str, ...]) -> None:
        self.boxes.append(Box(key, self.box.steps, symbol, caption, slopes, f"{self.box.title}\n{caption}", self.groups))

    def entry(self, array: str, name: str, place: tuple[int, ...], back: bool) -> str:
        """The key of an array's entry."""
        key = "-".join([self.box.key, array, *map(str, place)])
        if key not in self.arrays:
            shown = name + self.marks(place)
            self.arrays[key] = Array(key, shown, "", "inner", True, f"{self.first}/∂{shown}" if back else "", self.groups)
        return key

    def marks(self, place: tuple[int, ...]) -> str:
        """The indices of an entry, counted from 1 as on paper."""
        large = any(size > 9 for shape in self.product.shapes for size in shape)
        return ("," if large else "").join(str(i + 1).translate(LOWERED) for i in place)
