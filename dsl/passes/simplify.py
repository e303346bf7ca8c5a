"""Local identities: constants folded, ones and zeros gone, broadcasts dropped where the other operand has the shape anyway.

Before: ``broadcast_to(dL, [N, K]) * (1 * S)``. After: ``dL * S``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from dsl.nodes import Apply, Const, Node, Program, apply, const, rebuild
from dsl.ops.contraction import einsum, split_spec
from dsl.ops.core import is_number
from dsl.ops.elementwise import ew
from dsl.ops.reduction import UNBROADCAST

_FOLD: dict[str, Callable[..., float | int | bool]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "negative": lambda x: -x,
    "equal": lambda x, y: x == y,
    "less": lambda x, y: x < y,
    "greater": lambda x, y: x > y,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
}
LARGEST = 2**63


def simplify(program: Program) -> Program:
    """The same values in fewer steps."""
    mapped = rebuild(program.roots, rewrite)
    names = {}
    lines = {}
    for node, new in mapped.items():
        if isinstance(new, Apply):
            if node in program.names:
                names.setdefault(new, program.names[node])
            if node in program.lines:
                lines.setdefault(new, program.lines[node])
    # a node that only simplification made takes the line of the one that it replaced, or none
    return replace(
        program,
        outputs=tuple((name, mapped[node]) for name, node in program.outputs),
        gradients=tuple((name, mapped[node]) for name, node in program.gradients),
        names=names,
        lines=lines,
    )


def rewrite(node: Node) -> Node:
    """Apply identities to a node whose arguments are simple already, until none fits."""
    while isinstance(node, Apply):
        rule = _RULES.get(node.op.name)
        if node.op.alias:
            node = node.args[0]
            continue
        new = _fold(node) or (rule(node) if rule else None)
        if new is None or new is node:
            break
        node = new
    return node


def _fold(node: Apply) -> Node | None:
    function = _FOLD.get(node.op.name)
    if function is None or not all(isinstance(arg, Const) for arg in node.args):
        return None
    try:
        value = function(*(arg.value for arg in node.args if isinstance(arg, Const)))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    if isinstance(value, int) and abs(value) >= LARGEST:
        return None
    return const(float(value) if node.type.dtype == "float" else value)


def _ew(name: str, *args: Node) -> Node:
    """An elementwise operation, simple already."""
    return rewrite(ew(name, *args))


def _like(node: Apply, part: Node) -> Node | None:
    """A part instead of the whole, where it has the whole's type."""
    if (part.type.dtype, part.type.shape) != (node.type.dtype, node.type.shape):
        return None
    if part.type.shape is None and any(arg is not part and arg.type.shape != () for arg in node.args):
        return None
    return part


def _unspread(x: Node, other: Node, node: Apply) -> Node | None:
    """The argument of a broadcast that an elementwise partner makes needless."""
    if not isinstance(x, Apply) or x.op.name not in ("broadcast_to", "spread"):
        return None
    inner = x.args[0]
    if x.op.name == "spread":
        return inner if inner.type.shape == () and (x.args[1] is other or _same_shape(x.args[1], other)) else None
    if other.type.shape is None or node.type.shape != other.type.shape:
        return None
    return inner


def _same_shape(x: Node, y: Node) -> bool:
    """Whether y is x mapped entry by entry with scalars, so that their run-time shapes are one."""
    seen = 0
    while y is not x and seen < 50:
        seen += 1
        if not isinstance(y, Apply) or not y.op.elementwise:
            return False
        unknown = [arg for arg in y.args if arg.type.shape != ()]
        if len(unknown) != 1:
            return False
        y = unknown[0]
    return y is x


def _pair(node: Apply) -> Node | None:
    """Broadcasts under an elementwise operator."""
    if len(node.args) != 2:
        return None
    x, y = node.args
    for inner, args in ((_unspread(x, y, node), lambda new: (new, y)), (_unspread(y, x, node), lambda new: (x, new))):
        if inner is not None:
            return _ew(node.op.name, *args(inner))
    return None


def _add(node: Apply) -> Node | None:
    x, y = node.args
    if is_number(x, 0):
        return _like(node, y)
    if is_number(y, 0):
        return _like(node, x)
    if isinstance(y, Apply) and y.op.name == "negative":
        return _ew("subtract", x, y.args[0])
    if x is y and x.type.dtype == "float":
        return _ew("multiply", const(2), x)
    return _pair(node)


def _subtract(node: Apply) -> Node | None:
    x, y = node.args
    if is_number(y, 0):
        return _like(node, x)
    if is_number(x, 0):
        return _ew("negative", y)
    if isinstance(y, Apply) and y.op.name == "negative":
        return _ew("add", x, y.args[0])
    return _pair(node)


def _multiply(node: Apply) -> Node | None:
    x, y = node.args
    for one, other in ((x, y), (y, x)):
        if is_number(one, 1):
            return _like(node, other)
        if is_number(one, -1):
            return _ew("negative", other)
    if isinstance(x, Const) and isinstance(y, Apply) and y.op.name == "multiply" and isinstance(y.args[0], Const):
        return _ew("multiply", _ew("multiply", x, y.args[0]), y.args[1])
    if isinstance(y, Const) and not isinstance(x, Const):
        return _ew("multiply", y, x)
    if isinstance(y, Apply) and y.op.name == "multiply" and isinstance(y.args[0], Const) and not isinstance(x, Const):
        return _ew("multiply", y.args[0], _ew("multiply", x, y.args[1]))
    if isinstance(x, Apply) and x.op.name == "negative":
        return _ew("negative", _ew("multiply", x.args[0], y))
    if isinstance(y, Apply) and y.op.name == "negative":
        return _ew("negative", _ew("multiply", x, y.args[0]))
    return _pair(node)


def _divide(node: Apply) -> Node | None:
    x, y = node.args
    if is_number(y, 1):
        return _like(node, x)
    if isinstance(x, Apply) and x.op.name == "negative":
        return _ew("negative", _ew("divide", x.args[0], y))
    return _pair(node)


def _negative(node: Apply) -> Node | None:
    (x,) = node.args
    if isinstance(x, Apply) and x.op.name == "negative":
        return x.args[0]
    if isinstance(x, Apply) and x.op.name == "subtract":
        return _ew("subtract", x.args[1], x.args[0])
    if isinstance(x, Apply) and x.op.name == "multiply" and isinstance(x.args[0], Const):
        return _ew("multiply", const(-x.args[0].value), x.args[1])
    return None


def _power(node: Apply) -> Node | None:
    x, y = node.args
    if is_number(y, 1):
        return _like(node, x)
    return None


def _where(node: Apply) -> Node | None:
    c, x, y = node.args
    if isinstance(c, Const):
        return _like(node, x if c.value else y)
    return x if x is y and _like(node, x) else None


def _broadcast(node: Apply) -> Node | None:
    (x,) = node.args
    return _like(node, x)


def _unbroadcast(node: Apply) -> Node | None:
    g, like = node.args
    if g.type.shape is not None and g.type.shape == like.type.shape:
        return g
    if isinstance(g, Apply) and g.op.elementwise and g.type.shape is None:
        mine = [arg for arg in g.args if arg.type.shape != ()]
        if len(mine) == 1 and isinstance(mine[0], Apply) and mine[0].op is UNBROADCAST:
            return g if mine[0].args[1] is like else None
    if _same_shape(like, g) and like.type.shape is None:
        return g
    return None


def _einsum(node: Apply) -> Node | None:
    """An operand that is itself a transpose is renamed into this contraction."""
    labels, output = split_spec(str(node.attr("spec")))
    args = list(node.args)
    for i, arg in enumerate(args):
        if isinstance(arg, Apply) and arg.op.name == "einsum" and len(arg.args) == 1:
            (inner,), outer = split_spec(str(arg.attr("spec")))
            if sorted(inner) == sorted(outer):
                renamed = dict(zip(outer, labels[i], strict=True))
                args[i] = arg.args[0]
                labels[i] = "".join(renamed[label] for label in inner)
                return rewrite(einsum(f"{','.join(labels)}->{output}", *args))
    return None


def _reshape(node: Apply) -> Node | None:
    (x,) = node.args
    if x.type.shape == node.type.shape:
        return x
    if isinstance(x, Apply) and x.op.name == "reshape":
        return apply(node.op, x.args[0], **dict(node.attrs))
    if isinstance(x, Apply) and x.op.name == "broadcast_to" and x.args[0].type.shape == ():
        return apply(x.op, x.args[0], shape=node.attr("shape"))  # type: ignore[arg-type]
    return None


_RULES: dict[str, Callable[[Apply], Node | None]] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "negative": _negative,
    "power": _power,
    "where": _where,
    "broadcast_to": _broadcast,
    "unbroadcast": _unbroadcast,
    "einsum": _einsum,
    "reshape": _reshape,
}

__all__ = ["rewrite", "simplify"]
