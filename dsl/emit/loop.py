"""A loop as a plain ``for``: carries in variables, or in the rows of an array where their history is wanted.

    hs = np.empty((T + 1, K), dtype=dtype)
    hs[0] = h0
    for t in range(T):
        hs[t + 1] = np.tanh(X[t] @ Wx + hs[t] @ Wh)
"""

from __future__ import annotations

import builtins
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from keyword import iskeyword
from typing import TYPE_CHECKING

from dsl.nodes import Apply, Const, Node, topological
from dsl.ops.broadcasting import dtype_text
from dsl.ops.core import is_number
from dsl.ops.factorisations import PART
from dsl.ops.indexing import FULL
from dsl.ops.loops import as_loop
from dsl.ops.spec import ATOM
from dsl.ops.words import word
from dsl.types import Dim, Symbol

if TYPE_CHECKING:
    from dsl.emit.body import Body

INDENT = "    "


def rows(node: Node) -> tuple[Node, Dim] | None:
    """The array of which a node is rows on end, and the first of them."""
    if not (isinstance(node, Apply) and node.op.name == "index" and len(node.args) == 1):
        return None
    items = node.attr("items")
    assert isinstance(items, tuple)
    if not items or items[0][0] != "slice" or items[0][3] != 1 or any(each != FULL for each in items[1:]):
        return None
    return node.args[0], items[0][1] or Dim.number(0)


def rows_of_loop(node: Node) -> bool:
    """Whether a node is rows of the history of a loop's carry."""
    found = rows(node)
    return found is not None and isinstance(found[0], Apply) and found[0].op is PART and isinstance(found[0].args[0], Apply) and found[0].args[0].op.nested


def last_carry(node: Node) -> tuple[Node, Node] | None:
    """What a node is where it is a loop's last carry: the first one if there is no turn, else what a turn makes of it."""
    if not (isinstance(node, Apply) and node.op is PART and isinstance(node.args[0], Apply) and node.args[0].op.nested):
        return None
    made, i = as_loop(node.args[0]), int(str(node.attr("index")))
    return (made.initial[i], made.turn.nexts[i]) if i < len(made.turn.carries) else None


def kept_by_loops(nodes: Iterable[Node]) -> set[Node]:
    """What loops read in every turn, and so has a name before them."""
    loops = [as_loop(node) for node in nodes if isinstance(node, Apply) and node.op.nested]
    return {each for made in loops for each in (*made.sequences, *made.constants) if isinstance(each, Apply) and rows(each) is None}


def plural(name: str) -> str:
    """The name of an array of what has that name in every turn."""
    many = f"{name[:-1]}ies" if re.search(r"[^aeiou_]y$", name) and len(name) > 2 else f"{name}s"
    odd = name[-1] in "sxz" or name.endswith(("ch", "sh")) or name[-1].isdigit() or iskeyword(many) or hasattr(builtins, many)
    return f"{name}_all" if odd else many


def _reads(line: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){name}(?!\w)", line) is not None


class LoopPrinter:
    """One loop among the statements of a body. ``parts`` are those of its results that something reads, by their place."""

    def __init__(self, outer: Body, node: Apply, parts: Mapping[int, Node]) -> None:
        self.outer, self.made, self.parts = outer, as_loop(node), parts
        turn = self.made.turn
        self.n = len(turn.carries)
        self.t = outer.names.counter(outer.depth)
        self.sums = {i: term for i in range(self.n) if (term := self._summed(i)) is not None}
        self.out_places = [j for j in range(len(turn.outs)) if 2 * self.n + j in parts]
        self.nexts = [self.sums.get(i, node) for i, node in enumerate(turn.nexts)]
        self.wishes = dict(turn.names)
        self.live = self._live()
        self.roots = [*(self.nexts[i] for i in self.live), *(turn.outs[j] for j in self.out_places)]

    def lines(self) -> list[str]:
        """What is set up before the loop, the loop as one item, and what is named after it."""
        outer, setup = self.outer, []
        order = topological(self.roots)
        uses = Counter([*(arg for node in order for arg in node.args), *self.roots])
        inner = outer.nested(uses, {node for node in self.roots if uses[node] == 1}, self.wishes)
        variables: dict[int, str] = {}
        length = self.made.length
        for i, carry in ((i, self.made.turn.carries[i]) for i in self.live):
            start, trail = outer.texts[self.made.initial[i]].text, self.parts.get(self.n + i)
            if carry.type.dtype == "int" and isinstance(self.made.initial[i], Const):
                # a number of Python's has no methods
                start = f"np.int64({start})"
            elif trail is None and i in self.parts and self.made.initial[i].type.weak and carry.type.dtype == "float" and length.constant is None:
                # where there is no turn, it is the result
                start = f"{outer.dtype}.type({start})"
            if i in self.sums and self.parts.get(i) in outer.totals:
                # what is added up in a turn of a loop around this one is added to its sum at once
                variables[i] = outer.totals[self.parts[i]]
                inner.bind(carry, variables[i])
                continue
            if i in self.sums and carry.type.shape:
                # a sum is added to in place: zeros of its own
                start = f"np.zeros({outer.shape(carry)}, dtype={dtype_text(carry.type.dtype, outer)})"
            if trail is None:
                variables[i] = self._variable(i, carry.name)
                setup += [f"{variables[i]} = {start}"] if variables[i] != start else []
                inner.bind(carry, variables[i])
                if i not in self.sums:
                    inner.carried.add(carry)
            else:
                name = self._array(trail, plural(carry.name), setup)
                initial = self.made.initial[i]
                if isinstance(initial, Apply) and initial.op.name == "broadcast_to" and isinstance(initial.args[0], Const):
                    start = outer.texts[initial.args[0]].text
                setup.append(f"{name}[{-1 if self.made.backwards else 0}] = {start}")
                inner.bind(carry, f"{name}[{self._shifted(self.made.backwards)}]")
        outs = {j: self._array(self.parts[2 * self.n + j], self._plural(j), setup) for j in self.out_places}
        taken, chosen = set(outer.names.taken), dict(outer.names.chosen)
        head = self._blocks(inner)
        head += self._bind_given(inner, uses)
        inner.totals = {node: variables[i] for i, node in self.sums.items() if uses[node] == 1}
        inner.emit(order)
        ends = [f"{name}[{self._row(node)}] = {inner.texts[node].text}" for j, name in outs.items() for node in (self.made.turn.outs[j],)]
        ends += self._carried(inner, variables)
        turn = [*head, *inner.lines, *ends]
        turn = [line for line in turn if line not in head or any(_reads(other, line.partition(" = ")[0]) for other in turn if other is not line)] or ["pass"]
        count = f"range({outer.dim(length)})"
        count = f"reversed({count})" if self.made.backwards else count
        outer.needs_dtype = outer.needs_dtype or inner.needs_dtype
        # what a turn calls its own values may be called so again below
        outer.names.taken &= taken | {*outer.names.counters}
        outer.names.chosen = chosen
        outer.names.counts.clear()
        counter = self.t if any(_reads(line, self.t) for line in turn) else "_"
        block = [f"for {counter} in {count}:", *(INDENT + line for each in turn for line in each.split("\n"))]
        return [*setup, "\n".join(block), *self._named_after(variables)]

    def _live(self) -> list[int]:
        """The carries that something reads, after the loop or in it."""
        turn = self.made.turn
        live = [i for i in range(self.n) if i in self.parts or self.n + i in self.parts]
        while True:
            read = set(topological([*(self.nexts[i] for i in live), *(turn.outs[j] for j in self.out_places)]))
            more = [i for i in range(self.n) if i in live or turn.carries[i] in read]
            if more == live:
                return live
            live = more

    def _variable(self, i: int, wish: str) -> str:
        """The variable of a carry: a sum has its name in the program from the start, another carry only where that is its own."""
        last = self.parts.get(i)
        chosen = None if last is None else self.outer.names.chosen.get(last)
        start = self.made.initial[i]
        if start in self.outer.carried and self.outer.uses[start] == 1:
            # the carry of the loop around this one, which nothing else reads
            return self.outer.texts[start].text
        if last is not None and chosen is None:
            return self.outer.names.give(last, wish)
        return chosen if chosen is not None and (i in self.sums or chosen == wish) else self.outer.names.fresh(wish)

    def _summed(self, i: int) -> Node | None:
        """What is added to a carry that begins with zeros and is nothing but a sum."""
        turn, carry = self.made.turn, self.made.turn.carries[i]
        start, node = self.made.initial[i], turn.nexts[i]
        while isinstance(start, Apply) and start.op.name == "broadcast_to":
            start = start.args[0]
        if not is_number(start, 0) or not isinstance(node, Apply) or node.op.name != "add" or carry not in node.args or self.n + i in self.parts:
            return None
        term = node.args[1] if node.args[0] is carry else node.args[0]
        others = [*(each for j, each in enumerate(turn.nexts) if j != i), *turn.outs, term]
        return None if carry in topological(others) or not term.type.matches(carry.type) else term

    def _array(self, part: Node, wish: str, setup: list[str]) -> str:
        """The name of an array that a row is written to in every turn."""
        name = self.outer.names.chosen.get(part) or self.outer.names.give(part, wish)
        setup.append(f"{name} = np.empty({self.outer.shape(part)}, dtype={dtype_text(part.type.dtype, self.outer)})")
        self.outer.bind(part, name)
        return name

    def _plural(self, j: int) -> str:
        """What is given out is called what it is to the program, else as in the turn."""
        node, part = self.made.turn.outs[j], self.parts[2 * self.n + j]
        wish = self.wishes.get(node)
        return self.outer.cotangent_name(part) or (plural(wish) if wish else f"{word(node)}_all")

    def _shifted(self, up: bool) -> str:
        return f"{self.t} + 1" if up else self.t

    def _blocks(self, inner: Body) -> list[str]:
        """Which rows a turn of a loop in blocks takes, and how many there are."""
        if self.made.blocks is None:
            return []
        size, total, rows = self.made.blocks
        block, count = inner.names.fresh("block"), inner.names.fresh("turns")
        (symbol,) = rows.symbols()
        self.block = block
        inner.local[Symbol(self.t)] = Dim.symbol(self.t)
        start = Dim.symbol(self.t) * size
        first, end = inner.dim(start), inner.dim(start + size)
        lines = [f"{block} = slice({first}, {end})", f"{count} = min({inner.dim(size)}, {inner.dim(total)} - {first})"]
        inner.local[symbol] = Dim.symbol(count)
        return lines

    def _row(self, node: Node) -> str:
        """Where a turn finds an element, or puts what it gives out."""
        return self.block if self.made.by_block(node) else self.t

    def _bind_given(self, inner: Body, uses: Counter[Node]) -> list[str]:
        """Texts for what the turn is given: an element that is read more than once is a variable."""
        lines: list[str] = []
        for element, sequence in zip(self.made.turn.elements, self.made.sequences, strict=True):
            base, start = rows(sequence) or (sequence, Dim.number(0))
            if base not in self.outer.texts:
                base, start = sequence, Dim.number(0)
            if self.made.by_block(element):
                base, start = sequence, Dim.number(0)
            place = self._row(element) if start == Dim.number(0) else f"{self.t} + {self.outer.dim(start)}"
            text = f"{self.outer.texts[base].at(ATOM)}[{place}]"
            if uses[element] > 1 or self.made.by_block(element):
                name = inner.names.fresh(f"{element.name}_block" if self.made.by_block(element) else element.name)
                lines.append(f"{name} = {text}")
                text = name
            inner.bind(element, text)
        for constant, value in zip(self.made.turn.constants, self.made.constants, strict=True):
            inner.texts[constant] = self.outer.texts[value]
        return lines

    def _carried(self, inner: Body, variables: Mapping[int, str]) -> list[str]:
        """The carries of the next turn: rows and sums first, then the variables at once, for each may read the others."""
        lines: list[str] = []
        for i, node in ((i, self.nexts[i]) for i in self.live):
            trail = self.parts.get(self.n + i)
            if trail is not None:
                lines.append(f"{self.outer.texts[trail].text}[{self._shifted(not self.made.backwards)}] = {inner.texts[node].text}")
            elif i in self.sums and inner.texts[node].text != variables[i]:
                lines.append(f"{variables[i]} += {inner.texts[node].text}")
        plain = {variables[i]: inner.texts[self.nexts[i]].text for i in self.live if i in variables and i not in self.sums}
        plain = {name: text for name, text in plain.items() if name != text}
        return [*lines, f"{', '.join(plain)} = {', '.join(plain.values())}"] if plain else lines

    def _named_after(self, variables: Mapping[int, str]) -> list[str]:
        """The last carries, by the names that they have after the loop."""
        lines: list[str] = []
        for i in range(self.n):
            last, trail = self.parts.get(i), self.parts.get(self.n + i)
            if last is None:
                continue
            text = variables[i] if trail is None else f"{self.outer.texts[trail].text}[{0 if self.made.backwards else -1}]"
            if self.outer.needs_name(last) and self.outer.names.chosen.get(last) != text:
                name = self.outer.names.chosen.get(last) or self.outer.names.give(last, self.made.turn.carries[i].name)
                lines.append(f"{name} = {text}")
                text = name
            self.outer.bind(last, text)
        return lines


__all__ = ["LoopPrinter", "kept_by_loops", "last_carry", "rows", "rows_of_loop"]
