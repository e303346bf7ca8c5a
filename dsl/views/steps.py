"""A program as the composition of steps that a person reads: N = X @ W, S = sigmoid(N), L = sum(S).

A step is one operation of the source. A function of the library is one step, and so is a rule; a call of the user's own function is the steps of
its body. Steps are numbered from 1 in the order in which they are computed, and every view marks what belongs to one with
``data-step="<number>"``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count

from dsl.diagnostics import Span
from dsl.nodes import Const, Input, Line, Node, Piece, Program, rebuild
from dsl.ops.aliases import unnamed

LOOPS = ("fold", "scan", "map")


@dataclass(frozen=True)
class Operand:
    """What a step is given: its name, or the text of a number, an index, a function; the step that makes it, where one does; the node, where it
    is an array."""

    name: str
    step: int | None
    node: Node | None


@dataclass(frozen=True)
class Call:
    """A user's function that a step stands in, and the place of its call."""

    name: str
    span: Span


@dataclass(frozen=True)
class Step:
    """One operation as it was written.

    ``names`` are what its results are called, by the user where ``named``; ``nodes`` are these results, in the graph as the source has it;
    ``name`` and ``node`` are the first. ``title`` is what is applied: ``@``, ``+``, ``[]``, ``T``, or a function's name; ``settings`` are what
    else it is told, such as ``axis=0``. ``spans`` are the places where this very operation is written, the first of them ``span``; ``line`` is
    the statement, ``calls`` the user's functions that it stands in, the outermost first. A step of a loop's turn has the loop's number as
    ``inside``. ``pieces`` are the numbers that it has in ``Program.origins``.
    """

    number: int
    names: tuple[str, ...]
    named: bool
    title: str
    operands: tuple[Operand, ...]
    settings: tuple[str, ...]
    nodes: tuple[Node, ...]
    spans: tuple[Span, ...]
    line: Line
    calls: tuple[Call, ...]
    inside: int | None
    pieces: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def node(self) -> Node:
        return self.nodes[0]

    @property
    def span(self) -> Span:
        return self.spans[0]

    @property
    def shape(self) -> str:
        """Its shape as a declaration has it: ``[N, K]``, ``int[N]``."""
        return str(self.node.type)

    @property
    def text(self) -> str:
        """The operation on its operands' names, as the language writes it: ``sum(S)``."""
        return written(self.title, [each.name for each in self.operands], self.settings)

    def within(self, source_name: str) -> Span:
        """Its place in one file: where it stands in a function of another file, the place of the call that leads there."""
        places = [self.span, *(each.span for each in reversed(self.calls))]
        return next((each for each in places if each.source.name == source_name), self.span)


@dataclass(frozen=True)
class Composition:
    """A program's steps, its arguments, and the outputs with the number of the step that makes each (None for an argument)."""

    program: Program
    arguments: tuple[Input, ...]
    steps: tuple[Step, ...]
    outputs: tuple[tuple[str, int | None], ...]

    def of(self, number: int) -> Step:
        return self.steps[number - 1]

    def standing_for(self, node: Node) -> tuple[int, ...]:
        """The steps that a node of the program, at whatever stage that is, stands for."""
        return tuple(dict.fromkeys(self._of_piece[i] for i in self.program.origins.get(node, ()) if i in self._of_piece))

    @cached_property
    def _of_piece(self) -> dict[int, int]:
        return {i: step.number for step in self.steps for i in step.pieces}


def composition(program: Program) -> Composition:
    """The steps of a program at any stage, those that its outputs are made of."""
    made = program.written
    roots = [*(node for _, node in made.outputs), *(node for piece in made.pieces for node in _nodes(piece))]
    clean = rebuild(roots, unnamed)
    called = {clean.get(node, node): name for node, name in reversed(list(made.names.items()))}
    kept = _needed(_distinct(made.pieces, clean), [clean[node] for _, node in made.outputs])
    numbers = {each.piece.span: number for number, each in enumerate(kept, 1) if each.piece.title in LOOPS}
    arguments = tuple(each.node for each in program.arguments)
    names = _Names([*(each.name for each in arguments), *called.values(), *(name for name, _ in made.outputs), *_sizes(program)])
    steps: list[Step] = []
    maker: dict[Node, int] = {}
    texts: dict[Node, str] = {each: each.name for each in arguments}
    for number, each in enumerate(kept, 1):
        piece, nodes = each.piece, each.piece.values
        shown = tuple(names.user(called[node]) if node in called else names.made(piece.title) for node in nodes)
        operands = tuple(_operand(one, texts, maker) for one in piece.operands)
        inside = next((numbers[span] for _, span in reversed(piece.calls) if span in numbers), None)
        calls = tuple(Call(*one) for one in piece.calls)
        named = nodes[0] in called
        steps.append(Step(number, shown, named, piece.title, operands, piece.settings, nodes, each.spans, piece.line, calls, inside, each.indices))
        for node, name in zip(nodes, shown, strict=True):
            maker.setdefault(node, number)
            texts.setdefault(node, name)
    outputs = tuple((name, maker.get(clean[node])) for name, node in made.outputs)
    return Composition(program, arguments, tuple(steps), outputs)


def _nodes(piece: Piece) -> Iterator[Node]:
    yield from piece.values
    yield from (each for each in piece.operands if isinstance(each, Node))


@dataclass(frozen=True)
class _Distinct:
    """Pieces that are one operation: their numbers and places, and the first of them."""

    piece: Piece
    indices: tuple[int, ...]
    spans: tuple[Span, ...]


def _distinct(pieces: Sequence[Piece], clean: Mapping[Node, Node]) -> list[_Distinct]:
    """One piece for each value, with the places of all that are the same. What only hands on an operand is none."""
    found: dict[Node, _Distinct] = {}
    for i, piece in enumerate(pieces):
        values = tuple(clean[node] for node in piece.values)
        operands = tuple(each if isinstance(each, str) else clean[each] for each in piece.operands)
        if known := found.get(values[0]):
            spans = known.spans if piece.span in known.spans else (*known.spans, piece.span)
            found[values[0]] = replace(known, indices=(*known.indices, i), spans=spans)
        elif values[0] not in operands:
            found[values[0]] = _Distinct(replace(piece, values=values, operands=operands), (i,), (piece.span,))
    return list(found.values())


def _needed(pieces: Sequence[_Distinct], outputs: Iterable[Node]) -> list[_Distinct]:
    """The pieces that the outputs are made of: through operands, and through the turns of loops."""
    maker = {node: each for each in pieces for node in each.piece.values}
    bodies: dict[Span, list[_Distinct]] = {}
    for each in pieces:
        for _, span in each.piece.calls:
            bodies.setdefault(span, []).append(each)
    stack, needed = [maker[node] for node in outputs if node in maker], set[int]()
    while stack:
        each = stack.pop()
        if each.indices[0] in needed:
            continue
        needed.add(each.indices[0])
        stack += [maker[one] for one in each.piece.operands if isinstance(one, Node) and one in maker]
        stack += bodies.get(each.piece.span, []) if each.piece.title in LOOPS else []
    return [each for each in pieces if each.indices[0] in needed]


def _operand(each: Node | str, texts: Mapping[Node, str], maker: Mapping[Node, int]) -> Operand:
    if isinstance(each, str):
        return Operand(each, None, None)
    if isinstance(each, Const):
        return Operand(f"{each.value}", None, None)
    name = texts.get(each) or (each.name if isinstance(each, Input) else "…")
    return Operand(name, maker.get(each), each)


def _sizes(program: Program) -> list[str]:
    """The names of dimensions: a step that has none of its own does not take one of these."""
    types = [each.node.type for each in program.arguments]
    return [symbol.name for type in types for dim in type.shape or () for symbol in dim.symbols()]


def short_names(made: Composition) -> Mapping[str, str]:
    """Letters for the dimensions of undeclared arguments: X.shape[0] is n."""
    taken = {name for step in made.steps for name in step.names} | {each.name for each in made.arguments}
    letters = (each for each in "ndkmpqrstuvwabcefgh" if each not in taken)
    found: dict[str, str] = {}
    for each in made.arguments:
        for dim in each.type.shape or ():
            for symbol in dim.symbols():
                if symbol.flexible and symbol.name not in found:
                    found[symbol.name] = next(letters, symbol.name)
    return found


class _Names:
    """Names for steps: the user's, numbered where a function is called again; else a capital letter of what is applied, N for a product."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = set(taken)
        self.given: set[str] = set()
        self.last: dict[str, int] = {}

    def user(self, name: str) -> str:
        """The name, or its next number."""
        free = name if name not in self.given else self.numbered(name, 2)
        self.given.add(free)
        return free

    def made(self, title: str) -> str:
        letters = _LETTERS.get(title) or next((each.upper() for each in title if each.isalpha()), "A")
        free = next((each for each in letters if each not in self.taken and each not in self.given), None)
        name = free or self.numbered(letters[0], 1 if letters[0] in self.taken else 2)
        self.given.add(name)
        return name

    def numbered(self, name: str, first: int) -> str:
        """The name with the next number that is free."""
        numbers = count(self.last.get(name, first))
        self.last[name] = next(i for i in numbers if f"{name}_{i}" not in self.taken and f"{name}_{i}" not in self.given)
        return f"{name}_{self.last[name]}"


_LETTERS = {"@": "NMP", "+": "A", "-": "D", "*": "M", "/": "Q", "//": "Q", "**": "P", "%": "R", "[]": "I", "T": "T"}
_LETTERS |= dict.fromkeys(("<", "<=", ">", ">=", "==", "!=", "and", "or", "not"), "C")
_INFIX = ("@", "+", "-", "*", "/", "//", "**", "%", "and", "or", "<", "<=", ">", ">=", "==", "!=")


def written(title: str, operands: Sequence[str], settings: Sequence[str] = ()) -> str:
    """An operation on names, as the language writes it."""
    if title in _INFIX and len(operands) == 2:
        return f"{operands[0]}{title}{operands[1]}" if title == "**" else f"{operands[0]} {title} {operands[1]}"
    if title in ("-", "not"):
        return f"-{operands[0]}" if title == "-" else f"not {operands[0]}"
    if title == "T":
        return f"{operands[0]}.T"
    if title == "[]":
        return f"{operands[0]}[{', '.join((*operands[1:], *settings))}]"
    return f"{title}({', '.join((*operands, *settings))})"


__all__ = ["LOOPS", "Call", "Composition", "Operand", "Step", "composition", "short_names", "written"]
