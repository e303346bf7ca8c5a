"""What the compiler's identities do to a formula, one at a time and by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dsl.calculus.identities import rewrite
from dsl.nodes import Apply, Const, Node, applies, rebuild
from dsl.ops.core import is_number

_SPREADING = ("broadcast_to", "spread", "unbroadcast")
_ORDER = ("reshape", "index", "scatter")


@dataclass(frozen=True)
class Applied:
    """An identity that was used: its name, and the node before and after."""

    name: str
    before: Node
    after: Node


def simplified(node: Node, known: Mapping[Node, Node]) -> tuple[Node, tuple[Applied, ...]]:
    """A node as the compiler simplifies it, and how. What is ``known`` stays as it is."""
    found: list[Applied] = []

    def change(each: Node) -> Node:
        new = rewrite(each)
        if new is not each and isinstance(each, Apply):
            found.append(Applied(named(each, new), each, new))
        return new

    return rebuild([node], change, dict(known))[node], tuple(found)


def named(before: Apply, after: Node) -> str:
    """What an identity is called."""
    name, args = before.op.name, before.args
    if all(isinstance(arg, Const) for arg in args):
        return "numbers are computed"
    if after in args:
        if any(is_number(arg, 1) for arg in args):
            return "a factor or an exponent of 1 changes nothing"
        if any(is_number(arg, 0) or _is_filled(arg) for arg in args):
            return "adding 0 changes nothing"
        return "it has the shape already"
    if is_number(after, 0) or _is_filled(after):
        return "zero times anything is zero"
    if any(applies(arg, "eye", "diag") for arg in args) and name in ("einsum", "multiply"):
        return "an identity matrix is not multiplied by: it renames an index"
    if any(applies(arg, *_SPREADING) for arg in args):
        return "a sum of equal entries is a multiple" if name in ("sum", "mean") else "what is the same everywhere is repeated by broadcasting alone"
    if name == "einsum" and any(applies(arg, "einsum") for arg in args):
        return "a transpose goes into the product"
    if name in ("add", "subtract") and applies(after, "add", "subtract") and any(applies(arg, "negative") for arg in args):
        return "minus a negative is a sum"
    if applies(after, "negative") or (name == "negative" and not applies(after, "negative")) or any(applies(arg, "negative") for arg in args):
        return "signs are gathered in front"
    if name in ("multiply", "divide", "einsum", "sum"):
        return "numbers are gathered in front"
    if name == "add" and len(args) == 2 and args[0] is args[1]:
        return "x + x is 2 x"
    if name in _ORDER:
        return "moves of entries are one"
    return "the same in fewer steps"


def _is_filled(node: Node) -> bool:
    return isinstance(node, Apply) and node.op.name in _SPREADING and is_number(node.args[0], 0)


__all__ = ["Applied", "named", "simplified"]
