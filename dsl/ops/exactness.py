"""Whether a cheaper formula is as exact as the one that is written: what generated code asks before it takes it."""

from __future__ import annotations

from collections.abc import Mapping

from dsl.ops.spec import Function, Op, called
from dsl.types import TensorType


def _infer(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("bool", ())


# of matrices x and y of as many columns, and the weights of these in sums of squared differences: as exponents, and as anything
KEEPS_DIGITS = Op("keeps_digits", _infer, called("_keeps_digits"))
STANDS_APART = Op("stands_apart", _infer, called("_stands_apart"))
# of an array: whether exponentials of its entries, and sums of products with them, stay in the range of floats
MODERATE = Op("moderate", _infer, called("_moderate"))
OPS = (KEEPS_DIGITS, STANDS_APART, MODERATE)
FUNCTIONS: tuple[Function, ...] = ()

__all__ = ["KEEPS_DIGITS", "MODERATE", "STANDS_APART"]
