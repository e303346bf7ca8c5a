"""Derivative rules written in the language, turned into cotangents: the engine multiplies, sums broadcast axes back, and nothing else."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from dsl import syntax
from dsl.diagnostics import Code, Diagnostic, DslError, Source
from dsl.elaborate import Elaborator
from dsl.nodes import Apply, Const, Node, applies, const, moved, of_sizes
from dsl.ops.broadcasting import broadcast_to
from dsl.ops.contraction import is_turned
from dsl.ops.core import Undecided, div, is_number, mul, neg, where
from dsl.ops.elementwise import Elementwise, ew
from dsl.ops.reduction import sum_to
from dsl.ops.spec import Op, Printer, Text
from dsl.parse import parse_expression
from dsl.scope import RuleFunction, Scope, Value
from dsl.types import ONE, ShapeError, TensorType, broadcast
from dsl.values import array


def elementwise_cotangent(node: Apply, op: Elementwise, i: int, g: Node) -> Node | None:
    """The cotangent of argument i: g times the partial derivative that the stanza states; None for zero. Raises DslError where it states none."""
    return _scaled(g, partial(node, op, i), node.args[i], (*node.args, node))


def partial(node: Apply, op: Elementwise, i: int) -> Node:
    """The partial derivative by argument i, as the stanza states it. Raises DslError where it states none."""
    name = op.params[i]
    text = op.stanza.partials.get(name)
    if text is None:
        raise ShapeError(Code.E0401, f"`{op.name}` has no derivative with respect to `{name}`", help="put it inside `stop_gradient(…)`")
    scope = Scope(values={**dict(zip(op.params, node.args, strict=True)), "out": node})
    return array(_elaborator().expression(_partial(op.name, name, text), scope))


@dataclass(frozen=True, eq=False)
class RuleOp(Op):
    """The mark of a rule's value: the rule, and the scope that it was declared in."""

    rule: syntax.Rule | None = None
    scope: Scope | None = None


def ruled(rule: syntax.Rule, scope: Scope) -> RuleFunction:
    """A user's rule as a function. Raises DslError for a rule without a value, or with a line for what is no parameter."""
    names = [each.target.id for each in rule.params if isinstance(each.target, syntax.Name)]
    for each in rule.params:
        if not isinstance(each.target, syntax.Name):
            raise DslError(Diagnostic(Code.E0403, "a parameter of a rule is a name", each.span, "", "write a name for each part"))
    for line in rule.lines:
        if line.argument and line.argument not in names:
            raise DslError(Diagnostic(Code.E0403, f"`{line.argument}` is no parameter of `{rule.name.id}`", line.span, "", f"it takes ({', '.join(names)})"))
    if not any(line.key == "value" for line in rule.lines):
        raise DslError(Diagnostic(Code.E0403, f"the rule `{rule.name.id}` has no value", rule.name.span, "", "add a line `value  EXPR`"))

    def vjp(node: Apply, g: Node) -> Sequence[Node | None]:
        values: dict[str, Value] = {**dict(zip(names, node.args[1:], strict=True)), rule.out.id: node}
        return (None, *(_rule_cotangent(rule, line_of(name), name, Scope({**values, "g": g}, parent=scope), g, values[name]) for name in names))

    def line_of(name: str) -> syntax.RuleLine | None:
        return next((line for line in rule.lines if line.argument == name and line.key in ("d", "vjp")), None)

    shown = next((str(line.body).strip().strip('"') for line in rule.lines if line.key == "latex"), "")
    called = rule.name.id.replace("_", r"\_")
    latex = shown or rf"\operatorname{{{called}}}({', '.join(f'{{{name}}}' for name in names)})"
    elementwise = all(line.key != "vjp" for line in rule.lines)
    op = RuleOp(
        f"rule {rule.name.id}", _infer_value, _emit_value, vjp, elementwise=elementwise, alias=True, params=("", *names), latex=latex, rule=rule, scope=scope
    )
    return RuleFunction(rule, scope, op)


def _rule_cotangent(rule: syntax.Rule, line: syntax.RuleLine | None, name: str, scope: Scope, g: Node, param: Node) -> Node | None:
    if param.type.dtype != "float" or isinstance(param, Const):
        return None
    if line is None or not isinstance(line.body, syntax.Expr):
        help = f"add a line `d/d{name}  EXPR` to the rule"
        raise DslError(Diagnostic(Code.E0401, f"`{rule.name.id}` has no derivative with respect to `{name}`", rule.name.span, "", help))
    elaborator = _elaborator()
    try:
        with elaborator.at(line.body):
            value = array(elaborator.expression(line.body, scope))
    except Undecided as need:
        message = f"the number of axes of an argument of `{rule.name.id}` is not known here"
        raise DslError(Diagnostic(Code.E0306, message, need.span, "", "declare the argument: `input x: [N, D]`")) from None
    if line.key == "d":
        _check_partial(value, array(scope.value(rule.out.id)), line.body, f"`{name}`")
        return _scaled(g, value, param, [each for each in scope.values.values() if isinstance(each, Node)])
    if param.type.shape is not None and value.type.shape != param.type.shape:
        message = f"the cotangent of `{name}` has shape {value.type}, and `{name}` has {param.type}"
        raise DslError(Diagnostic(Code.E0403, message, line.body.span, "", "a vjp gives exactly its argument's shape"))
    return value


def _check_partial(partial: Node, out: Node, body: syntax.Expr, name: str) -> None:
    """A partial derivative is entry by entry. Raises DslError for one that does not broadcast to the value's shape."""
    if not _fits(partial, out) and out.type.shape is not None:
        message = f"the partial derivative by {name} has shape {partial.type}, and the value has {out.type}"
        raise DslError(Diagnostic(Code.E0403, message, body.span, "", f"a cotangent that is not entry by entry is a line `vjp {name.strip('`')}  EXPR`"))


def _infer_value(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return types[0]


def _emit_value(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return args[0]


def _scaled(g: Node, partial: Node, arg: Node, whole: Container[Node]) -> Node | None:
    scaled = scale(g, partial, whole)
    return None if scaled is None else _summed(scaled, arg)


def _summed(g: Node, arg: Node) -> Node:
    """A cotangent summed back to its argument's shape. A choice that is the same in all that is added up stays outside."""
    if not applies(g, "where") or g.type.shape is None or g.type.matches(arg.type) or not _fits(g.args[0], arg):
        return sum_to(g, arg)
    condition, *sides = g.args
    if not any(is_number(side, 0) for side in sides):
        return sum_to(g, arg)
    return where(condition, *(side if is_number(side, 0) else sum_to(broadcast_to(side, g.type.shape), arg) for side in sides))


def _fits(node: Node, into: Node) -> bool:
    """Whether a value broadcasts to another's shape."""
    try:
        return into.type.shape is not None and broadcast((node.type, into.type)) == into.type.shape
    except ShapeError:
        return False


def scale(g: Node, partial: Node, whole: Container[Node] = ()) -> Node | None:
    """g times a partial derivative; None for zero. A choice stays outside: the side that is not taken is 0 even where g is infinite.
    What is ``whole`` (a rule's arguments and ``out``) exists already, and is not taken apart."""
    if is_number(partial, 0):
        return None
    if is_number(partial, 1):
        return g
    choice, moves = _unmoved(g)
    if applies(choice, "where") and any(is_number(side, 0) for side in choice.args[1:]):
        # a branch that is not taken stays 0, whatever the partial is there
        condition, left, right = choice.args
        first = is_number(right, 0)
        taken = left if first else right
        if any(not applies(each, "broadcast_to", "spread") for each in moves):
            condition, taken = (moved(broadcast_to(each, choice.type.known), moves) for each in (condition, taken))
        else:
            taken = moved(taken, moves)
        inner = scale(taken, _guarded(partial, condition, first, whole), whole)
        return None if inner is None else where(condition, *((inner, right) if first else (left, inner)))
    if is_number(partial, -1):
        return neg(g)
    if isinstance(partial, Apply) and partial.op.name == "where":
        condition, left, right = partial.args
        if isinstance(left, Const) or isinstance(right, Const):
            sides = [scale(g, side, whole) or const(0.0) for side in (left, right)]
            return where(condition, *sides)
    if partial in whole:
        return mul(g, partial)
    if isinstance(partial, Apply) and partial.op.name == "negative":
        inner = scale(g, partial.args[0], whole)
        return None if inner is None else neg(inner)
    if isinstance(partial, Apply) and partial.op.name == "divide":
        top = scale(g, partial.args[0], whole)
        return None if top is None else div(top, partial.args[1])
    return mul(g, partial)


def _unmoved(g: Node) -> tuple[Node, list[Apply]]:
    """What a cotangent's entries are from, which are then spread or stand in another order, and how they came there, the last step first."""
    moves: list[Apply] = []
    while applies(g, "broadcast_to", "spread", "reshape", "flip") or is_turned(g):
        moves.append(g)
        g = g.args[0]
    return g, moves


def _guarded(partial: Node, condition: Node, taken: bool, whole: Container[Node]) -> Node:
    """A partial derivative that does not divide by what stands in the branch that is not taken."""
    if partial in whole:
        return partial
    if applies(partial, "negative", "multiply"):
        return ew(partial.op.name, *(_guarded(arg, condition, taken, whole) for arg in partial.args))
    if isinstance(partial, Apply) and partial.op.name == "divide" and not of_sizes(partial.args[1]) and goes_along(partial.args[1], condition):
        one = const(1.0)
        below = where(condition, partial.args[1], one) if taken else where(condition, one, partial.args[1])
        return ew("divide", _guarded(partial.args[0], condition, taken, whole), below)
    return partial


def goes_along(divisor: Node, condition: Node) -> bool:
    """Whether a divisor has an entry of its own for each entry of the condition. One that several entries share, as a batch's deviation, is
    not what the condition keeps from being divided by."""
    shapes = divisor.type.shape, condition.type.shape
    if shapes[0] is None or shapes[1] is None:
        return True
    return len(shapes[0]) >= len(shapes[1]) and all(one != ONE or other == ONE for one, other in zip(shapes[0][::-1], shapes[1][::-1], strict=False))


@cache
def _partial(name: str, param: str, text: str) -> syntax.Expr:
    return parse_expression(Source(f"elementwise.rules: d/d{param} of {name}", text))


@cache
def _elaborator() -> Elaborator:
    def unknown(name: syntax.Name, scope: Scope) -> Value:
        help = "a rule may name its parameters, `out`, and `g` in a vjp"
        raise DslError(Diagnostic(Code.E0403, f"a derivative rule names `{name.id}`, which it does not know", name.span, "", help))

    return Elaborator(unknown)
