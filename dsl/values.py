"""Values of the language as nodes of a graph, and what is said of those that are none."""

from __future__ import annotations

from dsl import syntax
from dsl.diagnostics import Code, counted
from dsl.nodes import Node, const
from dsl.ops import indexing, making, shaping
from dsl.ops.core import integers, shape_of
from dsl.ops.spec import Function
from dsl.scope import Closure, RuleFunction, Updater, Value
from dsl.types import Dim, ShapeError, as_dim


def array(value: Value) -> Node:
    """A value as a node of the graph. Raises ShapeError where it is none."""
    if isinstance(value, Node):
        return value
    if isinstance(value, (bool, int, float)):
        return const(value)
    if isinstance(value, Dim):
        return making.dimension(value)
    if isinstance(value, list):
        if not value:
            raise ShapeError(Code.E0204, "a list without entries has no kind of number", help="write `zeros(0)`")
        return shaping.stack([array(each) for each in value])
    shown, help = describe(value)
    raise ShapeError(Code.E0204, f"an array is needed, not {shown}", help=help)


def depth(value: Value) -> int:
    """How many lists stand inside each other."""
    depth, level = 0, [value]
    while level := [item for each in level if isinstance(each, list) for item in each]:
        depth += 1
    return depth


def describe(value: Value) -> tuple[str, str]:
    """What a value that is no array is called, and what to do about it."""
    if isinstance(value, Closure):
        return "a function", f"call it: `{value.definition.name.id}(x)`"
    if isinstance(value, RuleFunction):
        return "a function", f"call it: `{value.rule.name.id}(x)`"
    if isinstance(value, Function):
        return "a function", f"call it: `{value.name}(x)`"
    if isinstance(value, tuple):
        return "a tuple", "name its parts first: `a, b = …`"
    if isinstance(value, Updater):
        return "an update without a value", "write `x.at[i].set(v)` or `x.at[i].add(v)`"
    if isinstance(value, str):
        return repr(value), "a text is a setting of a function, such as `padding='same'`"
    return ("None", "write a number") if value is None else ("`...`", "write it between the brackets of an index")


def updated(updater: Updater, how: str, values: list[Value], expr: syntax.Call) -> Node:
    """``x.at[i].set(v)``. Raises ShapeError."""
    if updater.items is None:
        raise ShapeError(Code.E0204, "an update needs an index", help=f"write `x.at[i].{how}(v)`")
    if how in indexing.UPDATES and (len(values) != 1 or expr.keywords):
        given = counted(len(values) + len(expr.keywords), "argument")
        raise ShapeError(Code.E0204, f"`.{how}` of an update takes the new value, and {given} are given", help=f"write `x.at[i].{how}(v)`")
    return indexing.update(updater.array, updater.items, updater.arrays, array(values[0] if values else 0.0), how)


def index_items(node: Node, items: list[Value]) -> tuple[list[indexing.Item], list[Node]]:
    """Items as the index operation takes them: no ellipsis, integers as dimensions, arrays counted."""
    used = sum(each is not None and each is not ... for each in items)
    rank = len(shape_of(node))
    if sum(each is ... for each in items) > 1:
        raise ShapeError(Code.E0302, "an index has one `...` at most", f"{{0}} is {node.type}", "write `:` for each axis in between")
    if used > rank:
        raise ShapeError(Code.E0302, f"{used} indices for an array of {rank} axes", f"{{0}} is {node.type}")
    resolved: list[indexing.Item] = []
    arrays: list[Node] = []
    for place, each in enumerate(items, 1):
        if each is ...:
            resolved += [indexing.FULL] * (rank - used)
        elif each is None:
            resolved.append(("newaxis",))
        elif isinstance(each, slice):
            start, stop = (None if part is None else as_dim(part) for part in (each.start, each.stop))
            resolved.append(("slice", start, stop, 1 if each.step is None else each.step))
        elif isinstance(each, (int, Dim)) and not isinstance(each, bool):
            resolved.append(("int", as_dim(each)))
        else:
            index = array(each)
            if index.type.dtype == "bool":
                help = f"choose with `where({{{place}}}, {{0}}, 0)`"
                raise ShapeError(Code.E0307, "an index must be an integer, and this is bool", f"{{{place}}} is {index.type}", help)
            index = integers(index)
            shape_of(index)
            resolved.append(("array", len(arrays)))
            arrays.append(index)
    return resolved, arrays
