"""The graph: frozen, interned, typed nodes, so that equal computations are one object and identity is equality."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import TYPE_CHECKING, TypeGuard, TypeVar
from weakref import WeakValueDictionary

from dsl.diagnostics import Diagnostic, Span
from dsl.types import Dim, TensorType, proving

if TYPE_CHECKING:
    from dsl.ops.spec import Op

T = TypeVar("T")


class Node:
    """A value of the program. Compared and hashed by identity: build nodes only by ``const``, ``argument`` and ``apply``."""

    __slots__ = ("__weakref__", "args", "type")
    type: TensorType
    args: tuple[Node, ...]


class Const(Node):
    """A number of the source: a Python scalar in the generated code."""

    __slots__ = ("value",)
    value: float | int | bool


class Input(Node):
    """An argument of the generated function: ``role`` is input, param, const or cotangent."""

    __slots__ = ("name", "role")
    name: str
    role: str


class Nested(ABC):
    """A setting that holds a graph of its own, such as the turn of a loop."""

    @property
    @abstractmethod
    def made(self) -> tuple[Node, ...]:
        """The roots of the graph."""

    @abstractmethod
    def rebuilt(self, change: Callable[[Node], Node]) -> Nested:
        """The same with its graph rewritten."""


class Apply(Node):
    """An operation on nodes; ``attrs`` are its compile-time settings, sorted by name."""

    __slots__ = ("attrs", "op")
    op: Op
    attrs: tuple[tuple[str, Hashable], ...]

    def attr(self, name: str) -> object:
        for key, value in self.attrs:
            if key == name:
                return value
        raise KeyError(name)


_table: WeakValueDictionary[tuple[Hashable, ...], Node] = WeakValueDictionary()


def const(value: float | int | bool) -> Const:
    dtype = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "float"
    key = ("const", dtype, repr(value))
    found = _table.get(key)
    if not isinstance(found, Const):
        found = Const()
        found.value, found.args, found.type = value, (), TensorType(dtype, (), weak=True)
        _table[key] = found
    return found


def argument(name: str, role: str, type: TensorType) -> Input:
    key = ("input", name, role, type)
    found = _table.get(key)
    if not isinstance(found, Input):
        found = Input()
        found.name, found.role, found.args, found.type = name, role, (), type
        _table[key] = found
    return found


def apply(op: Op, *args: Node, **attrs: Hashable) -> Apply:
    """The operation on these arguments. Raises ShapeError where it refuses their types."""
    settings = tuple(sorted(attrs.items()))
    # Python takes 1, 1.0 and True for one key; as settings they are three
    kinds = tuple(type(value) for _, value in settings)
    key = (id(op), tuple(map(id, args)), settings, kinds)
    found = _table.get(key)
    if not isinstance(found, Apply):
        found = Apply()
        found.op, found.args, found.attrs = op, args, settings
        found.type = op.infer(tuple(arg.type for arg in args), dict(settings))
        _table[key] = found
    elif proving():
        # an earlier compilation left the node here; what its type rests on, this one must check too
        op.infer(tuple(arg.type for arg in args), dict(settings))
    return found


def topological(roots: Iterable[Node], known: Container[Node] = ()) -> list[Node]:
    """Every node below the roots, arguments first, in the order of their first use. What is ``known``, and what only that reads, is left out."""
    done: set[Node] = set()
    order: list[Node] = []
    stack: list[tuple[Node, Iterator[Node]]] = []
    for root in roots:
        if root in done or root in known:
            continue
        done.add(root)
        stack.append((root, iter(root.args)))
        while stack:
            node, rest = stack[-1]
            for arg in rest:
                if arg not in done and arg not in known:
                    done.add(arg)
                    stack.append((arg, iter(arg.args)))
                    break
            else:
                order.append(node)
                stack.pop()
    return order


def made_of(sources: Iterable[Node], order: Iterable[Node]) -> set[Node]:
    """Some nodes, and those of an order, arguments first, that anything of them goes into."""
    found = set(sources)
    for node in order:
        if not found.isdisjoint(node.args):
            found.add(node)
    return found


def of_sizes(node: Node) -> bool:
    """Whether a number is made of constants and the program's dimensions alone, so that no argument's entries can change it."""
    stack = [node]
    while stack:
        each = stack.pop()
        if isinstance(each, Input) or each.type.shape != () or not each.type.weak:
            return False
        stack += each.args
    return True


def rebuild(roots: Iterable[Node], change: Callable[[Node], Node], known: dict[Node, Node] | None = None) -> dict[Node, Node]:
    """Map every node below the roots: each is rebuilt upon its changed arguments, then given to ``change``. What is ``known`` stays so; the
    rest is added to it."""
    mapped = {} if known is None else known
    for node in topological(roots, mapped):
        new = node
        if isinstance(node, Apply):
            args = tuple(mapped[arg] for arg in node.args)
            if node.op.nested:
                inner = {key: value.rebuilt(change) if isinstance(value, Nested) else value for key, value in node.attrs}
                new = apply(node.op, *args, **inner)
            elif any(a is not b for a, b in zip(args, node.args, strict=True)):
                new = apply(node.op, *args, **dict(node.attrs))
        mapped[node] = change(new)
    return mapped


def substituted(roots: Iterable[Node], values: Mapping[Node, Node]) -> dict[Node, Node]:
    """Map every node below the roots, where some nodes stand for others."""
    return rebuild(roots, lambda node: node, dict(values))


@dataclass(frozen=True)
class Line:
    """A statement of the source: the number of its first line, its text as one line, and the place that a diagnostic shows."""

    number: int
    text: str
    span: Span | None = field(compare=False)

    @classmethod
    def of(cls, span: Span) -> Line:
        """The line of a statement, without its comments. (An assignment's span ends where its expression does, before a closing bracket.)"""
        source = span.source
        last = source.position(max(span.start, span.end - 1))[0]
        lines = [_UNCOMMENTED.match(source.line(number)) for number in range(span.line, last + 1)]
        return cls(span.line, " ".join(match[0].strip() for match in lines if match), span)


_UNCOMMENTED = re.compile(r"""(?:"[^"]*"|'[^']*'|[^#"'])*""")


@dataclass(frozen=True)
class Notes:
    """What a reader is told of the nodes of a loop's turn, in the order in which these were written: the user's ``names`` for them, the
    ``lines`` that they stand on, and ``wishes``, what else has a name for them."""

    names: tuple[tuple[Node, str], ...] = ()
    lines: tuple[tuple[Node, Line], ...] = ()
    wishes: tuple[tuple[Node, str], ...] = ()

    @classmethod
    def of(cls, roots: Iterable[Node], names: Mapping[Node, str], lines: Mapping[Node, Line], wishes: Mapping[Node, str]) -> Notes:
        """What is told of operations below the roots."""
        made = {node for node in topological(roots) if isinstance(node, Apply)}
        return cls(_told(names, made), _told(lines, made), _told(wishes, made))

    def mapped(self, mapped: Mapping[Node, Node], roots: Iterable[Node]) -> Notes:
        """The same of what took these nodes' places, below the roots."""
        lines: dict[Node, Line] = {}
        for node, line in self.lines:
            if node in mapped:
                put_on_line(mapped[node], line, lines)
        return Notes.of(roots, _renamed(self.names, mapped), lines, _renamed(self.wishes, mapped))

    def joined(self, other: Notes) -> Notes:
        """What either tells, this one first."""
        return Notes(_first(self.names + other.names), _first(self.lines + other.lines), _first(self.wishes + other.wishes))

    @property
    def called(self) -> dict[Node, str]:
        """Every name that is known."""
        return {**dict(self.wishes), **dict(self.names)}


def _told(given: Mapping[Node, T], made: Container[Node]) -> tuple[tuple[Node, T], ...]:
    return tuple((node, each) for node, each in given.items() if node in made)


def _first(pairs: Iterable[tuple[Node, T]]) -> tuple[tuple[Node, T], ...]:
    """The first of what is told of each node."""
    found: dict[Node, T] = {}
    for node, each in pairs:
        found.setdefault(node, each)
    return tuple(found.items())


def _renamed(names: Iterable[tuple[Node, str]], mapped: Mapping[Node, Node]) -> dict[Node, str]:
    return dict(_first((mapped[node], name) for node, name in names if node in mapped))


@dataclass(frozen=True)
class Rewrite:
    """What the optimiser put in place of what was written, and the line where that stands."""

    line: Line | None
    before: str
    after: str


@dataclass(frozen=True, eq=False, slots=True)
class Piece:
    """One operation as it was written: ``title`` is what is applied, ``values`` the nodes that it makes, ``operands`` those that it is given,
    or the text of a number, a function, an index, ``settings`` its keywords' other values. ``calls`` are the user's functions that it stands
    in, each with the call's place, the outermost first; ``line`` is the statement."""

    title: str
    span: Span
    values: tuple[Node, ...]
    operands: tuple[Node | str, ...]
    settings: tuple[str, ...]
    calls: tuple[tuple[str, Span], ...]
    line: Line


@dataclass(frozen=True, eq=False)
class Written:
    """The program as a person wrote it, for views of it: no pass reads or changes it. ``names`` are all that the source has, those within
    functions too."""

    pieces: tuple[Piece, ...] = ()
    names: Mapping[Node, str] = field(default_factory=dict)
    outputs: tuple[tuple[str, Node], ...] = ()


@dataclass(frozen=True)
class Declared:
    """An argument as the user declared it: the node, domain words, range, the default of a const, and the place."""

    node: Input
    words: tuple[str, ...] = ()
    low: Hashable = None
    high: Hashable = None
    default: float | int | None = None
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Walk:
    """A pass over the rows along a dimension, a block at a time. Of the ``sequences`` a block takes its rows; ``totals`` pairs each node that is
    a sum over all rows with what a block gives to it; ``kept`` are the nodes that are written row by row, and ``added`` those that are sums of
    slices, or one, to which a block adds its rows (see ``slices_of`` in calculus/pieces.py)."""

    dim: Dim
    sequences: tuple[Node, ...]
    totals: tuple[tuple[Node, Node], ...]
    kept: tuple[Node, ...]
    added: tuple[Node, ...] = ()

    @property
    def given(self) -> tuple[Node, ...]:
        """What a block gives."""
        return (*(part for _, part in self.totals), *self.kept)


@dataclass(frozen=True)
class Way:
    """What ``value_and_grad`` may do instead: the ``name`` of the function, what is ``said`` of it, whether all is ``double`` in it, whether its value
    and gradients must be ``finite`` to be taken, and how many entries of arrays are ``spared``, which must be many; None where it is worth a try for few."""

    name: str
    said: str
    double: bool = False
    finite: bool = False
    spared: Dim | None = None


@dataclass(frozen=True)
class Program:
    """A whole program at any stage.

    ``outputs`` are the nodes that ``forward`` returns by name; ``names`` and ``lines`` say what the user called a node and where it was
    made, ``wishes`` what a function called a node that it made; ``warnings`` are for the person who compiles. Once differentiated,
    ``cotangents`` holds an Input for each float output, ``gradients`` a node for each name in ``wrt``, and ``fused`` what ``value_and_grad``
    makes where the first output is scalar: that output, and the gradients with its cotangent 1 worked in. ``adjoints`` and
    ``fused_adjoints`` tell the primal that a cotangent on the way to either belongs to, ``walks`` what of the fused graph is computed a
    block of rows at a time, and ``hastened`` says in words what else was done to it. ``alone`` is what ``value`` returns, where that is
    cheaper without what forward makes for backward. ``ways`` name the passes that know of another graph for ``value_and_grad``
    (passes/moments.py, passes/logsums.py), some of what it was ``undifferentiated``; that graph is a program of its own, with its ``way``, and
    with ``guards``, which are what it asks first. ``written`` is the source's own
    way to say it, and ``origins`` tells which of its pieces a node stands for, by number.
    """

    stem: str
    docstring: str
    arguments: tuple[Declared, ...]
    outputs: tuple[tuple[str, Node], ...]
    names: Mapping[Node, str]
    lines: Mapping[Node, Line]
    wrt: tuple[str, ...]
    checks: tuple[Hashable, ...] = ()
    hints: tuple[tuple[str, int], ...] = ()
    cotangents: tuple[tuple[str, Input], ...] = ()
    gradients: tuple[tuple[str, Node], ...] = ()
    fused: tuple[tuple[str, Node], ...] = ()
    adjoints: Mapping[Node, Node] = field(default_factory=dict)
    fused_adjoints: Mapping[Node, Node] = field(default_factory=dict)
    wishes: Mapping[Node, str] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    written: Written = field(default_factory=Written, compare=False)
    origins: Mapping[Node, tuple[int, ...]] = field(default_factory=dict, compare=False)
    walks: tuple[Walk, ...] = ()
    hastened: tuple[str, ...] = field(default=(), compare=False)
    alone: tuple[tuple[str, Node], ...] = ()
    ways: tuple[str, ...] = ()
    undifferentiated: Program | None = field(default=None, compare=False)
    way: Way | None = None
    guards: tuple[Node, ...] = ()

    @property
    def roots(self) -> tuple[Node, ...]:
        return tuple(node for _, node in self.outputs) + tuple(node for _, node in self.gradients) + self.guards

    @property
    def every_root(self) -> tuple[Node, ...]:
        """The roots, those of the graph with the cotangent 1 worked in, and what ``value`` returns."""
        return self.roots + tuple(node for _, node in self.fused) + tuple(node for _, node in self.alone)


def cotangent_names(program: Program, adjoints: Mapping[Node, Node]) -> dict[Node, str]:
    """``dL_dW`` for the cotangents of what the user named; of an argument's, for the whole of it."""
    called: dict[Node, str] = {}
    wholes = {*program.gradients, *program.fused}
    for node, primal in adjoints.items():
        name = primal.name if isinstance(primal, Input) else program.names.get(primal)
        if name is not None and (name not in program.wrt or (name, node) in wholes):
            called[node] = f"d{program.cotangents[0][0]}_d{name}"
    return called


def applies(node: Node, *names: str) -> TypeGuard[Apply]:
    """Whether a node is one of these operations upon something."""
    return isinstance(node, Apply) and node.op.name in names


def is_view(node: Node) -> TypeGuard[Apply]:
    """Whether a node has the entries of its first argument, moved about, repeated or left out."""
    return isinstance(node, Apply) and node.op.view


def moved(node: Node, moves: Sequence[Apply]) -> Node:
    """A node moved about as another was, by the last of the ``moves`` first."""
    for move in reversed(moves):
        node = apply(move.op, node, *move.args[1:], **dict(move.attrs))
    return node


def unused(wish: str, taken: Container[str]) -> str:
    """A name that nothing has: the wish, or that with a number."""
    return next(name for name in chain((wish,), (f"{wish}_{i}" for i in count(2))) if name not in taken)


def put_on_line(node: Node, line: Line, lines: dict[Node, Line]) -> None:
    """A node, and whatever below it stands on no line yet, on a line of the source."""
    stack = [node]
    while stack:
        each = stack.pop()
        if isinstance(each, Apply) and each not in lines:
            lines[each] = line
            stack += each.args


def remapped(program: Program, mapped: Mapping[Node, Node]) -> Program:
    """The program with every node below its roots replaced. A new node takes the name and the line of the one that it stands for."""
    names: dict[Node, str] = {}
    lines: dict[Node, Line] = {}
    wishes: dict[Node, str] = {}
    origins: dict[Node, tuple[int, ...]] = {}
    for node, new in mapped.items():
        if node in program.origins:
            origins[new] = origins.get(new, ()) + program.origins[node]
        if node in program.wishes:
            wishes.setdefault(new, program.wishes[node])
        if node in program.lines:
            put_on_line(new, program.lines[node], lines)
        if isinstance(new, Apply):
            if node in program.names:
                names.setdefault(new, program.names[node])
    return replace(
        program,
        outputs=tuple((name, mapped[node]) for name, node in program.outputs),
        gradients=tuple((name, mapped[node]) for name, node in program.gradients),
        fused=tuple((name, mapped[node]) for name, node in program.fused),
        alone=tuple((name, mapped[node]) for name, node in program.alone),
        guards=tuple(mapped[node] for node in program.guards),
        adjoints=_mapped_adjoints(program.adjoints, mapped),
        fused_adjoints=_mapped_adjoints(program.fused_adjoints, mapped),
        names=names,
        lines=lines,
        wishes=wishes,
        origins=origins,
    )


def fused_only(program: Program) -> Program:
    """The fused graph as a program: its value and gradients are the outputs and the gradients."""
    return replace(program, outputs=program.fused[:1], gradients=program.fused[1:], adjoints=program.fused_adjoints, fused=(), fused_adjoints={}, alone=())


def with_fused(program: Program, only: Program) -> Program:
    """The program with a fused graph that a pass has changed, and the others as they are."""
    return replace(_told_of(program, only), fused=only.outputs + only.gradients, fused_adjoints=only.adjoints, guards=only.guards)


def value_only(program: Program) -> Program:
    """What ``value`` returns as a program, where it has a graph of its own."""
    return replace(program, outputs=program.alone, gradients=(), adjoints={}, fused=(), fused_adjoints={}, alone=())


def with_value(program: Program, only: Program) -> Program:
    """The program with a graph of ``value`` that a pass has changed, and the others as they are."""
    return replace(_told_of(program, only), alone=only.outputs)


def _told_of(program: Program, only: Program) -> Program:
    """The program, which also says of the nodes of one of its graphs what this does."""
    return replace(
        program,
        names={**program.names, **only.names, **program.names},
        lines={**program.lines, **only.lines, **program.lines},
        wishes={**program.wishes, **only.wishes, **program.wishes},
        origins={**program.origins, **only.origins, **program.origins},
    )


def _mapped_adjoints(adjoints: Mapping[Node, Node], mapped: Mapping[Node, Node]) -> dict[Node, Node]:
    new: dict[Node, Node] = {}
    for node, primal in adjoints.items():
        if node in mapped:
            new.setdefault(mapped[node], mapped.get(primal, primal))
    return new
