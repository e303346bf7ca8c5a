"""A program at any stage as text, and that text as the program again."""

from __future__ import annotations

from dsl import syntax
from dsl.nodes import Apply, Program, topological


def printed(product: syntax.Module | Program) -> str:
    """What a stage made, as text."""
    if isinstance(product, syntax.Module):
        return product.source.text
    numbers = {}
    lines = []
    for node in topological(product.every_root):
        if isinstance(node, Apply):
            numbers[node] = f"%{len(numbers)}"
            lines.append(f"{numbers[node]} = {node.op.name}({', '.join(numbers.get(arg, repr(arg)) for arg in node.args)}): {node.type}")
    return "\n".join(lines) + "\n"
