"""Whether a cheaper formula is as exact as the one that is written: what generated code asks before it takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsl.nodes import Apply
from dsl.ops.spec import Function, Op, Printer, Text
from dsl.types import TensorType


def _infer(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return TensorType("bool", ())


def _emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return Text(f"_keeps_digits({', '.join(arg.text for arg in args)})")


# of matrices x and y of as many columns, and the weights of these in sums of squared differences
KEEPS_DIGITS = Op("keeps_digits", _infer, _emit)
OPS = (KEEPS_DIGITS,)
FUNCTIONS: tuple[Function, ...] = ()

__all__ = ["KEEPS_DIGITS"]
