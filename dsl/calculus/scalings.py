"""Numbers and smaller arrays beside sums: what a sum does not run over stands after it, where there are fewer entries.

Before: ``sum(c * x)``, ``sum(x / s)``, ``sum(x * v, axis=0)``. After: ``c * sum(x)``, ``sum(x) / s``, ``v * sum(x, axis=0)``.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from dsl.calculus.chains import Factor, Product, Scale, best_order, flattened
from dsl.calculus.factors import is_factor
from dsl.calculus.identities import rewrite, rewritten
from dsl.nodes import Apply, Node, Program, applies, apply, remapped, topological
from dsl.ops.contraction import EINSUM, split_spec
from dsl.ops.core import axes_of
from dsl.ops.shaping import reshape
from dsl.types import ONE, ZERO, Shape, product


def scale_of(program: Program) -> Scale:
    """How long a program's dimensions usually are."""
    dims = {True: set[str](), False: set[str]()}
    for each in program.arguments:
        for dim in each.node.type.shape or ():
            dims[each.node.name in program.wrt].update(symbol.name for symbol in dim.symbols())
    return Scale(dict(program.hints), frozenset(dims[False] - dims[True]))


def late(program: Program) -> Program:
    """A number or a sign that does not change along the axes of a sum stands after it, where there are fewer entries, and sums of sums are one."""
    readers, scale = readers_of(program), scale_of(program)
    data = {each.node.type.shape for each in program.arguments if each.node.name not in program.wrt}
    params = {each.node.type.shape for each in program.arguments if each.node.name in program.wrt}
    mapped: dict[Node, Node] = {}
    scaled: set[Node] = set()
    for node in topological(program.roots):
        mapped[node] = node
        if isinstance(node, Apply):
            args = [mapped[arg.args[-1]] if arg in scaled else mapped[arg] for arg in node.args]
            new = node if args == list(node.args) else rewrite(apply(node.op, *args, **dict(node.attrs)))
            for arg in node.args:
                if arg in scaled:
                    new = rewritten("negative", new) if applies(arg, "negative") else rewritten("multiply", mapped[arg.args[0]], new)
            mapped[node] = _at_once(new, node, readers)
        if (scales(node) or (applies(node, "negative") and node.type.shape)) and all(applies(each, "sum", "einsum") for each in readers[node]):
            after = sum((product(each.type.known) for each in readers[node]), ZERO)
            # data are taken for larger than what is learnt from them
            learning = node.type.shape in data - params and all(each.type.shape in params for each in readers[node])
            if learning or scale.cheaper(after, product(node.type.known)):
                scaled.add(node)
    return remapped(program, mapped)


def _at_once(new: Node, node: Node, readers: Mapping[Node, list[Node]]) -> Node:
    """The sum, which was another node, of sums that nothing else reads."""
    inner = new.args[0] if applies(new, "sum") else None
    if not (isinstance(new, Apply) and isinstance(inner, Apply) and inner.op is new.op and len(readers[node.args[0]]) == 1 and inner.args[0].type.shape):
        return new
    rank = len(inner.args[0].type.shape)
    first = axes_of(inner.attr("axes"), rank)
    left = [axis for axis in range(-rank, 0) if inner.attr("keepdims") or axis not in first]
    axes = tuple(sorted({*first, *(left[axis] for axis in axes_of(new.attr("axes"), len(left)))}))
    whole = rewrite(apply(new.op, inner.args[0], axes=axes, keepdims=new.attr("keepdims")))
    return whole if whole.type == new.type else new


def divided(program: Program) -> Program:
    """A divisor that does not change along the axes of a sum stands after it."""
    readers = readers_of(program)
    mapped: dict[Node, Node] = {}
    for node in topological(program.roots):
        mapped[node] = _divided_last(upon(node, mapped), readers)
    return remapped(program, mapped)


def upon(node: Node, mapped: Mapping[Node, Node]) -> Node:
    """A node upon what its arguments have become, simple again."""
    args = tuple(mapped[arg] for arg in node.args)
    return node if args == node.args or not isinstance(node, Apply) else rewrite(apply(node.op, *args, **dict(node.attrs)))


def readers_of(program: Program) -> dict[Node, list[Node]]:
    """What reads each node; a root is read by itself too."""
    readers: dict[Node, list[Node]] = {}
    for node in topological(program.roots):
        for arg in node.args:
            readers.setdefault(arg, []).append(node)
    for root in program.roots:
        readers.setdefault(root, []).append(root)
    return readers


def outside(program: Program) -> Program:
    """What a product has in all entries that are added up stands after the sum, so that sums of the same become one: the derivatives of a
    normalised layer need ``sum(g)`` and ``sum(g * x)`` for its gain and bias, and the same times something for its input. A matrix product is as
    large as what it is of, so that nothing is gained where that is needed for more than sums."""
    scale = scale_of(program)
    needed = {node for node, users in readers_of(program).items() if not all(applies(each, "sum", "einsum") for each in users)}
    mapped: dict[Node, Node] = {}
    for node in topological(program.roots):
        mapped[node] = new = upon(node, mapped)
        if applies(new, "sum", "einsum"):
            kept = {mapped[arg] for arg in node.args if arg in needed} if _multiplies_matrices(new) else set()
            mapped[node] = _taken_out(new, scale, kept) or new
    return remapped(program, mapped)


def _multiplies_matrices(node: Node) -> bool:
    """Whether each operand of a sum of products has an axis of the result that the other has not."""
    terms, output = split_spec(str(node.attr("spec"))) if isinstance(node, Apply) and node.op is EINSUM else ((), "")
    return len(terms) == 2 and all(set(output) - set(term) for term in terms)


def _taken_out(node: Node, scale: Scale, kept: Container[Node]) -> Node | None:
    """A sum of fewer factors, times those that do not change along its axes. What is ``kept`` is one factor."""
    found = flattened(node, lambda each: applies(each, "multiply", "negative") and each not in kept)
    if found is None:
        return None
    of = found[0]
    core = tuple(factor for factor in of.factors if not set(factor.labels) <= set(of.output))
    beside = tuple(factor for factor in of.factors if factor not in core)
    least = len(core) < 3 and any(factor.labels for factor in beside) and len(core) < len(of.factors)
    left = tuple(label for label in of.output if any(label in factor.labels for factor in core))
    if not least or not core:
        return None
    inner = _built(Product(core, left, of.sizes), scale)
    whole = None if inner is None else _built(Product((Factor(left, inner), *beside), of.output, of.sizes), scale, node.type.known)
    return whole if whole is not None and whole.type == node.type else None


def _built(of: Product, scale: Scale, shape: Shape | None = None) -> Node | None:
    """A product's node, its axes of size 1 put back where a shape has them."""
    order = best_order(of, scale)
    shape = tuple(of.sizes[label] for label in of.output) if shape is None else shape
    return None if order is None else order.built([factor.node for factor in of.factors], shape)


def once(program: Program) -> Program:
    """``a * b`` and ``b * a`` are one product."""
    mapped: dict[Node, Node] = {}
    turned: dict[tuple[Node, ...], Node] = {}
    for node in topological(program.roots):
        mapped[node] = node
        if isinstance(node, Apply):
            args = tuple(mapped[arg] for arg in node.args)
            mapped[node] = new = node if args == node.args else apply(node.op, *args, **dict(node.attrs))
            if applies(new, "multiply"):
                mapped[node] = turned.get(args, new)
                turned.setdefault(args[::-1], mapped[node])
    return remapped(program, mapped)


def scales(node: Node) -> bool:
    """Whether an array is another times a number."""
    return applies(node, "multiply") and is_factor(node.args[0]) and node.args[1].type == node.type and bool(node.type.shape)


def _divided_last(node: Node, readers: Mapping[Node, list[Node]]) -> Node:
    """``sum(x / s)`` as ``sum(x) / s``, and ``x / s * s`` as ``x``."""
    if applies(node, "multiply") and applies(node.args[0], "divide") and node.args[0].args[1] is node.args[1] and node.args[0].args[0].type == node.type:
        return node.args[0].args[0]
    x = node.args[0] if applies(node, "sum") else None
    if not (isinstance(node, Apply) and x is not None and applies(x, "divide") and len(readers.get(x, ())) == 1 and x.type.shape):
        return node
    top, bottom = x.args
    own, axes = bottom.type.shape, axes_of(node.attr("axes"), len(x.type.shape))
    if own is None or top.type.shape != x.type.shape or any(len(own) >= -axis and own[axis] != ONE for axis in axes):
        return node
    if own and not node.attr("keepdims"):
        bottom = rewrite(reshape(bottom, tuple(dim for i, dim in enumerate(own) if i - len(own) not in axes)))
    return rewritten("divide", rewrite(apply(node.op, top, **dict(node.attrs))), bottom)


__all__ = ["divided", "late", "once", "outside", "readers_of", "scale_of", "scales", "upon"]
