"""What the compiler computes itself: operators on numbers, dimensions and tuples, which need no array."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from dsl.diagnostics import Code
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
