"""What the compiler computes itself: operators on numbers, dimensions and tuples, which need no array."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dsl.diagnostics import Code, counted
from dsl.ops.arguments import known_help
from dsl.types import Dim, ShapeError, as_dim

LARGEST = 2**63
COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
DIMENSIONS: Mapping[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv}
NUMBERS = {**DIMENSIONS, "/": operator.truediv, "%": operator.mod, "**": operator.pow}


def plain(dim: Dim) -> Dim | int:
    """A dimension, as an int where it is one."""
    return dim if dim.constant is None else dim.constant


def compared(op: str, left: Any, right: Any) -> bool | None:
    """A comparison of numbers, of strings or with None, or None where only the call can know."""
    both = (left, right)
    if left is None or right is None:
        return {"==": left is right, "!=": left is not right}.get(op)
    if all(isinstance(each, (int, float)) for each in both) or (op in ("==", "!=") and all(isinstance(each, str) for each in both)):
        return bool(COMPARISONS[op](left, right))
    return None


def computed(op: str, left: Any, right: Any) -> Any:
    """The value of an operator on compile-time values, or None where it is an array's. Raises ShapeError for what does not fit into 64 bits."""
    both = (left, right)
    if all(isinstance(each, bool) for each in both):
        return {"and": left and right, "or": left or right}.get(op)
    if op == "+" and all(isinstance(each, tuple) for each in both):
        return left + right
    if not all(isinstance(each, (int, float, Dim)) and not isinstance(each, bool) for each in both):
        return None
    if any(isinstance(each, Dim) for each in both):
        if any(isinstance(each, float) for each in both) or op not in DIMENSIONS:
            return None
        if op == "//" and as_dim(right) == as_dim(0):
            raise by_zero()
        return plain(DIMENSIONS[op](as_dim(left), as_dim(right)))
    return _number(op, left, right)


def by_zero() -> ShapeError:
    return ShapeError(Code.E0309, "a division by zero", help="the divisor is 0 for every input")


def _number(op: str, left: float, right: float) -> float | None:
    if op not in NUMBERS:
        return None
    if op == "**":
        if left < 0 and not float(right).is_integer():
            raise ShapeError(Code.E0309, f"`({left}) ** {right}` is a complex number", help="raise a positive number to the power")
        if isinstance(left, int) and isinstance(right, int) and right >= 0 and abs(left) > 1 and right * math.log2(abs(left)) > 63:
            raise ShapeError(Code.E0109, f"`{left} ** {right}` does not fit into 64 bits", help="write it with floats")
    try:
        found: float = NUMBERS[op](left, right)
    except ZeroDivisionError:
        raise by_zero() from None
    except OverflowError:
        raise ShapeError(Code.E0109, "a number is too large for double precision", help="write its logarithm, or a smaller number") from None
    if isinstance(found, int) and abs(found) >= LARGEST:
        raise ShapeError(Code.E0109, "an integer does not fit into 64 bits", help="write it with floats")
    return found


def is_static(item: Any) -> bool:
    """Whether an item of an index is an integer, or a slice between integers."""
    parts = (item.start, item.stop, item.step) if isinstance(item, slice) else (item,)
    return all((isinstance(part, int) and not isinstance(part, bool)) or (part is None and isinstance(item, slice)) for part in parts)


def entry(value: Sequence[Any], items: Sequence[Any]) -> Any:
    """An entry of a tuple or a list, or a part of it. Raises ShapeError."""
    if len(items) != 1 or not is_static(items[0]):
        parts = (items[0].start, items[0].stop) if isinstance(items[0], slice) else items
        raise ShapeError(Code.E0307, "an index of a tuple is an integer, known when the program is compiled", help=known_help(parts, "write `x.shape[0]`"))
    try:
        return value[items[0]]
    except IndexError:
        raise ShapeError(Code.E0308, f"index {items[0]} is out of range: it has {counted(len(value), 'entry', 'entries')}") from None
    except ValueError:
        raise ShapeError(Code.E0308, "the step of a slice is 0") from None
