"""What a person wrote, operation by operation, kept beside the graph for the views of a program: no pass decides anything by it."""

from __future__ import annotations

from collections.abc import Iterator

from dsl import syntax
from dsl.elaborate import Elaborator
from dsl.library import library
from dsl.nodes import Apply, Line, Node, Piece
from dsl.scope import Closure, RuleFunction, Value

LEAVES = (syntax.Literal, syntax.Name, syntax.TupleExpr, syntax.ListExpr, syntax.Slice)


class Recorder:
    """Takes down the operations of a program. A function of the library, and any rule, is one operation; in the place of a call of the user's
    function stand the operations of its body."""

    def __init__(self, elaborator: Elaborator) -> None:
        self.elaborator = elaborator
        self.pieces: list[Piece] = []

    def note(self, expr: syntax.Expr, value: Value, line: Line) -> None:
        """Take down an expression that was just computed, where it is an operation."""
        if isinstance(expr, LEAVES) or self._within_one():
            return
        made = tuple(each for each in leaves(value) if isinstance(each, Apply))
        if not made:
            return
        function = self.elaborator.applied_by.get(expr)
        if isinstance(function, Closure) and not is_library(function.definition):
            return
        operands: list[Node | str] = []
        settings: list[str] = []
        for name, each in operands_of(expr):
            nodes = [one for one in leaves(self.elaborator.values.get(each)) if isinstance(one, Node)]
            operands += nodes
            if not nodes and name:
                settings.append(f"{name}={each.span.text}")
            elif not nodes:
                operands.append(each.span.text)
        if all(each in operands for each in made):
            return
        calls = tuple((definition.name.id, call.span) for definition, call in self.elaborator.calls)
        self.pieces.append(Piece(_title(expr, function), expr.span, made, tuple(operands), tuple(settings), calls, line))

    def _within_one(self) -> bool:
        return any(isinstance(each, syntax.Rule) or is_library(each) for each, _ in self.elaborator.calls)


def is_library(definition: syntax.Def | syntax.Rule) -> bool:
    """Whether a definition is one of the library's own."""
    found = library().get(definition.name.id)
    return found is not None and definition is (found.definition if isinstance(found, Closure) else found.rule)


def leaves(value: Value) -> Iterator[Value]:
    """What stands in the tuples and lists of a value, in order."""
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, (tuple, list)):
            stack += reversed(each)
        else:
            yield each


def operands_of(expr: syntax.Expr) -> Iterator[tuple[str, syntax.Expr]]:
    """The expressions that an expression is made of, each with its keyword or ``""``, in the order written."""
    if isinstance(expr, syntax.Binary):
        yield from (("", each) for each in (expr.left, expr.right))
    elif isinstance(expr, syntax.Unary):
        yield "", expr.operand
    elif isinstance(expr, syntax.Compare):
        yield from (("", each) for each in expr.operands)
    elif isinstance(expr, syntax.IfElse):
        yield from (("", each) for each in (expr.condition, expr.then, expr.other))
    elif isinstance(expr, syntax.Attribute):
        yield "", expr.value
    elif isinstance(expr, syntax.Index):
        yield from (("", each) for each in (expr.value, *expr.items))
    elif isinstance(expr, syntax.Call):
        target = expr.function.value if isinstance(expr.function, syntax.Attribute) else None
        if isinstance(target, syntax.Index):  # x.at[i].set(v)
            yield from operands_of(target)
        elif target is not None:
            yield "", target
        yield from (("", each) for each in expr.args)
        yield from expr.keywords


def _title(expr: syntax.Expr, function: Value) -> str:
    if isinstance(expr, (syntax.Binary, syntax.Unary)):
        return expr.op
    if isinstance(expr, syntax.Compare):
        return expr.ops[0] if len(expr.ops) == 1 else "and"
    if isinstance(expr, syntax.IfElse):
        return "where"
    if isinstance(expr, syntax.Attribute):
        return expr.name
    if isinstance(expr, syntax.Index):
        return "[]"
    if isinstance(function, Closure):
        return function.definition.name.id
    if isinstance(function, RuleFunction):
        return function.rule.name.id
    if function is not None:
        return str(function.name)
    assert isinstance(expr, syntax.Call) and isinstance(expr.function, syntax.Attribute)
    return expr.function.name
