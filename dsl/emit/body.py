"""One function's statements: an operation a line under the user's names, small ones put into the line that uses them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dsl.calculus.apart import usual
from dsl.calculus.pieces import Pieces, scalar_of, sums_of_pieces
from dsl.emit.loop import LoopPrinter, code, kept_by_loops, rows
from dsl.nodes import Apply, Const, Input, Node, Notes, Program, applies, of_sizes
from dsl.ops.along import IN_PARTS
from dsl.ops.factorisations import place_of
from dsl.ops.indexing import items_text
from dsl.ops.loops import turn_raises
from dsl.ops.spec import ATOM, PRODUCT, UNARY, Text
from dsl.ops.words import phrase, word
from dsl.types import Check, Dim, Symbol

_TARGETS = re.compile(r"(\w+(?:, \w+)*)(?:: [\w\[\]]+)? = ")
_WORD = re.compile(r"(?<![\w.])\w+")
NAME = re.compile(r"(?<![\w.])[^\W\d]\w*\b(?!=)")
INLINE_WIDTH = 48
NUMBER_WIDTH = 10


@dataclass
class Names:
    """Names for nodes: the user's where there is one, else one made of the operation, numbered where it is taken. ``rows`` tells what a row of
    an array is called; a carry that is such rows has its name to itself, which is ``held`` for loops within."""

    taken: set[str]
    chosen: dict[Node, str] = field(default_factory=dict)
    counters: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    dtype: str = "dtype"

    def give(self, node: Node, wish: str) -> str:
        self.chosen[node] = self.fresh(wish)
        return self.chosen[node]

    def counter(self, depth: int) -> str:
        """The variable that counts the turns of a loop within so many others."""
        while len(self.counters) <= depth:
            self.counters.append(self.fresh("tijk"[len(self.counters) % 4]))
        return self.counters[depth]

    def row(self, array: str) -> str | None:
        """What a row of an array is called that a loop filled, or that was made of such a one."""
        names = ((many, one) for many, one in self.rows.items() if array == many or array.endswith(f"_{many}"))
        return next((array.removesuffix(many) + one for many, one in names), None)

    def fresh(self, wish: str) -> str:
        """A name that nothing else has."""
        name, count = wish, self.counts.get(wish, 1)
        while name in self.taken or name in self.held:
            count += 1
            name = f"{wish}_{count}"
        self.counts[wish] = count
        self.taken.add(name)
        return name


class Body:
    """Prints nodes in order. ``keep`` are nodes that need a name of their own; ``sizes`` collects the dimensions that the text names.
    One that is ``fast`` to run rather than easy to read has float arguments of one precision."""

    fast = False

    def __init__(self, program: Program, names: Names, uses: Counter[Node], keep: Iterable[Node]) -> None:
        self.program, self.names, self.uses, self.keep = program, names, uses, set(keep)
        self.texts: dict[Node, Text] = {}
        self.emitted: set[Node] = set()
        self.lines: list[str] = []
        self.sizes: dict[str, None] = {}
        self.needs_dtype = False
        self._comment = ""
        self.annotated: set[Node] = set()
        self.raising: set[str] = set()
        self._risky: set[Node] = set()
        self._parts: dict[Node, dict[int, Node]] = {}
        self.whole: set[Node] = set()
        self._sums: dict[Node, Pieces] = {}
        self._pieces: set[Node] = set()
        self.depth = 0
        # what is still to be read of each node, by all that are counted in ``uses`` and by those that are being printed
        self.left, self.waiting = Counter(uses), Counter[Node]()
        self.made: dict[Node, None] = {}
        # within a turn: the carries that are variables, and the terms of sums, which the loops that make them add to the sums' variables
        self.carried: set[Node] = set()
        self.totals: dict[Node, str] = {}
        self.becomes: dict[Node | None, str] = {}
        # what stands outside for what a turn is given
        self.given: dict[Node, Node] = {}
        # what is done with a value as soon as there is one
        self.then: dict[Node, list[Callable[[str], str]]] = {}
        # sizes that only the turn of a loop has, and what they are called
        self.local: dict[Symbol, Dim] = {}

    def nested(self, uses: Counter[Node], whole: set[Node], notes: Notes) -> Body:
        """A body for the statements of a loop's turn, with this one's names and dimensions; what is ``whole`` is a right-hand side of its own."""
        told = replace(self.program, names=dict(notes.names), lines=dict(notes.lines), wishes=dict(notes.wishes))
        inner = self._another(told, uses)
        inner.sizes, inner.whole, inner.depth, inner.local = self.sizes, whole, self.depth + 1, dict(self.local)
        return inner

    def _another(self, program: Program, uses: Counter[Node]) -> Body:
        """A body of the same kind."""
        return Body(program, self.names, uses, ())

    @property
    def dtype(self) -> str:
        self.needs_dtype = True
        return self.names.dtype

    def dim(self, dim: Dim) -> str:
        dim = usual(dim).substitute(self.local)
        own = {symbol for each in self.local.values() for symbol in each.symbols()}
        self.sizes.update((symbol.name, None) for symbol in dim.symbols() if symbol not in own)
        return dim.text()

    def idle(self) -> set[str]:
        """The names of steps that nothing below reads, which a turn may use."""
        if self.depth:
            return set()
        alive = [node for node in self.texts if node in self.keep or node not in self.made or self.left[node] > 0 or self.waiting[node] > 0]
        # of rows a loop reads what they are rows of
        alive += [found[0] for node in alive if (found := rows(node)) is not None and found[0] in self.texts]
        # and pieces are made of what they are put together of, below
        waiting = [piece for node, of in self._sums.items() if node not in self.made for _, piece in of.terms]
        alive += [each for piece in waiting for each in (scalar_of(piece), *piece.args) if each in self.texts]
        read = {name for node in alive for name in _WORD.findall(self.texts[node].text)}
        return {text.text for node, text in self.texts.items() if node in self.made and text.text.isidentifier()} - read

    def needs_name(self, node: Node) -> bool:
        """Whether a node is more than a step on the way."""
        return node in self.keep or node in self.program.names

    def cotangent_name(self, node: Node) -> str | None:
        """What a cotangent is called after its primal."""
        primal = self.program.adjoints.get(node)
        if primal is None:
            return None
        of = primal.name if isinstance(primal, Input) else self.names.chosen.get(primal)
        return f"d{self.program.cotangents[0][0]}_d{of or word(primal)}"

    def shape(self, node: Node) -> str:
        if node.type.shape is None:
            return f"{self.texts[node].at(ATOM)}.shape"
        parts = [self.dim(each) for each in node.type.shape]
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"

    def bind(self, node: Node, text: str) -> None:
        self.texts[node] = Text(text)

    def emit(self, nodes: Iterable[Node]) -> None:
        """Print nodes, arguments first, but for those that are printed already."""
        nodes = [node for node in nodes if node not in self.emitted]
        self.emitted.update(nodes)
        self.keep |= kept_by_loops(nodes)
        for node in nodes:
            if isinstance(node, Apply) and node.op.name == "part":
                self._parts.setdefault(node.args[0], {})[place_of(node)] = node
        here = {*nodes} - self.texts.keys()
        sums, pieces = sums_of_pieces(nodes, lambda node: node in here and self.uses[node] == 1 and not self.needs_name(node))
        # beside those of the nodes that are being printed: a loop among them prints what it begins with
        self._sums |= sums
        self._pieces |= pieces
        self.whole |= {made.base for made in sums.values() if made.base is not None}
        self.waiting.update(arg for node in nodes for arg in node.args)
        for node in nodes:
            if isinstance(node, Const):
                self.texts[node] = number(node)
            elif isinstance(node, Apply):
                if node not in self.texts:
                    self._step(node)
                    self.made[node] = None
                self.left.subtract(node.args)
                self.waiting.subtract(node.args)
                for done in self.then.pop(node, ()):
                    if line := done(self.texts[node].text):
                        self._line(node, line)

    def _step(self, node: Apply) -> None:
        if node.op.nested:
            for line in LoopPrinter(self, node, self._parts.get(node, {})).lines():
                if line.startswith("for ") and turn_raises(node):
                    self._risky.add(node)
                self._line(node, line)
            self.texts[node] = Text("")
            return
        if node in self._pieces:
            self.texts[node] = Text("")
            return
        if node in self._sums:
            self._put_together(node, self._sums[node])
            return
        text = self._text(node)
        if node.op.raises or not self._risky.isdisjoint(node.args):
            self._risky.add(node)
        parts = self._parts.get(node, {})
        if len(parts) > 1 or (parts and node.op in IN_PARTS):
            self._unpack(node, text, parts)
            return
        if node not in self.keep and self._inlines(node, text):
            self.texts[node] = text
            return
        name = self.names.chosen.get(node) or self.names.give(node, self.wish(node))
        self._assign(node, name, text)
        self.texts[node] = Text(name)

    def _text(self, node: Apply) -> Text:
        """A step as a formula of its operands."""
        return node.op.emit(node, self._operands(node), self)

    def _assign(self, node: Apply, name: str, text: Text) -> None:
        """The statement of a step."""
        self._line(node, f"{name}{': NDArray[Any]' if node in self.annotated else ''} = {text.text}")

    def put(self, node: Node, target: str, text: str) -> str:
        """The statement that puts a value into a row of an array, or into a variable."""
        return f"{target} = {text}"

    def filled(self, lines: list[str]) -> list[str]:
        """The statements of a turn, those that put a value into a row of an array among them, as they are to stand."""
        return lines

    def _put_together(self, node: Apply, made: Pieces) -> None:
        """A sum of pieces: an array, and each piece put or added where it belongs."""
        self.begin(node, made.base)
        name = self.texts[node].text
        for i, (sign, piece) in enumerate(made.terms):
            place = items_text(piece, [self.texts[arg] for arg in piece.args[1:]], self)
            value = self.texts[scalar_of(piece)]
            first = made.base is None and i == 0
            self._line(node, f"{name}[{place}] = {value.text}" if first else accumulated(f"{name}[{place}]", sign, value))

    def begin(self, node: Node, base: Node | None, head: str | None = None) -> None:
        """The statements that make what pieces are to be put into: zeros, or an array, which keeps its name where it has one. Where all but a
        ``head`` will be written anew, only that is zero."""
        assert isinstance(node, Apply)
        if base is not None and self.texts[base].text.isidentifier():
            self.texts[node] = self.texts[base]
            return
        name = self.names.chosen.get(node) or self.names.give(node, self.wish(node))
        if isinstance(base, Apply):
            self._assign(base, name, self.texts[base])
        else:
            self._line(node, f"{name} = np.{'zeros' if head is None else 'empty'}({self.shape(node)}, dtype={self.dtype})")
            if head:
                self._line(node, f"{name}[{head}] = 0.0")
        self.bind(node, name)

    def _operands(self, node: Apply) -> list[Text]:
        """The texts of a node's arguments. Python, unlike NumPy, raises where a number is divided by the size of an empty batch."""
        texts = [self.texts[arg] for arg in node.args]
        assert node.op.name == "part" or all(each.text for each in texts), f"{node.op.name} of what has no text"
        if node.op.name == "divide" and node.type.weak and of_sizes(node.args[1]):
            texts[1] = _divisor(node.args[1], texts[1], self.program)
        return texts

    def _unpack(self, node: Apply, text: Text, parts: Mapping[int, Node]) -> None:
        """``w, V = np.linalg.eigh(A)``: an operation of several results, those that nobody uses as ``_``."""
        for i, part in parts.items():
            wish = self.program.wishes.get(part) or self.cotangent_name(part) or node.op.parts[i]
            self.texts[part] = Text(self.names.chosen.get(part) or self.names.give(part, wish))
        self.texts[node] = text
        names = [self.texts[parts[i]].text if i in parts else "_" for i in range(len(node.op.parts))]
        self._line(node, f"{', '.join(names)} = {text.text}")

    def _line(self, node: Apply, text: str) -> None:
        """A statement, under the line of the source that it belongs to."""
        line = self.program.lines.get(node)
        comment = f"# {line.text}" if line is not None else self._comment
        if comment != self._comment:
            self.lines.append(comment)
            self._comment = comment
        self.lines.append(text)
        if node in self._risky:
            self._risky.remove(node)
            self.raising.add(text)

    def _inlines(self, node: Apply, text: Text) -> bool:
        if node in self.whole or node.op.name in ("dimension", "size") or (text.text.isidentifier() and node not in self.program.names):
            return True
        wide = NUMBER_WIDTH if node.type.weak and node.type.shape == () else 0
        return node not in self.program.names and len(text.text) <= (INLINE_WIDTH if self.uses[node] <= 1 else wide)

    def _operand(self, node: Node) -> str:
        """What a name may say of an operand: a row of an array is called what the turn calls it."""
        text = self.texts[node].text
        return node.name if isinstance(node, Input) and not text.isidentifier() else text

    def wish(self, node: Node) -> str:
        """A cotangent is named after its primal, what a function named after that, anything else after what it does to what."""
        assert isinstance(node, Apply)
        if told := self.program.names.get(node) or self.program.wishes.get(node):
            return told
        if cotangent := self.cotangent_name(node):
            return cotangent
        return phrase(node, [self._operand(arg) for arg in node.args if arg in self.texts])


def _divisor(node: Node, text: Text, program: Program) -> Text:
    """A number that is made of sizes as what may be divided by: 1 for the size of what is empty, no number for another that is 0."""
    if isinstance(node, Const):
        return text if node.value else Text("1")
    size = node.attr("dim") if applies(node, "dimension") else None
    beyond = size.substitute(_beyond(program)) if isinstance(size, Dim) else None
    counts = applies(node, "size") or (beyond is not None and beyond.certain)
    if beyond is not None and counts and any(not monomial for monomial, _ in beyond.terms):
        return text
    bare = text.text[1:-1] if text.text.startswith("(") and text.text.endswith(")") else text.text
    return Text(f"max({bare}, 1)" if counts else f"({bare} or np.nan)")


def _beyond(program: Program) -> dict[Symbol, Dim]:
    """Every size that is checked to be so large at least, as that and what it is beyond it."""
    least: dict[Symbol, int] = {}
    for check in program.checks:
        if isinstance(check, Check) and check.relation == ">=" and check.left.single is not None and check.right.constant is not None:
            least[check.left.single] = max(least.get(check.left.single, 0), check.right.constant)
    return {symbol: Dim.of({(symbol,): 1, (): bound}) for symbol, bound in least.items()}


def words(text: str) -> list[str]:
    """The names in a text, without those of keyword arguments."""
    return [word for i, part in enumerate(text.split('"')) if i % 2 == 0 for word in NAME.findall(part)]


def accumulated(target: str, sign: int, value: Text) -> str:
    """The statement that adds a value to what is there, or takes it away."""
    if value.text.startswith("-") and value.level >= PRODUCT:
        sign, value = -sign, Text(value.text[1:])
    return f"{target} {'+' if sign > 0 else '-'}= {value.text}"


def live(lines: Sequence[str]) -> list[str]:
    """The lines without assignments that nothing below reads, and without comments over nothing."""
    read: set[str] = set()
    kept: list[str] = []
    for line in reversed(lines):
        target = _TARGETS.match(line)
        if target and read.isdisjoint(target[1].split(", ")):
            continue
        if line.startswith("#"):
            if kept and not kept[-1].startswith("#"):
                kept.append(line)
            continue
        read.update(_WORD.findall(code(line[target.end() :] if target else line)))
        kept.append(line)
    return kept[::-1]


def number(node: Const) -> Text:
    """A constant as Python writes it."""
    value = node.value
    if isinstance(value, float) and value != value:
        return Text("np.nan")
    if isinstance(value, float) and abs(value) == float("inf"):
        return Text("np.inf" if value > 0 else "-np.inf", ATOM if value > 0 else UNARY)
    return Text(repr(value).replace("e+", "e"), UNARY if value < 0 else ATOM)


def user_names(program: Program, reserved: Mapping[str, None], order: Iterable[Node]) -> Names:
    """The names that the source fixes for the nodes of a function; every other one gives way to them."""
    order = dict.fromkeys(order)
    called = {node: name for node in order if (name := program.names.get(node))}
    names = Names({*reserved, *(each.node.name for each in program.arguments), *(seed.name for _, seed in program.cotangents if seed in order)})
    names.taken |= {*called.values(), *(name for name, _ in program.outputs)}
    names.dtype = names.fresh("dtype")
    # an input may be called as a cotangent would be
    given = {each.node.name for each in program.arguments}
    for node, name in called.items():
        if name not in given:
            names.chosen[node] = name
            given.add(name)
    return names
