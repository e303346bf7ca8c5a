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
OPS = (KEEPS_DIGITS, STANDS_APART)
FUNCTIONS: tuple[Function, ...] = ()

__all__ = ["KEEPS_DIGITS", "STANDS_APART"]
