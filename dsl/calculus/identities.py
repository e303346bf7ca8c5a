"""Local identities: constants folded, ones and zeros gone, broadcasts dropped where the other operand has the shape anyway.

Before: ``broadcast_to(dL, [N, K]) * (1 * S)``. After: ``dL * S``. A rule looks at a node and a little below it, never at who else reads it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dsl.calculus import diagonals
from dsl.calculus.factors import FACTORS, LARGEST, in_lowest_terms, is_factor, is_negative, leads_negative
from dsl.calculus.tiles import added_up, joined, rejoined
from dsl.nodes import Apply, Const, Node, applies, apply, const
from dsl.ops.along import CUMSUM, running_sum, runs_backwards
from dsl.ops.broadcasting import total
from dsl.ops.contraction import einsum, split_spec
from dsl.ops.core import axis_of, is_number
from dsl.ops.elementwise import cast, ew
from dsl.ops.indexing import FULL
from dsl.ops.linalg_ops import SOLVE
from dsl.ops.making import dimension
from dsl.ops.moving import flip
from dsl.ops.shaping import broadcast_to, reshape, spread
from dsl.types import ONE, ZERO, product

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


def rewrite(node: Node) -> Node:
    """Apply identities to a node whose arguments are simple already, until none fits."""
    while isinstance(node, Apply):
        rule = _RULES.get(node.op.name)
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


def rewritten(name: str, *args: Node) -> Node:
    """An elementwise operation, simple already."""
    return rewrite(ew(name, *args))


def _like(node: Apply, part: Node) -> Node | None:
    """A part instead of the whole, where it has the whole's type."""
    return part if part.type.dtype == node.type.dtype and part.type.matches(node.type) else None


def _pair(node: Apply) -> Node | None:
    """A broadcast that the other operand makes needless is dropped; else it is done last, of fewer entries."""
    for i, arg in enumerate(node.args):
        if isinstance(arg, Apply) and arg.op.name == "reshape" and _leads_with_ones(arg):
            new = ew(node.op.name, *node.args[:i], arg.args[0], *node.args[i + 1 :])
            if new.type.matches(node.type):
                return rewrite(new)
        if isinstance(arg, Apply) and arg.op.name in ("broadcast_to", "spread"):
            new = ew(node.op.name, *node.args[:i], arg.args[0], *node.args[i + 1 :])
            if new.type.matches(node.type):
                return rewrite(new)
            if new.type.shape == () and new.type.dtype == node.type.dtype:
                return rewrite(apply(arg.op, rewrite(new), *arg.args[1:], **dict(arg.attrs)))
            if arg.op.name == "broadcast_to" and len(node.args) == 2 and new.type.dtype == node.type.dtype:
                inner = arg.args[0]
                if isinstance(inner, Apply) and inner.op.name == "reshape" and _leads_with_ones(inner):
                    new = ew(node.op.name, *node.args[:i], inner.args[0], *node.args[i + 1 :])
                return rewrite(broadcast_to(rewrite(new), node.type.known))
    return None


def _leads_with_ones(node: Apply) -> bool:
    """Whether a reshape only puts axes of size 1 in front, as broadcasting does by itself."""
    new, old = node.type.shape, node.args[0].type.shape
    return new is not None and old is not None and len(new) > len(old) and new == (ONE,) * (len(new) - len(old)) + old


def _shape_only(node: Apply) -> Node | None:
    """An operation that reads an argument's shape reads it from the program's argument that has the same one."""
    like = node.args[-1]
    while isinstance(like, Apply) and like.type.shape is None:
        same = next((arg for arg in like.args if arg.type.matches(like.type)), None)
        if same is None:
            break
        like = same
    return None if like is node.args[-1] else rewrite(apply(node.op, *node.args[:-1], like, **dict(node.attrs)))


def is_zero(node: Node) -> bool:
    """Whether every entry is 0."""
    return is_number(node, 0) or (isinstance(node, Apply) and node.op.name in ("broadcast_to", "spread") and is_number(node.args[0], 0))


def _add(node: Apply) -> Node | None:
    x, y = node.args
    if is_zero(x) and (same := _like(node, y)):
        return same
    if is_zero(y) and (same := _like(node, x)):
        return same
    if is_negative(y) or (applies(x, "broadcast_to") and is_negative(x)):
        one, other = (x, y) if is_negative(y) else (y, x)
        return rewritten("subtract", one, rewritten("negative", other))
    if isinstance(x, Apply) and isinstance(y, Apply) and x.op.name == y.op.name == "where" and x.args[0] is y.args[0]:
        return _chosen(node, x, y)
    if x is y and x.type.dtype == "float":
        return rewritten("multiply", const(2), x)
    return diagonals.added(node) or joined(node) or _pair(node)


def _chosen(node: Apply, x: Apply, y: Apply) -> Node | None:
    """Two choices by one condition, each 0 where the other is not, are one choice."""
    (condition, a, b), (_, c, d) = x.args, y.args
    sides = [c if is_number(a, 0) else a if is_number(c, 0) else None, d if is_number(b, 0) else b if is_number(d, 0) else None]
    if sides[0] is None or sides[1] is None:
        return None
    return _like(node, rewritten("where", condition, sides[0], sides[1]))


def _subtract(node: Apply) -> Node | None:
    x, y = node.args
    if is_number(y, 0):
        return _like(node, x)
    if is_number(x, 0):
        return rewritten("negative", y)
    if is_negative(y):
        return rewritten("add", x, rewritten("negative", y))
    if isinstance(x, Apply) and isinstance(y, Apply) and x.op.name == y.op.name == "where" and x.args[0] is y.args[0]:
        negated = apply(y.op, y.args[0], *(each if is_number(each, 0) else rewritten("negative", each) for each in y.args[1:]))
        return _chosen(node, x, negated)
    return diagonals.added(node) or _pair(node)


def _into_lead(x: Node, y: Node, depth: int = FACTORS) -> Node | None:
    """A number times a product that begins with a number: one number in front."""
    if not depth or not (isinstance(y, Apply) and y.op.name in ("multiply", "divide")):
        return None
    lead = rewritten("multiply", x, y.args[0]) if is_factor(y.args[0]) else _into_lead(x, y.args[0], depth - 1)
    return rewritten(y.op.name, lead, y.args[1]) if lead else None


def _cancels(x: Const, y: Const) -> bool:
    return isinstance(x.value, int) and isinstance(y.value, int) and y.value != 0 and x.value % y.value == 0


def _multiply(node: Apply) -> Node | None:
    x, y = node.args
    if is_factor(node):
        return _fold(node) or in_lowest_terms(node)
    if is_factor(y) and not is_factor(x):
        return rewritten("multiply", y, x)
    if is_factor(x) and (led := _into_lead(x, y)):
        return led
    if isinstance(x, Apply) and x.op.name == "multiply" and is_number(x.args[0], -1) and y.type.dtype == "float" and not y.type.weak:
        return rewritten("negative", rewritten("multiply", x.args[1], y))
    for one, other in ((x, y), (y, x)):
        if is_number(one, 0):
            return _filled(node, 0)
        if is_number(one, 1):
            return _like(node, other)
        if is_number(one, -1):
            return rewritten("negative", other)
    if isinstance(x, Const) and isinstance(y, Apply) and y.op.name == "multiply":
        halved = y.args[0]
        if isinstance(halved, Apply) and halved.op.name == "divide" and isinstance(halved.args[1], Const) and _cancels(x, halved.args[1]):
            return rewritten("multiply", const(x.value // halved.args[1].value), rewritten("multiply", halved.args[0], y.args[1]))
    if isinstance(y, Apply) and y.op.name == "multiply" and is_factor(y.args[0]) and not is_factor(x):
        return rewritten("multiply", y.args[0], rewritten("multiply", x, y.args[1]))
    if isinstance(x, Apply) and x.op.name == "negative" and not is_factor(x):
        return rewritten("negative", rewritten("multiply", x.args[0], y))
    if isinstance(y, Apply) and y.op.name == "negative":
        return rewritten("negative", rewritten("multiply", x, y.args[0]))
    for one, other in ((x, y), (y, x)):
        if applies(one, "sign") and applies(other, "divide") and applies(other.args[1], "abs") and other.args[1].args[0] is one.args[0]:
            # the derivative of log(abs(x))
            return rewritten("divide", other.args[0], one.args[0])
    return diagonals.scaled(node) or _pair(node)


def _divide(node: Apply) -> Node | None:
    x, y = node.args
    if is_number(y, 1):
        return _like(node, x)
    if is_factor(node):
        return _fold(node) or in_lowest_terms(node)
    if isinstance(x, Apply) and x.op.name == "multiply" and is_factor(x.args[0]) and is_factor(y) and x.args[1].type.matches(x.type):
        return rewritten("multiply", rewritten("divide", x.args[0], y), x.args[1])
    if isinstance(x, Apply) and x.op.name == "negative" and not is_factor(x):
        return rewritten("negative", rewritten("divide", x.args[0], y))
    return diagonals.scaled(node) or _of_ratio(node) or _pair(node)


def _of_ratio(node: Apply) -> Node | None:
    """``g / (a / b) / b``, which the derivative of log(a / b) leaves, the divisors in either order, is ``g / a``."""
    x, y = node.args
    for inner, outer in ((x.args[1], y), (y, x.args[1])) if applies(x, "divide") else ():
        if applies(inner, "divide") and inner.args[1] is outer:
            return _like(node, rewritten("divide", x.args[0], inner.args[0]))
    return None


def _negative(node: Apply) -> Node | None:
    (x,) = node.args
    if isinstance(x, Apply) and x.op.name == "negative":
        return x.args[0]
    if isinstance(x, Apply) and x.op.name in ("multiply", "divide") and (is_factor(x.args[0]) or leads_negative(x.args[0])):
        return rewritten(x.op.name, rewritten("negative", x.args[0]), x.args[1])
    if isinstance(x, Apply) and x.op.name == "broadcast_to" and is_factor(x.args[0]):
        return broadcast_to(rewritten("negative", x.args[0]), x.type.known)
    return None


def _power(node: Apply) -> Node | None:
    x, y = node.args
    return _like(node, x) if is_number(y, 1) else _filled(node, 1) if is_number(y, 0) else None


def _filled(node: Apply, value: int) -> Node | None:
    """The same number everywhere, in the node's type."""
    like = next((arg for arg in node.args if arg.type.matches(node.type)), None)
    return None if like is None or node.type.dtype != "float" else spread(const(float(value)), like)


def _where(node: Apply) -> Node | None:
    c, x, y = node.args
    if isinstance(c, Const):
        taken = x if c.value else y
        like = next((arg for arg in node.args if arg.type.matches(node.type)), None)
        return _like(node, taken) or (spread(cast(taken, node.type.dtype), like) if like is not None else None)
    if x is y and c.type.shape is not None and node.type.shape is not None:
        return _like(node, x) or broadcast_to(cast(x, node.type.dtype), node.type.shape)
    for i, side in enumerate((x, y)):
        # of a choice within a choice by the same condition, one side is never taken
        if isinstance(side, Apply) and side.op.name == "where" and side.args[0] is c and side.args[1 + i].type.matches(side.type):
            return rewritten("where", c, *((side.args[1], y) if i == 0 else (x, side.args[2])))
    return _pair(node)


def _broadcast(node: Apply) -> Node | None:
    (x,) = node.args
    if isinstance(x, Apply) and x.op is node.op and x.args[0].type.shape == ():
        return broadcast_to(x.args[0], node.type.known)
    if isinstance(x, Apply) and x.op.name == "reshape" and _leads_with_ones(x):
        return rewrite(broadcast_to(x.args[0], node.type.known))
    return _like(node, x)


def _fitted(node: Apply) -> Node | None:
    """``spread`` and ``unbroadcast`` of what has the shape already."""
    return _like(node, node.args[0]) or _shape_only(node)


def _einsum(node: Apply) -> Node | None:
    """A number stands before the contraction; an operand that is itself a transpose is renamed into it. A sum of one operand is a sum."""
    labels, output = split_spec(str(node.attr("spec")))
    args = list(node.args)
    if len(args) == 1 and len(output) < len(labels[0]) == len(set(labels[0])) and list(output) == [label for label in labels[0] if label in output]:
        return rewrite(total(args[0], tuple(i - len(labels[0]) for i, label in enumerate(labels[0]) if label not in output)))
    for i, arg in enumerate(args):
        if not labels[i] and len(args) > 1:
            rest = einsum(f"{','.join(labels[:i] + labels[i + 1 :])}->{output}", *args[:i], *args[i + 1 :])
            return rewritten("multiply", arg, rewrite(rest))
        if isinstance(arg, Apply) and arg.op.name == "einsum" and len(arg.args) == 1:
            (inner,), outer = split_spec(str(arg.attr("spec")))
            if sorted(inner) == sorted(outer):
                renamed = dict(zip(outer, labels[i], strict=True))
                args[i] = arg.args[0]
                labels[i] = "".join(renamed[label] for label in inner)
                return rewrite(einsum(f"{','.join(labels)}->{output}", *args))
    return diagonals.contracted(node) or _unspread(node, labels, output) or (_relabelled(node, labels, output) if len(args) == 2 else None)


def _unspread(node: Apply, labels: Sequence[str], output: str) -> Node | None:
    """An operand that repeats its entries along an axis leaves that axis to the others, to a count, or to the result."""
    for i, arg in enumerate(node.args):
        if not (isinstance(arg, Apply) and arg.op.name == "broadcast_to") or len(node.args) < 2 or len(set(labels[i])) < len(labels[i]):
            continue
        x, wide = arg.args[0], arg.type.known
        own = (ONE,) * (len(wide) - len(x.type.known)) + x.type.known
        kept = [label for label, dim, full in zip(labels[i], own, wide, strict=True) if dim == full]
        gone = {label: full for label, dim, full in zip(labels[i], own, wide, strict=True) if dim != full}
        if not gone:
            continue
        rest = "".join([*labels[:i], *labels[i + 1 :]])
        terms = [*labels[:i], "".join(kept), *labels[i + 1 :]]
        narrow = reshape(x, tuple(full for dim, full in zip(own, wide, strict=True) if dim == full))
        shown = "".join(label for label in output if label not in gone or label in rest)
        new = rewrite(einsum(f"{','.join(terms)}->{shown}", *node.args[:i], narrow, *node.args[i + 1 :]))
        for label, dim in gone.items():
            if label not in rest and label not in output:
                new = rewritten("multiply", dimension(dim), new)
        if shown == output:
            return new
        shape = tuple(dim if label in shown else ONE for label, dim in zip(output, node.type.known, strict=True))
        return rewrite(broadcast_to(rewrite(reshape(new, shape)), node.type.known))
    return None


def _relabelled(node: Apply, labels: Sequence[str], output: str) -> Node:
    """The labels of a product of two in the order of their first use, so that equal products are one."""
    names = dict(zip(dict.fromkeys("".join(labels)), "ijklmnopqrstuvwxyz", strict=False))
    if len(names) < len(set("".join(labels))):
        return node
    spec = ",".join("".join(names[label] for label in term) for term in labels)
    return einsum(f"{spec}->{''.join(names[label] for label in output)}", *node.args)


def _solve(node: Apply) -> Node | None:
    """A number or a sign stands before what is solved for."""
    A, b = node.args
    if isinstance(b, Apply) and b.op.name == "negative":
        return rewritten("negative", rewrite(apply(node.op, A, b.args[0], **dict(node.attrs))))
    if isinstance(b, Apply) and b.op.name == "multiply" and b.args[0].type.shape == () and b.args[1].type.matches(b.type):
        return rewritten("multiply", b.args[0], rewrite(apply(node.op, A, b.args[1], **dict(node.attrs))))
    return diagonals.solved(node) if node.op is SOLVE else None


def _reshape(node: Apply) -> Node | None:
    (x,) = node.args
    if x.type.shape == node.type.shape:
        return x
    if x.type.shape == ():
        return broadcast_to(x, node.type.known)
    if isinstance(x, Apply) and x.op.name in ("sum", "mean", "max", "min") and x.attr("keepdims"):
        dropped = apply(x.op, *x.args, axes=x.attr("axes"), keepdims=False)
        return dropped if dropped.type.matches(node.type) else None
    if isinstance(x, Apply) and x.op.name in ("sum", "mean", "max", "min") and not x.attr("keepdims"):
        kept = apply(x.op, *x.args, axes=x.attr("axes"), keepdims=True) if x.args[0].type.shape is not None else x
        return kept if kept.type.matches(node.type) else None
    if isinstance(x, Apply) and x.op.name == "reshape":
        return apply(node.op, x.args[0], **dict(node.attrs))
    if isinstance(x, Apply) and x.op.name == "index" and len(x.args) == 1:
        return _dropped(node, x)
    if isinstance(x, Apply) and x.op.name == "broadcast_to" and x.args[0].type.shape == () and node.type.shape is not None:
        return apply(x.op, x.args[0], shape=node.type.shape)
    return None


def _dropped(node: Apply, part: Apply) -> Node | None:
    """A slice of one entry whose axis then goes is an entry."""
    items, shape = part.attr("items"), part.type.shape
    assert isinstance(items, tuple)
    for axis, item in enumerate(items):
        if shape is not None and len(items) == len(shape) and item[0] == "slice" and shape[axis] == ONE and item[3] == 1:
            if node.type.shape == shape[:axis] + shape[axis + 1 :]:
                entry = ("int", ZERO if item[1] is None else item[1])
                return apply(part.op, *part.args, items=(*items[:axis], entry, *items[axis + 1 :]))
    return None


def _total(node: Apply) -> Node | None:
    """The sum or the mean of entries that repeat: those of the array that they repeat, times how often."""
    (x,) = node.args
    if not (isinstance(x, Apply) and x.op.name == "broadcast_to"):
        return diagonals.summed(node) or added_up(node) or _by_terms(node)
    narrow, wide, axes = x.args[0], x.type.known, node.attr("axes")
    own = (ONE,) * (len(wide) - len(narrow.type.known)) + narrow.type.known
    summed = range(-len(wide), 0) if axes is None else axes
    assert isinstance(summed, (tuple, range))
    repeated = [axis for axis in summed if own[axis] != wide[axis]]
    if node.type.shape == ():
        new = narrow if narrow.type.shape == () else rewrite(apply(node.op, narrow, axes=tuple(range(-len(narrow.type.known), 0)), keepdims=False))
    elif len(repeated) == len(summed):
        kept = tuple(ONE if axis - len(wide) in summed else dim for axis, dim in enumerate(own))
        shape = kept if node.attr("keepdims") else tuple(dim for axis, dim in enumerate(kept) if axis - len(wide) not in summed)
        new = rewrite(broadcast_to(rewrite(reshape(narrow, shape)), node.type.known))
    else:
        return None
    times = product(tuple(wide[axis] for axis in repeated))
    return new if node.op.name == "mean" else rewritten("multiply", dimension(times), new)


def _by_terms(node: Apply) -> Node | None:
    """The sum of two terms of which one has an entry in each row, where that of the other is told as well."""
    (x,) = node.args
    if not (isinstance(x, Apply) and x.op.name in ("add", "subtract") and any(applies(arg, "scatter") for arg in x.args)):
        return None
    sums = [rewrite(apply(node.op, broadcast_to(arg, x.type.known), **dict(node.attrs))) for arg in x.args]
    return None if any(applies(each, node.op.name) for each in sums) else rewritten(x.op.name, *sums)


def _index(node: Apply) -> Node | None:
    """An index that only inserts axes is a reshape, and so is its adjoint; one that turns axes round is a flip; a part of equal entries is fewer of
    them."""
    items = node.attr("items")
    if len(node.args) > 1 or not isinstance(items, tuple) or node.type.shape is None:
        return None
    (x,) = node.args
    if node.op.name == "index" and isinstance(x, Apply) and x.op.name == "broadcast_to" and x.args[0].type.shape == ():
        return broadcast_to(x.args[0], node.type.shape)
    if all(item == FULL or item[0] == "newaxis" for item in items):
        return rewrite(reshape(node.args[0], node.type.shape))
    if all(item in (FULL, _BACK) for item in items):
        return rewrite(flip(x, tuple(i - len(node.type.shape) for i, item in enumerate(items) if item == _BACK)))
    shape = node.args[0].type.shape
    if (
        node.op.name == "index"
        and shape is not None
        and len(items) == len(shape)
        and all(item == FULL or (item[0] == "int" and dim == ONE) for item, dim in zip(items, shape, strict=True))
    ):
        return rewrite(reshape(node.args[0], node.type.shape))
    return None


_BACK = ("slice", None, None, -1)


def _flip(node: Apply) -> Node | None:
    """Turned round twice is as it was, and a running sum of what is turned round, turned round, is one from the end."""
    (x,) = node.args
    if isinstance(x, Apply) and x.op is node.op and x.attrs == node.attrs:
        return x.args[0]
    turned = x.args[0] if isinstance(x, Apply) and x.op is CUMSUM and x.attr("axis") == node.attr("axis") else None
    if isinstance(x, Apply) and isinstance(turned, Apply) and turned.op is node.op and turned.attrs == node.attrs:
        return running_sum(turned.args[0], axis_of(x.attr("axis"), len(x.type.known)), not runs_backwards(x))
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
    "unbroadcast": _fitted,
    "spread": _fitted,
    "size": _shape_only,
    "einsum": _einsum,
    "inv": diagonals.inverted,
    "solve": _solve,
    "solve_triangular": _solve,
    "concatenate": rejoined,
    "flip": _flip,
    "reshape": _reshape,
    "index": _index,
    "scatter": _index,
    "sum": _total,
    "mean": _total,
}
