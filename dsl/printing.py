"""A program at any stage as text: an assignment a line, under the user's names. ``dsl/reading.py`` makes the program of it again.

A formula is written as a person would, wherever reading it gives this very node; otherwise its operation is applied by name, ``'spread'(dL, X)``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from string import punctuation
from typing import NamedTuple
from urllib.parse import quote

from dsl import syntax
from dsl.diagnostics import DslError, InternalError, Source
from dsl.elaborate import COMPARISONS, OPERATORS
from dsl.library import library
from dsl.nodes import Apply, Const, Input, Line, Node, Program, Walk, cotangent_names, topological
from dsl.notation import encoded
from dsl.ops.builtins import functions
from dsl.ops.core import Undecided
from dsl.ops.loops import Turn
from dsl.ops.spec import ATOM, COMPARE, LOWEST, POWER, PRODUCT, SUM, UNARY, Op, Text
from dsl.parse import parse_expression
from dsl.reading import Reader
from dsl.scope import Scope, Value
from dsl.types import Check, Dim, ShapeError
from dsl.values import array

WIDTH = 60
SIGNS = {**{name: sign for sign, name in OPERATORS.items()}, **{name: sign for sign, name in COMPARISONS.items()}}
LEVELS = {"+": SUM, "-": SUM, "**": POWER, **dict.fromkeys(COMPARISONS, COMPARE)}
# settings that a function takes by position, in its order; the others go by name
POSITIONAL = {"arange": ("start", "stop", "step"), "eye": ("rows", "columns", "k"), "reshape": ("shape",), "broadcast_to": ("shape",), "tile": ("reps",)}
# what stands for itself in a text within a text
PLAIN = "".join(each for each in " " + punctuation if each not in "%#'\"\\")
KEYWORDS = {"axes": "axis", "widths": "pad_width", "fill": "constant_values"}


class Form(NamedTuple):
    """How an operation may be written: ``{0}`` is its first argument, in brackets where that binds more loosely than ``at`` says."""

    template: str
    level: int = ATOM
    at: tuple[int, ...] = ()

    def text(self, args: Sequence[Text]) -> Text:
        levels = self.at + (LOWEST,) * (len(args) - len(self.at))
        return Text(self.template.format(*(arg.at(level) for arg, level in zip(args, levels, strict=True))), self.level)


def printed(product: syntax.Module | Program) -> str:
    """What a stage made, as text."""
    return product.source.text if isinstance(product, syntax.Module) else _Printer(product).text()


def rules_of(program: Program) -> dict[str, Op]:
    """The operations of rules, which stand in no table, by name."""
    nodes = topological([*program.names, *program.every_root])
    return {node.op.name: node.op for node in nodes if isinstance(node, Apply) and node.op.name.startswith("rule ")}


# settings ------------------------------------------------------------------------------------------------------------


def exact(value: object) -> str:
    """A setting such that it is read as just this: ``[N, 2]`` is a tuple of dimensions."""
    if isinstance(value, Turn):
        return exact(encoded(value))
    if isinstance(value, tuple) and value and all(isinstance(each, Dim) for each in value):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, tuple):
        return _tuple(map(exact, value))
    if isinstance(value, Dim):
        return str(value) if value.constant is None else f"'dim'({value})"
    return _number(value) if isinstance(value, float) else repr(value)


def usual(value: object) -> str:
    """A setting as a person writes it."""
    if isinstance(value, tuple):
        return usual(value[0]) if len(value) == 1 and isinstance(value[0], int) else _tuple(map(usual, value))
    return str(value) if isinstance(value, Dim) else exact(value)


def _tuple(parts: Iterable[str]) -> str:
    shown = list(parts)
    return f"({', '.join(shown)}{',' if len(shown) == 1 else ''})"


def _number(value: float) -> str:
    return repr(value) if abs(value) < float("inf") else "'nan'()" if value != value else "'inf'()" if value > 0 else "-'inf'()"


# operations ----------------------------------------------------------------------------------------------------------


def forms(node: Apply) -> Iterator[Form]:
    """The ways to write an operation, the best first; the last is always right."""
    name, settings = node.op.name, dict(node.attrs)
    places = [f"{{{i}}}" for i in range(len(node.args))]
    sign = SIGNS.get(name)
    if sign is not None:
        level = LEVELS.get(sign, PRODUCT)
        yield Form(f"{{0}} {sign} {{1}}", level, {POWER: (ATOM, UNARY), COMPARE: (SUM, SUM)}.get(level, (level, level + 1)))
    elif name == "negative":
        yield Form("-{0}", UNARY, (UNARY,))
    elif name == "dimension":
        yield Form(exact(settings["dim"]), LOWEST)
    elif name == "einsum":
        yield Form("{0} @ {1}", PRODUCT, (PRODUCT, UNARY)) if len(places) == 2 else Form("{0}.T", ATOM, (ATOM,))
        yield Form(f"outer({', '.join(places)})")
        yield Form(f"einsum({settings['spec']!r}, {', '.join(places)})")
    elif name == "index":
        yield Form(f"{{0}}[{', '.join(map(_item, _items(settings['items'])))}]", ATOM, (ATOM,))
    elif name == "cast":
        yield Form(f"astype({{0}}, {settings['dtype']!r})")
    elif name.startswith("rule ") and name[5:] in library():
        yield Form(f"{name[5:]}({', '.join(places[1:])})")
    elif name in functions() or name in library():
        yield from _calls(name, places, settings)
    shown = [f"{key}={exact(value)}" for key, value in settings.items()]
    yield Form(f"{name!r}({', '.join(places + shown)})")


def _calls(name: str, places: list[str], settings: dict[str, Hashable]) -> Iterator[Form]:
    """A function of the operation's name, with as few settings as may do."""
    keys = POSITIONAL.get(name, ())
    first = [usual(settings[key]) for key in keys]
    rest = [f"{KEYWORDS.get(key, key)}={usual(value)}" for key, value in settings.items() if key not in keys]
    axis = [each for each in rest if each.startswith("axis=")]
    for args in (places, [f"[{', '.join(places)}]"]):
        for given in ([], first[1:2], first[:1], first[:2], first, axis, first + rest):
            yield Form(f"{name}({', '.join(args + given)})")


def _items(value: Hashable) -> tuple[tuple[object, ...], ...]:
    assert isinstance(value, tuple)
    return value


def _item(item: tuple[object, ...]) -> str:
    """What stands between the brackets of an index."""
    kind, *rest = item
    if kind == "slice":
        start, stop, step = ("" if each is None else usual(each) for each in rest)
        return f"{start}:{stop}" + (f":{step}" if step != "1" else "")
    if kind == "array":
        return f"{{{int(str(rest[0])) + 1}}}"
    return "None" if kind == "newaxis" else usual(rest[0])


@cache
def _parsed(text: str) -> syntax.Expr:
    return parse_expression(Source("printed", text))


# programs ------------------------------------------------------------------------------------------------------------


class _Printer:
    """Gives every node a text, and those that need one a line."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.names = {**cotangent_names(program, program.fused_adjoints), **cotangent_names(program, program.adjoints), **program.names}
        adjoints = [node for pair in (*program.adjoints.items(), *program.fused_adjoints.items()) for node in pair]
        walked = [node for walk in program.walks for node in (*walk.sequences, *walk.given, *walk.added)]
        self.kept = {*program.names, *program.wishes, *program.every_root, *adjoints, *walked}
        self.order = topological([*program.names, *program.every_root, *adjoints, *walked])
        self.users: dict[Node, list[Node]] = {node: [] for node in self.order}
        for node in self.order:
            for arg in node.args:
                self.users[arg].append(node)
        dims = [dim for node in (*self.order, *(each.node for each in program.arguments)) for dim in node.type.shape or ()]
        self.dimensions = {symbol.name: Dim.symbol(symbol.name) for dim in dims for symbol in dim.symbols() if not symbol.flexible}
        self.reader = Reader({**self.dimensions, **{each.node.name: each.node for each in program.arguments}}, rules_of(program))
        self.texts: dict[Node, Text] = {}
        self.values: dict[Node, Value] = {}
        self.called: dict[Node, str] = {}
        self.told: set[Line] = set()
        self.taken = {*self.dimensions, *(each.node.name for each in program.arguments), *(node.name for _, node in program.cotangents)}
        self.taken |= {name for name, _ in program.outputs}
        self.owners = dict(program.outputs)

    def text(self) -> str:
        program = self.program
        forward = set(topological(node for _, node in program.outputs) if program.cotangents else self.order)
        above = [line for node in self.order if node in forward and (line := self.equation(node))]
        aliases = [f"{name} = {self.texts[node].text}" for name, node in program.outputs if self.called.get(node) != name]
        outputs = [f"output {', '.join(name for name, _ in program.outputs)}"]
        seeds = [f"input {node.name}: {node.type}" for _, node in program.cotangents]
        below = [line for node in self.order if node not in forward and (line := self.equation(node))]
        blocks = (self.head(), above + aliases, outputs, seeds, below, self.lists())
        return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"

    def head(self) -> list[str]:
        lines = [f"# {line}".rstrip() for line in self.program.docstring.split("\n")] if self.program.docstring else []
        lines += [f"dim {name} ~ {size}" for name, size in self.program.hints]
        for each in self.program.arguments:
            if each.node.role == "const":
                lines.append(f"const {each.node.name} = {exact(each.default)}")
            else:
                domain = "".join(f" {word}" for word in each.words) + (f" in {usual(each.low)}:{usual(each.high)}" if each.low is not None else "")
                lines.append(f"{each.node.role} {each.node.name}: {each.node.type}{domain}")
        return lines

    def lists(self) -> list[str]:
        """What a program holds beside its equations."""
        program = self.program
        lists: dict[str, Iterable[str]] = {
            "wrt": program.wrt,
            "gradients": (self.texts[node].text for _, node in program.gradients),
            "fused": (self.texts[node].text for _, node in program.fused),
            "alone": (self.texts[node].text for _, node in program.alone),
            "adjoints": self.pairs(program.adjoints),
            "fused_adjoints": self.pairs(program.fused_adjoints),
            "walks": map(self.walk, program.walks),
            "hastened": map(repr, program.hastened),
            "ways": map(repr, program.ways),
            "undifferentiated": [f"'{quote(printed(program.undifferentiated), PLAIN)}'"] if program.undifferentiated else [],
            "checks": (exact((each.left, each.relation, each.right, each.reason)) for each in program.checks if isinstance(each, Check)),
            "names": (_tuple((self.called[node], repr(str(name)))) for node, name in program.names.items()),
            "wishes": (_tuple((self.called[node], repr(name))) for node, name in program.wishes.items() if node in self.called),
        }
        return [f"_{key} = {text}" for key, parts in lists.items() if (text := _tuple(parts)) != "()"]

    def pairs(self, nodes: Mapping[Node, Node]) -> Iterable[str]:
        return (_tuple((self.texts[one].text, self.texts[other].text)) for one, other in nodes.items())

    def walk(self, walk: Walk) -> str:
        """A walk as data: its dimension, what it reads, what it adds up, what it writes row by row, and what it adds slices to."""
        sequences, kept, added = (_tuple(self.texts[node].text for node in nodes) for nodes in (walk.sequences, walk.kept, walk.added))
        return _tuple((exact(walk.dim), sequences, _tuple(self.pairs(dict(walk.totals))), kept, added))

    def equation(self, node: Node) -> str | None:
        """The text of a node, and its line where it has one of its own."""
        if isinstance(node, Const):
            shown = exact(node.value) if "inf" in self.taken else exact(node.value).replace("'inf'()", "inf")
            self.values[node], self.texts[node] = node.value, Text(shown, UNARY if shown.startswith("-") else ATOM)
        elif isinstance(node, Input):
            self.values[node], self.texts[node] = node, Text(node.name)
        elif isinstance(node, Apply):
            text, self.values[node] = self.written(node)
            line = self.program.lines.get(node)
            if node in self.kept or not self.inlines(node, text):
                self.values[node], self.texts[node] = node, Text(self.call(node))
                return f"{self.called[node]} = {text.text}{self.place(line)}"
            self.texts[node] = text
        return None

    def inlines(self, node: Apply, text: Text) -> bool:
        """Whether a value stands in the equation that uses it, and so on that one's line of the source."""
        once = len(self.users[node]) == 1 and len(text.text) <= WIDTH
        return (once or node.op.name == "dimension") and all(self.program.lines.get(user) == self.program.lines.get(node) for user in self.users[node])

    def written(self, node: Apply) -> tuple[Text, Value]:
        """The first form that is read as this node, and what it is read as: a node, or a dimension."""
        names = [Text(self.free(f"x{i}")) for i in range(len(node.args))]
        values = {name.text: self.values[arg] for name, arg in zip(names, node.args, strict=True)}
        for form in forms(node):
            try:
                value = self.reader.expression(_parsed(form.text(names).text), Scope(values, {}, self.reader.scope))
                if array(value) is node:
                    return form.text([self.texts[arg] for arg in node.args]), value
            except (DslError, ShapeError, Undecided):
                continue
        raise InternalError(f"`{node.op.name}` cannot be printed")

    def call(self, node: Apply) -> str:
        """A name for a node: the user's, unless it is another's."""
        name = self.names.get(node, f"v{len(self.called)}")
        self.called[node] = name if self.owners.get(name) is node else self.free(name)
        self.taken.add(self.called[node])
        return self.called[node]

    def free(self, name: str) -> str:
        """The name, numbered where it is taken."""
        found, count = name, 1
        while found in self.taken:
            count += 1
            found = f"{name}_{count}"
        return found

    def place(self, line: Line | None) -> str:
        """The line of the source that an equation belongs to; its text where it comes first."""
        if line is None:
            return ""
        new = line not in self.told
        self.told.add(line)
        return f"  # {line.number}: {line.text}" if new else f"  # {line.number}"
