"""Printed programs read back: what ``dsl/printing.py`` writes, to the very nodes that it was written from.

The text is .expr with two things more: ``'spread'(x, shape=[N])`` applies an operation that no function of the language gives, and lines such as
``_gradients = (dL_dW,)`` list what a program holds beside its equations. A comment behind an equation, ``# 4: Z = X @ W``, is the line of the source.
A whole program within such a list is a string, in which what would end that, or the line, is written as in an address: ``%0A``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from dsl import syntax
from dsl.diagnostics import InternalError, Source
from dsl.elaborate import Elaborator, Steps
from dsl.imports import declare_const
from dsl.library import library
from dsl.nodes import Apply, Declared, Line, Node, Program, Walk, apply, argument
from dsl.notation import decoded
from dsl.ops.builtins import operations
from dsl.ops.spec import Op
from dsl.parse import parse, parse_expression
from dsl.scope import RuleFunction, Scope, Value
from dsl.static import computed
from dsl.types import Check, Dim, Joined, Least, TensorType, as_dim
from dsl.values import array

NUMBERS = {"inf": math.inf, "nan": math.nan}
_EQUATION = re.compile(r"^(\w+) = (.*?)(?:  # (\d+)(?:: (.*))?)?$")


def static(expr: syntax.Expr) -> Any:
    """A setting: a number, a text, a dimension, a tuple; ``[N, 2]`` is a shape, and ``'dim'(2)`` the dimension that is 2."""
    if isinstance(expr, syntax.Literal):
        return expr.value
    if isinstance(expr, syntax.Name):
        return Dim.symbol(expr.id)
    if isinstance(expr, syntax.Unary):
        return -static(expr.operand)
    if isinstance(expr, syntax.Binary):
        return computed(expr.op, static(expr.left), static(expr.right))
    if isinstance(expr, syntax.TupleExpr):
        return tuple(map(static, expr.items))
    if isinstance(expr, syntax.ListExpr):
        return tuple(as_dim(static(each)) for each in expr.items)
    if isinstance(expr, syntax.Index):
        return Dim.symbol(expr.span.text, flexible=True)
    if isinstance(expr, syntax.Call):
        parts = [as_dim(static(each)) for each in expr.args]
        if isinstance(expr.function, syntax.Name):
            return Dim.atom(Joined(*parts) if expr.function.id == "max" else Least(*parts))
        name = static(expr.function)
        if name == "rows":
            return Dim.symbol(expr.span.text)
        return NUMBERS[name] if name in NUMBERS else parts[0]
    raise InternalError("a printed program has a setting that is none", expr.span)


def _unknown(name: syntax.Name, scope: Scope) -> Value:
    raise InternalError(f"a printed program has no {name.id}", name.span)


class Reader(Elaborator):
    """Elaborates expressions that may apply operations by name. ``rules`` are the operations of the user's rules."""

    def __init__(self, values: Mapping[str, Value], rules: Mapping[str, Op]) -> None:
        super().__init__(_unknown)
        self.rules = rules
        self.scope = Scope(values={**values}, parent=library().scope)

    def read(self, expr: syntax.Expr) -> Value:
        return self.expression(expr, self.scope)

    def operation(self, name: str) -> Op:
        rule = library().get(name.removeprefix("rule "))
        return self.rules.get(name) or (rule.op if isinstance(rule, RuleFunction) else operations()[name])

    def _call(self, expr: syntax.Call, scope: Scope) -> Steps:
        if not isinstance(expr.function, syntax.Literal):
            return (yield super()._call(expr, scope))
        name = str(expr.function.value)
        if name in NUMBERS or name == "rows":
            return static(expr)
        args = yield self._each(expr.args, scope)
        settings = {key: static(value) for key, value in expr.keywords}
        if "turn" in settings:
            settings["turn"] = decoded(settings["turn"], self.operation)
        return apply(self.operation(name), *map(array, args), **settings)


class _Text:
    """A printed program on its way to a ``Program``: everything up to the outputs, then the gradients."""

    def __init__(self, rules: Mapping[str, Op]) -> None:
        self.reader = Reader({}, rules)
        self.values = self.reader.scope.values
        self.arguments: list[Declared] = []
        self.hints: list[tuple[str, int]] = []
        self.lines: dict[Node, Line] = {}
        self.numbered: dict[int, Line] = {}
        self.seen: set[Node] = set()
        self.settings: dict[str, tuple[syntax.Expr, ...]] = {}

    def declare(self, statement: syntax.Statement) -> None:
        if isinstance(statement, syntax.ConstDeclare):
            self.arguments.append(declare_const(statement, static(statement.value)))
            self.values[statement.name.id] = self.arguments[-1].node
        elif isinstance(statement, syntax.DimDeclare) and statement.hint is not None:
            self.hints.append((statement.names[0].id, static(statement.hint)))
        elif isinstance(statement, syntax.Declare) and statement.type is not None:
            name, type = statement.names[0].id, statement.type
            unknown = len(type.dims) == 1 and isinstance(type.dims[0], syntax.Literal) and type.dims[0].value is ...
            shape = None if unknown else tuple(as_dim(static(each)) for each in type.dims)
            node = argument(name, statement.kind, TensorType(type.dtype, shape, like=(name,) if unknown else ()))
            bounds = [None if each is None else static(each) for each in (type.low, type.high)]
            self.arguments.append(Declared(node, type.words, *bounds))
            self.values[name] = node
            dims = [*(shape or ()), *(bound for bound in bounds if isinstance(bound, Dim))]
            self.values.update({symbol.name: Dim.symbol(symbol.name) for dim in dims for symbol in dim.symbols() if not symbol.flexible})

    def equations(self, lines: Iterable[re.Match[str]]) -> None:
        for target, text, number, source in (match.groups() for match in lines):
            expr = parse_expression(Source("printed", text))
            if target.startswith("_"):
                self.settings[target] = expr.items if isinstance(expr, syntax.TupleExpr) else ()
                continue
            value = self.reader.read(expr)
            if isinstance(expr, syntax.Name) and isinstance(value, Node):
                self.values[target] = value
                continue
            node = self.values[target] = array(value)
            if number is not None:
                self.numbered.setdefault(int(number), Line(int(number), source or "", None))
            self.place(node, None if number is None else self.numbered[int(number)])

    def place(self, node: Node, line: Line | None) -> None:
        """What an equation makes stands on its line."""
        stack = [node]
        while stack:
            each = stack.pop()
            if isinstance(each, Apply) and each not in self.seen:
                self.seen.add(each)
                stack += each.args
                if line is not None:
                    self.lines[each] = line

    def nodes(self, key: str) -> list[Node]:
        return [self.node(each) for each in self.settings.get(key, ())]

    def pairs(self, key: str) -> list[tuple[Node, syntax.Expr]]:
        """What stands in a list as ``(Z, …)``, a node first."""
        tuples = (each.items for each in self.settings.get(key, ()) if isinstance(each, syntax.TupleExpr))
        return [(array(self.reader.read(first)), second) for first, second in tuples]

    def walks(self) -> Iterator[Walk]:
        for dim, *parts in map(_items, self.settings.get("_walks", ())):
            sequences, totals, kept, added = map(_items, parts)
            pairs = ((self.node(node), self.node(part)) for node, part in map(_items, totals))
            yield Walk(as_dim(static(dim)), tuple(map(self.node, sequences)), tuple(pairs), tuple(map(self.node, kept)), tuple(map(self.node, added)))

    def node(self, expr: syntax.Expr) -> Node:
        return array(self.reader.read(expr))

    def adjoints(self, key: str) -> dict[Node, Node]:
        return {node: array(self.reader.read(primal)) for node, primal in self.pairs(key)}


def _items(expr: syntax.Expr) -> tuple[syntax.Expr, ...]:
    return expr.items if isinstance(expr, syntax.TupleExpr) else ()


def _parts(text: str) -> tuple[tuple[syntax.Statement, ...], str, list[re.Match[str]]]:
    """The declarations, the docstring, and the equations."""
    lines = [(line, _EQUATION.match(line)) for line in text.splitlines()]
    head = parse(Source("printed", "\n".join("" if match else line for line, match in lines) + "\n"))
    return head.statements, head.docstring, [match for _, match in lines if match]


def program_of(text: str, stem: str, rules: Mapping[str, Op] | None = None) -> Program:
    """The program that was printed. What a person was told of it, warnings and rewrites, is not in the text; nor is how the user's own
    ``rules`` are differentiated, which is given by the operations' names."""
    above, _, below = text.partition("\noutput ")
    names, _, below = below.partition("\n")
    made = _Text(rules or {})
    statements, docstring, equations = _parts(above + "\n")
    for statement in statements:
        made.declare(statement)
    made.equations(equations)
    outputs = tuple((name, array(made.values[name])) for name in names.split(", "))
    floats = [(name, node) for name, node in outputs if node.type.dtype == "float"]
    statements, _, equations = _parts(below)
    seeds = [each.id for statement in statements if isinstance(statement, syntax.Declare) for each in statement.names]
    cotangents = tuple((name, argument(seed, "cotangent", node.type)) for (name, node), seed in zip(floats, seeds, strict=False))
    made.values.update({node.name: node for _, node in cotangents})
    made.equations(equations)
    wrt = tuple(each.id for each in made.settings.get("_wrt", ()) if isinstance(each, syntax.Name))
    return Program(
        stem,
        docstring,
        tuple(made.arguments),
        outputs,
        {node: static(name) for node, name in made.pairs("_names")},
        made.lines,
        wrt,
        tuple(Check(as_dim(left), relation, as_dim(right), reason) for left, relation, right, reason in map(static, made.settings.get("_checks", ()))),
        tuple(made.hints),
        cotangents,
        tuple(zip(wrt, made.nodes("_gradients"), strict=False)),
        tuple(zip((outputs[0][0], *wrt), made.nodes("_fused"), strict=False)),
        made.adjoints("_adjoints"),
        made.adjoints("_fused_adjoints"),
        {node: static(name) for node, name in made.pairs("_wishes")},
        walks=tuple(made.walks()),
        hastened=tuple(map(static, made.settings.get("_hastened", ()))),
        ways=tuple(map(static, made.settings.get("_ways", ()))),
        undifferentiated=next((program_of(unquote(static(text)), stem, rules) for text in made.settings.get("_undifferentiated", ())), None),
        alone=tuple((name, node) for (name, _), node in zip(outputs, made.nodes("_alone"), strict=False)),
    )
