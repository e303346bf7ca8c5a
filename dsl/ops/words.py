"""What the result of an operation is called where the user gave it no name."""

from __future__ import annotations

from dsl.nodes import Apply, Const, Input, Node

_WORDS = {
    **{"add": "added", "subtract": "difference", "divide": "ratio", "multiply": "scaled", "power": "power", "einsum": "product", "where": "chosen"},
    **{"sum": "total", "mean": "average", "max": "largest", "min": "smallest", "index": "picked", "scatter": "scattered", "reshape": "reshaped"},
    **{"less": "below", "less_equal": "below", "greater": "above", "greater_equal": "above", "equal": "tied", "not_equal": "differs"},
    **{"unbroadcast": "summed", "spread": "spread", "broadcast_to": "spread", "negative": "minus"},
    **{"concatenate": "joined", "stack": "stacked", "cast": "number", "inv_upper": "inv"},
}


def word(node: Node) -> str:
    """A word for a value: what made it, or what it is called."""
    if isinstance(node, Apply) and node.op.name in ("broadcast_to", "spread") and isinstance(node.args[0], Const):
        value = node.args[0].value
        return "zeros" if value == 0 else "ones" if value == 1 else "spread"
    if isinstance(node, Apply) and node.op.name == "reshape" and isinstance(node.args[0], Apply) and node.args[0].op.name == "windows":
        return "columns"
    if isinstance(node, Apply):
        return _WORDS.get(node.op.name, node.op.name).replace(" ", "_")
    return node.name if isinstance(node, Input) else "value"
