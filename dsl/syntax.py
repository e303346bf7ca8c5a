"""The syntax tree: what was written, with its places. Frozen data and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace

from dsl.diagnostics import Source, Span

KINDS = ("float", "int", "bool")
DOMAINS = ("real", "positive", "nonnegative", "unit", "nonsingular", "spd", "symmetric", "triangular")


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    span: Span = field(repr=False)


class Expr(Node):
    __slots__ = ()


def spanning(expr: Expr, span: Span) -> Expr:
    """An expression with the brackets around it."""
    return replace(expr, span=span)


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Expr):
    """A number, ``True``, ``False``, ``None``, a string, or ``...``."""

    value: object


@dataclass(frozen=True, slots=True, eq=False)
class Name(Expr):
    id: str


@dataclass(frozen=True, slots=True, eq=False)
class Unary(Expr):
    """``op`` is ``-``, ``+`` or ``not``."""

    op: str
    operand: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Binary(Expr):
    """``op`` is an arithmetic operator, ``and`` or ``or``."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Compare(Expr):
    """A chain: ``a < b <= c`` has two operators and three operands."""

    ops: tuple[str, ...]
    operands: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, eq=False)
class IfElse(Expr):
    """``then if condition else other``."""

    condition: Expr
    then: Expr
    other: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Call(Expr):
    """``function`` is a Name, or an Attribute for a method call."""

    function: Expr
    args: tuple[Expr, ...]
    keywords: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Attribute(Expr):
    value: Expr
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Slice(Expr):
    start: Expr | None
    stop: Expr | None
    step: Expr | None


@dataclass(frozen=True, slots=True, eq=False)
class Index(Expr):
    """``value[items]``; an item is a Slice, ``Literal(...)``, ``Literal(None)`` or an expression."""

    value: Expr
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ListExpr(Expr):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TupleExpr(Expr):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TypeExpr(Node):
    """``int[N] in 0:K``, ``[D, D] spd``: ``dtype`` is float, int or bool; ``words`` the domain's names."""

    dtype: str
    dims: tuple[Expr, ...]
    words: tuple[str, ...]
    low: Expr | None
    high: Expr | None


class Statement(Node):
    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class Declare(Statement):
    """``input`` or ``param``; ``type`` is None where the rank is to be inferred."""

    kind: str
    names: tuple[Name, ...]
    type: TypeExpr | None


@dataclass(frozen=True, slots=True, eq=False)
class ConstDeclare(Statement):
    name: Name
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class DimDeclare(Statement):
    """``dim N``, ``dim D = 64`` (value) or ``dim N ~ 100_000`` (hint)."""

    names: tuple[Name, ...]
    value: Expr | None
    hint: Expr | None


@dataclass(frozen=True, slots=True, eq=False)
class Assign(Statement):
    """``pattern`` is a Name, or a tuple of what the parts of a tuple are assigned to; ``targets`` are its names."""

    pattern: Pattern
    value: Expr

    @property
    def unpack(self) -> bool:
        return not isinstance(self.pattern, Name)

    @property
    def targets(self) -> tuple[Name, ...]:
        found: list[Name] = []
        stack: list[Pattern] = [self.pattern]
        while stack:
            each = stack.pop()
            if isinstance(each, Name):
                found.append(each)
            else:
                stack += reversed(each)
        return tuple(found)


Pattern = Name | tuple["Pattern", ...]


@dataclass(frozen=True, slots=True, eq=False)
class Param(Node):
    """A parameter: a name or a (nested) tuple of names, and a default."""

    target: Pattern
    default: Expr | None


@dataclass(frozen=True, slots=True, eq=False)
class Def(Statement):
    """A function; ``inline`` for the one-line form. ``result`` is what it returns."""

    name: Name
    params: tuple[Param, ...]
    body: tuple[Assign, ...]
    result: Expr
    inline: bool


@dataclass(frozen=True, slots=True, eq=False)
class Import(Statement):
    module: str
    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Output(Statement):
    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RuleLine(Node):
    """A line of a rule. ``key`` is value, d, vjp, latex, numpy, domain, doc, kink or family; ``argument`` the x of ``d/dx``, ``vjp x``
    and ``domain x``. ``body`` is an expression (value, d, vjp), a string (latex, numpy, doc, family, kink), or a TypeExpr (domain, dims empty)."""

    key: str
    argument: str
    body: Expr | TypeExpr | str


@dataclass(frozen=True, slots=True, eq=False)
class Rule(Statement):
    name: Name
    params: tuple[Param, ...]
    out: Name
    lines: tuple[RuleLine, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Comment:
    """A comment with its place: ``own_line`` tells one that stands alone from one behind code."""

    span: Span
    text: str
    own_line: bool


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """A whole file: statements in order, the first comment block as docstring, every comment for the formatter."""

    source: Source
    docstring: str
    statements: tuple[Statement, ...]
    comments: tuple[Comment, ...]


def walk(tree: object) -> Iterator[Node]:
    """A node and every node below it."""
    stack = [tree]
    while stack:
        each = stack.pop()
        if isinstance(each, tuple):
            stack += each
        elif isinstance(each, Node):
            yield each
            stack += [getattr(each, field.name) for field in fields(each) if field.name != "span"]


def operands(expr: Expr) -> tuple[Expr, ...]:
    """What an operator or a call is applied to."""
    if isinstance(expr, Binary):
        return expr.left, expr.right
    if isinstance(expr, ListExpr):
        return expr.items
    if isinstance(expr, Call):
        if len(expr.args) == 1 and isinstance(expr.args[0], (ListExpr, TupleExpr)):
            return expr.args[0].items
        lead = (expr.function.value,) if isinstance(expr.function, Attribute) else ()
        return lead + tuple(each for each in expr.args if not (isinstance(each, Literal) and isinstance(each.value, str)))
    if isinstance(expr, Index):
        return expr.value, *expr.items
    if isinstance(expr, Attribute):
        return (expr.value,)
    if isinstance(expr, Unary):
        return (expr.operand,)
    if isinstance(expr, Compare):
        return expr.operands
    if isinstance(expr, IfElse):
        return expr.condition, expr.then, expr.other
    return ()
