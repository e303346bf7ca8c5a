"""Nodes that are another node's value, for the sake of which node it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from dsl.nodes import Apply, Node, apply
from dsl.ops.spec import Op, Printer, Text
from dsl.types import TensorType

_serial = count()


def _infer(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return types[0]


def _emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return args[0]


def _vjp(node: Apply, g: Node) -> Sequence[Node | None]:
    return (g,)


NAMED = Op("named", _infer, _emit, _vjp, linear=True, alias=True, latex="{0}")


def named(value: object) -> object:
    """A value under a name that something is differentiated by: a node of its own, so that after ``y = x`` a derivative by y is not one by x."""
    if isinstance(value, tuple):
        return tuple(named(each) for each in value)
    return apply(NAMED, value, serial=next(_serial)) if isinstance(value, Node) and value.type.dtype == "float" else value


def unnamed(node: Node) -> Node:
    """The node without the name."""
    return node.args[0] if isinstance(node, Apply) and node.op is NAMED else node


__all__ = ["NAMED", "named", "unnamed"]
