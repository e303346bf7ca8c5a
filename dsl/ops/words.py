"""What the result of an operation is called where the user gave it no name."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping, Sequence
from keyword import iskeyword

from dsl.nodes import Apply, Const, Input, Node

NAME_WIDTH = 12
_INFIX = {"add": "plus", "subtract": "minus", "divide": "over", "multiply": "times", "power": "to"}
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


def phrase(node: Apply, operands: Sequence[str]) -> str:
    """A name for a value: what is done to what, where the ``operands`` have short names."""
    simple = [text for text in operands if text.isidentifier() and len(text) <= NAME_WIDTH]
    if len(simple) == len(node.args) == 2 and node.op.name in ("einsum", *_INFIX):
        return "_".join(filter(None, (simple[0], _INFIX.get(node.op.name), simple[1])))
    if node.op.name == "power" and len(simple) == 1 and operands[-1] == "2":
        return f"{simple[0]}_squared"
    if len(simple) != len(node.args) or len(simple) != 1:
        return word(node)
    return f"{simple[0]}_{'_'.join(entry)}" if (entry := _entry(node)) else f"{word(node)}_{simple[0]}"


def _entry(node: Apply) -> list[str]:
    """The place of one entry of an array, as numbers."""
    items = node.attr("items") if node.op.name == "index" else ()
    assert isinstance(items, tuple)
    places = [str(item[1]) for item in items if item[0] == "int"]
    return places if len(places) == len(items) and all(map(str.isdigit, places)) else []


def is_infix(node: Node) -> bool:
    """Whether a value is a sum or a product of two, entry by entry."""
    return isinstance(node, Apply) and node.op.name in _INFIX


def spoken(node: Node, names: Mapping[Node, str]) -> str:
    """What a value may be called: its own name, or one made of those of its operands."""
    own = names.get(node) or (node.name if isinstance(node, Input) else None)
    if own is not None or not isinstance(node, Apply):
        return own or word(node)
    return phrase(node, [names.get(arg) or (arg.name if isinstance(arg, Input) else str(arg.value) if isinstance(arg, Const) else "") for arg in node.args])


def plural(name: str) -> str:
    """The name of an array of what has that name in every turn."""
    many = f"{name[:-1]}ies" if re.search(r"[^aeiou_]y$", name) and len(name) > 2 else f"{name}s"
    odd = name[-1] in "sxz" or name.endswith(("ch", "sh")) or name[-1].isdigit() or iskeyword(many) or hasattr(builtins, many)
    return f"{name}_all" if odd else many


def bare(name: str) -> bool:
    """Whether a name, of a cotangent maybe, says no more than what was done."""
    return name.removeprefix("d") in _WORDS.values()
