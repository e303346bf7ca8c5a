"""A Jacobian that remembers what it multiplies as: its value is its first argument, and beside it stands the graph that is linear in u, u times
the Jacobian, so that ``dsl/calculus/directions.py`` can have a product with it without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dsl.nodes import Apply, Input, Nested, Node, apply, argument, rebuild, substituted
from dsl.ops.loops import captured_by
from dsl.ops.spec import Op, Printer, Text
from dsl.types import TensorType


@dataclass(frozen=True)
class Linear(Nested):
    """``root`` is linear in ``u``; what else it reads are the ``given``, which stand for the node's further arguments."""

    u: Input
    given: tuple[Input, ...]
    root: Node
    symmetric: bool

    @property
    def made(self) -> tuple[Node, ...]:
        return (self.root,)

    def rebuilt(self, change: Callable[[Node], Node]) -> Linear:
        return Linear(self.u, self.given, rebuild(self.made, change)[self.root], self.symmetric)


def _infer(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return types[0]


def _emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    return args[0]


def _vjp(node: Apply, g: Node) -> Sequence[Node | None]:
    return (g, *[None] * (len(node.args) - 1))


JACOBIAN = Op("jacobian", _infer, _emit, _vjp, linear=True, alias=True, nested=True, latex="{0}")


def remembered(value: Node, root: Node, u: Input, symmetric: bool) -> Node:
    """A Jacobian, with the graph that multiplies by it."""
    captured = captured_by([root], (u,))
    given = {node: argument(f"constant{i}", "jacobian constant", node.type) for i, node in enumerate(captured)}
    return apply(JACOBIAN, value, *captured, linear=Linear(u, tuple(given.values()), substituted([root], given)[root], symmetric))


def forgotten(node: Node) -> Node:
    """The Jacobian alone, once nothing more is made of what it remembers."""
    return node.args[0] if isinstance(node, Apply) and node.op is JACOBIAN else node
