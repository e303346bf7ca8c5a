"""A loop as a plain ``for``: carries in variables, or in the rows of an array where their history is wanted.

    hs = np.empty((T + 1, K), dtype=dtype)
    hs[0] = h0
    for t in range(T):
        hs[t + 1] = np.tanh(X[t] @ Wx + hs[t] @ Wh)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from dsl.nodes import Apply, Const, Input, Node, topological
from dsl.ops.broadcasting import dtype_text
from dsl.ops.core import is_number
from dsl.ops.factorisations import PART, place_of
from dsl.ops.indexing import FULL
from dsl.ops.loops import as_loop
from dsl.ops.spec import ATOM
from dsl.ops.words import bare, plural, word
from dsl.types import ZERO, Dim, Symbol

if TYPE_CHECKING:
    from dsl.emit.body import Body

INDENT = "    "
_COMMENT = re.compile(r"(?m)^\s*#.*$")


def rows(node: Node) -> tuple[Node, Dim] | None:
    """The array of which a node is rows on end, and the first of them."""
    if not (isinstance(node, Apply) and node.op.name == "index" and len(node.args) == 1):
        return None
    items = node.attr("items")
    assert isinstance(items, tuple)
    if not items or items[0][0] != "slice" or items[0][3] != 1 or any(each != FULL for each in items[1:]):
        return None
    return node.args[0], items[0][1] or ZERO


def rows_of_loop(node: Node) -> bool:
    """Whether a node is rows of the history of a loop's carry."""
    found = rows(node)
    return found is not None and isinstance(found[0], Apply) and found[0].op is PART and isinstance(found[0].args[0], Apply) and found[0].args[0].op.nested


def last_carry(node: Node) -> tuple[Node, Node] | None:
    """What a node is where it is a loop's last carry: the first one if there is no turn, else what a turn makes of it."""
    if not (isinstance(node, Apply) and node.op is PART and isinstance(node.args[0], Apply) and node.args[0].op.nested):
        return None
    made, i = as_loop(node.args[0]), place_of(node)
    return (made.initial[i], made.turn.nexts[i]) if i < len(made.turn.carries) else None


def kept_by_loops(nodes: Iterable[Node]) -> set[Node]:
    """What loops read in every turn, and so has a name before them."""
    loops = [as_loop(node) for node in nodes if isinstance(node, Apply) and node.op.nested]
    return {each for made in loops for each in (*made.sequences, *made.constants) if isinstance(each, Apply) and rows(each) is None}


def code(text: str) -> str:
    """A statement without the comments in it."""
    return _COMMENT.sub("", text)


def _reads(line: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){name}(?!\w)", code(line)) is not None


def _tidied(lines: Sequence[str]) -> list[str]:
    """The lines without comments over nothing, and without those that say again what still holds; one that holds for all comes first."""
    kept: list[str] = []
    said = ""
    for line, below in pairwise((*lines, "#")):
        if not line.startswith("#"):
            kept.append(line)
        elif line != said and not below.startswith("#"):
            kept.append(line)
            said = line
    comments = [line for line in kept if line.startswith("#")]
    return [comments[0], *(line for line in kept if line is not comments[0])] if len(comments) == 1 else kept


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
        self.setup: list[str] = []
        self.arrays: set[str] = set()
        # names outside that the turn may use, for nothing reads them any more
        self.idle: set[str] = set()
        # the variables of carries, and the lines that give these their next values
        self.variables: dict[int, str] = {}
        self.carried: dict[str, str] = {}
        self.live = self._live()
        self.roots = [*(self.nexts[i] for i in self.live), *(turn.outs[j] for j in self.out_places)]

    def lines(self) -> list[str]:
        """What is set up before the loop, the loop as one item, and what is named after it."""
        outer, turn = self.outer, self.made.turn
        reached = set(topological(self.roots))
        order = topological([*(node for node, _ in turn.notes.lines if node in reached), *self.roots])
        uses = Counter([*(arg for node in order for arg in node.args), *self.roots])
        inner = outer.nested(uses, {node for node in self.roots if uses[node] == 1}, turn.notes)
        self._begin(inner)
        taken, chosen = set(outer.names.taken), dict(outer.names.chosen)
        self.idle = outer.idle()
        outer.names.taken -= self.idle
        outer.names.counts.clear()
        held, outer.names.held = outer.names.held, {turn.carries[i].name for i in self.live if self.n + i in self.parts}
        for node, name in turn.notes.names:
            if node in reached and node not in inner.whole:
                outer.names.give(node, name)
        head = self._blocks(inner)
        head += self._bind_given(inner, uses)
        inner.totals = {node: self.variables[i] for i, node in self.sums.items() if i in self.live and uses[node] == 1}
        self._then(inner)
        inner.becomes = {self.nexts[i]: name for i, name in self.variables.items() if i not in self.sums}
        inner.emit(order)
        given = [line for node, each in inner.then.items() for done in each if (line := done(inner.texts[node].text))]
        lines = inner.filled(self._settled([*given, *inner.lines], inner))
        lines = [*(line for line in head if any(_reads(other, line.partition(" = ")[0]) for other in (*head, *lines) if other is not line)), *lines]
        length = outer.dim(self.made.length)
        count = f"reversed(range({length}))" if self.made.backwards else f"range({length})"
        outer.needs_dtype = outer.needs_dtype or inner.needs_dtype
        # what a turn calls its own values may be called so again below
        outer.names.held = held
        outer.names.taken = taken | {*outer.names.counters, *self.arrays}
        outer.names.chosen = {**chosen, **{node: name for node, name in outer.names.chosen.items() if name in self.arrays}}
        outer.names.counts.clear()
        counter = self.t if any(_reads(line, self.t) for line in lines) else "_"
        block = [f"for {counter} in {count}:", *(INDENT + line for each in _tidied(lines) or ["pass"] for line in each.split("\n"))]
        return [*self.setup, "\n".join(block), *self._named_after()]

    def _begin(self, inner: Body) -> None:
        """What the carries begin with, in rows of arrays and in variables."""
        outer, variables = self.outer, self.variables
        for i, carry in ((i, self.made.turn.carries[i]) for i in self.live):
            if i in self.sums and self.parts.get(i) in outer.totals:
                # what is added up in a turn of a loop around this one is added to its sum at once
                variables[i] = outer.totals[self.parts[i]]
                inner.bind(carry, variables[i])
                continue
            start, trail = self._start(i), self.parts.get(self.n + i)
            if trail is None:
                variables[i] = self._variable(i, carry.name)
                self.setup += [f"{variables[i]} = {start}"] if variables[i] != start else []
                inner.bind(carry, variables[i])
                if i not in self.sums:
                    inner.carried.add(carry)
            else:
                name = self._array(trail, carry.name, plural(carry.name))
                self.setup.append(f"{name}[{-1 if self.made.backwards else 0}] = {start}")
                inner.bind(carry, f"{name}[{self._shifted(self.made.backwards)}]")

    def _start(self, i: int) -> str:
        """What a carry begins with. Zeros are its own: what is added up is added in place."""
        outer, carry, kept = self.outer, self.made.turn.carries[i], self.n + i in self.parts
        initial = self.made.initial[i]
        if isinstance(initial, Const) and carry.type.dtype == "int":
            # a number of Python's has no methods
            return f"np.int64({outer.texts[initial].text})"
        made = outer.given.get(initial, initial)
        value = made.args[0] if isinstance(made, Apply) and made.op.name == "broadcast_to" else None
        if isinstance(value, Const) and kept:
            outer.emit([value])
            return outer.texts[value].text
        if value is not None and is_number(value, 0):
            return f"np.zeros({outer.shape(carry)}, dtype={dtype_text(carry.type.dtype, outer)})"
        added = i in self.sums and (i not in self.parts or self.made.length.constant is not None)
        if not kept and initial.type.weak and carry.type.dtype == "float" and not added:
            # NumPy's functions make float64 of a number of Python's; what is added to one has its own precision, where there is a turn
            return f"{outer.dtype}.type({outer.texts[initial].text})"
        return outer.texts[initial].text

    def _then(self, inner: Body) -> None:
        """Tells the body of the turn what becomes of its values: rows of arrays, terms of sums, the carries of the next turn."""
        turn = self.made.turn
        for j in self.out_places:
            inner.then.setdefault(turn.outs[j], []).append(partial(self._out, inner, j))
        for i in self.live:
            trail = self.parts.get(self.n + i)
            target = self.variables[i] if trail is None else f"{self.outer.texts[trail].text}[{self._shifted(not self.made.backwards)}]"
            inner.then.setdefault(self.nexts[i], []).append(partial(self._put, inner, i, target))
            if trail is None and self._grows(i, inner):
                self.outer.names.chosen[self.nexts[i]] = target

    def _grows(self, i: int, inner: Body) -> bool:
        """Whether a carry is read by its next value alone, so that both have one name."""
        carry, node = self.made.turn.carries[i], self.nexts[i]
        return i not in self.sums and carry in node.args and inner.uses[carry] == 1 and node not in inner.program.names

    def _out(self, inner: Body, j: int, text: str) -> str:
        """What is given out is called what it is to the program, else as in the turn."""
        node, part = self.made.turn.outs[j], self.parts[2 * self.n + j]
        own = text.isidentifier() and isinstance(node, Apply)
        row = text if own else inner.wish(node) if isinstance(node, Apply) else word(node)
        name = self._array(part, row, self.outer.cotangent_name(part) or (f"{row}_all" if bare(row) or row == word(node) else plural(row)))
        return inner.put(node, f"{name}[{self._row(node)}]", text)

    def _put(self, inner: Body, i: int, target: str, text: str) -> str:
        """The carry of the next turn, or what is added to a sum."""
        if target == text:
            return ""
        if isinstance(self.nexts[i], Const) and self.made.turn.carries[i].type.dtype == "float" and target.isidentifier():
            # a number of Python's would not take the precision of the others into the result
            text = f"{inner.dtype}.type({text})"
        if i not in self.sums and target.isidentifier():
            self.carried[target] = f"{target} = {text}"
        return f"{target} += {text}" if i in self.sums else inner.put(self.nexts[i], target, text)

    def _settled(self, lines: list[str], inner: Body) -> list[str]:
        """The turn's lines with carries that are read below their next values at the end, all at once, for each may read the others."""
        late: dict[str, str] = {}
        while True:
            ends = [line.partition(" = ")[2] for line in late.values()]
            reading = {name: [*lines[lines.index(line) + 1 :], *ends] for name, line in self.carried.items() if name not in late}
            more = [name for name, below in reading.items() if any(_reads(line, name) for line in below)]
            if not more:
                break
            late = {name: self.carried[name] for name in self.variables.values() if name in late or name in more}
            lines = [line for line in lines if line not in late.values()]
        if not late:
            return lines
        made = {inner.program.lines.get(self.nexts[i]) for i in self.live if self.variables.get(i) in late}
        (line,) = made if len(made) == 1 else (None,)
        comment = [] if line is None else [f"# {line.text}"]
        return [*lines, *comment, f"{', '.join(late)} = {', '.join(each.partition(' = ')[2] for each in late.values())}"]

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
        outer, start = self.outer, self.made.initial[i]
        outer.names.held.discard(wish)
        if outer.uses[start] == 1 and (start in outer.carried or self._is_seed(start, wish)):
            # the carry of the loop around this one, or a cotangent that is given, which nothing else reads
            return outer.texts[start].text
        around = [outer.texts[each].text for each in start.args if each in outer.carried and outer.uses[each] == outer.uses[start] == 1]
        if outer.becomes.get(last) in around:
            # the start is made of the carry of the loop around this one, which nothing else reads, and this one's becomes that again
            return outer.becomes[last]
        if last is not None and chosen is None:
            return self.outer.names.give(last, wish)
        return chosen if chosen is not None and (i in self.sums or chosen == wish) else self.outer.names.fresh(wish)

    def _is_seed(self, start: Node, wish: str) -> bool:
        program = self.outer.program
        return isinstance(start, Input) and start.role == "cotangent" and start.name == wish and all(node is not start for _, node in program.gradients)

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

    def _array(self, part: Node, row: str, wish: str) -> str:
        """The name of an array that a row is written to in every turn."""
        names = self.outer.names
        free, names.taken = names.taken, names.taken | self.idle
        name = names.chosen.get(part) or names.give(part, wish)
        names.taken = free | {name}
        self.arrays.add(name)
        names.rows[name] = row
        self.setup.append(f"{name} = np.empty({self.outer.shape(part)}, dtype={dtype_text(part.type.dtype, self.outer)})")
        self.outer.bind(part, name)
        return name

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
            base, start = rows(sequence) or (sequence, ZERO)
            if base not in self.outer.texts:
                base, start = sequence, ZERO
            if self.made.by_block(element):
                base, start = sequence, ZERO
            place = self._row(element) if start == ZERO else f"{self.t} + {self.outer.dim(start)}"
            text = f"{self.outer.texts[base].at(ATOM)}[{place}]"
            if uses[element] > 1 or self.made.by_block(element):
                row = inner.names.row(self.outer.texts[base].text) or element.name
                name = inner.names.fresh(f"{element.name}_block" if self.made.by_block(element) else row)
                lines.append(f"{name} = {text}")
                text = name
            inner.bind(element, text)
        for constant, value in zip(self.made.turn.constants, self.made.constants, strict=True):
            inner.texts[constant] = self.outer.texts[value]
            inner.given[constant] = self.outer.given.get(value, value)
        return lines

    def _named_after(self) -> list[str]:
        """The last carries, by the names that they have after the loop."""
        lines: list[str] = []
        for i in range(self.n):
            last, trail = self.parts.get(i), self.parts.get(self.n + i)
            if last is None:
                continue
            text = self.variables[i] if trail is None else f"{self.outer.texts[trail].text}[{0 if self.made.backwards else -1}]"
            if self.outer.needs_name(last) and self.outer.names.chosen.get(last) != text:
                name = self.outer.names.chosen.get(last) or self.outer.names.give(last, self.made.turn.carries[i].name)
                lines.append(f"{name} = {text}")
                text = name
            self.outer.bind(last, text)
        return lines


__all__ = ["LoopPrinter", "kept_by_loops", "last_carry", "rows", "rows_of_loop"]
