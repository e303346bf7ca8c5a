"""Which values are arrays of their own, that may be written to."""

from __future__ import annotations

from dsl.nodes import Apply, Node
from dsl.ops.along import IN_PARTS, LOG_SOFTMAX, SOFTMAX
from dsl.ops.broadcasting import SUM
from dsl.ops.contraction import EINSUM
from dsl.ops.elementwise import Elementwise
from dsl.ops.factorisations import PART


def owns(node: Node) -> bool:
    """Whether a value is an array that its operation has made, and no view of another."""
    if not isinstance(node, Apply) or node.type.dtype != "float" or not node.type.shape:
        return False
    if node.op is PART:
        return isinstance(node.args[0], Apply) and node.args[0].op in IN_PARTS
    if isinstance(node.op, Elementwise):
        return not node.op.alias
    return node.op in (SOFTMAX, LOG_SOFTMAX, SUM) or (node.op is EINSUM and len(node.args) > 1)


__all__ = ["owns"]
