"""Products with Jacobians, without the Jacobians.

Before: ``hessian(L, w) @ v``. After: ``hvp(L, w, v)``. A matrix in v's place is as many vectors, multiplied all at once.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import partial
from typing import NamedTuple

from dsl.calculus.batching import Unbatchable
from dsl.calculus.jacobians import for_every_column
from dsl.calculus.reverse import pull_back
from dsl.nodes import Apply, Nested, Node, Program, argument, const, rebuild, remapped, substituted, topological
from dsl.ops.aliases import NAMED
from dsl.ops.broadcasting import broadcast_to, reshape
from dsl.ops.contraction import einsum, is_turned, split_spec
from dsl.ops.linear import JACOBIAN, Linear, forgotten
from dsl.types import Shape, product


def without_jacobians(program: Program) -> Program:
    """The program with derivatives in directions in place of products with Jacobians, but for those that are needed otherwise too."""
    while formed := _formed(program.every_root):
        program = remapped(program, rebuild(program.every_root, partial(_forgotten_of, formed)))
    program = remapped(program, rebuild(program.every_root, directed))
    return remapped(program, rebuild(program.every_root, forgotten))


def _forgotten_of(formed: Container[Node], node: Node) -> Node:
    return forgotten(node) if node in formed else node


def directed(node: Node, kept: Container[Node] = ()) -> Node:
    """A product of a Jacobian and an array as the derivative in the array's direction, if it is one. Names that are ``kept`` stand for
    themselves, not for the Jacobian that they name."""
    plan = _planned(node, kept)
    if plan is None:
        return node
    try:
        made = _in_directions(plan)
    except Unbatchable:
        return node
    return einsum(plan.turned, made)


class _Plan(NamedTuple):
    """A product with a Jacobian: what it is multiplied by, the axes that this has besides, whether the Jacobian comes first, and the order in
    which the result has its axes."""

    jacobian: Apply
    v: Node
    more: Shape
    forward: bool
    turned: str


def _planned(node: Node, kept: Container[Node]) -> _Plan | None:
    if not (isinstance(node, Apply) and node.op.name == "einsum" and len(node.args) == 2):
        return None
    labels, output = split_spec(str(node.attr("spec")))
    for i in (0, 1):
        jacobian, order = _jacobian(node.args[i], kept)
        if jacobian is not None:
            plan = _product(jacobian, "".join(labels[i][place] for place in order), node.args[1 - i], labels[1 - i], output)
            if plan is not None:
                return plan
    return None


def _jacobian(node: Node, kept: Container[Node]) -> tuple[Apply | None, list[int]]:
    """The Jacobian that an operand is, perhaps by a name or transposed, and where its axes stand."""
    order = list(range(len(node.type.shape or ())))
    while isinstance(node, Apply) and node not in kept:
        if node.op is JACOBIAN:
            return node, order
        if is_turned(node):
            (labels,), output = split_spec(str(node.attr("spec")))
            order = [order[output.index(label)] for label in labels]
        elif node.op is not NAMED:
            break
        node = node.args[0]
    return None, []


def _is_diagonal(node: Apply) -> bool:
    """Whether a node is the diagonal of another one, or its sum."""
    (labels, *more), _ = split_spec(str(node.attr("spec"))) if node.op.name == "einsum" else ([""], "")
    return not more and len(set(labels)) < len(labels)


def _product(jacobian: Apply, own: str, other: Node, theirs: str, output: str) -> _Plan | None:
    """The product where it takes the Jacobian along all of its rows, or all of its columns, and nowhere else. A square matrix in v's place is no
    less work than the Jacobian, and what holds that needs it anyway."""
    linear = _linear(jacobian)
    rank = len(linear.u.type.known)
    rows, columns = own[:rank], own[rank:]
    if len(set(own)) < len(own) or len(set(theirs)) < len(theirs) or jacobian.args[0] in set(topological([other])):
        return None
    for summed, rest in ((rows, columns), (columns, rows)):
        extra = "".join(label for label in theirs if label not in summed)
        if not (summed and set(summed) <= set(theirs) and set(output) == {*rest, *extra} and set(extra).isdisjoint(rest)):
            continue
        sizes = dict(zip(theirs, other.type.known, strict=True))
        more = tuple(sizes[label] for label in extra)
        if not more or product(more) != product(tuple(sizes[label] for label in summed)):
            v = einsum(f"{theirs}->{summed}{extra}", other)
            return _Plan(jacobian, v, more, summed is columns and not linear.symmetric, f"{rest}{extra}->{output}")
    return None


def _linear(jacobian: Apply) -> Linear:
    linear = jacobian.attr("linear")
    assert isinstance(linear, Linear)
    return linear


def _in_directions(plan: _Plan) -> Node:
    """v times the Jacobian, or the Jacobian times v, for one v or for several along its last axes. Raises Unbatchable."""
    linear = _linear(plan.jacobian)
    root, u = linear.root, linear.u
    if plan.forward:
        along = argument("v", "tangent", root.type)
        pushed = pull_back([(root, along)], [u], {}).get(u)
        if pushed is None:
            return broadcast_to(const(0.0), u.type.known + plan.more)
        root, u = substituted([pushed], {u: broadcast_to(const(0.0), u.type.known)})[pushed], along
    given: dict[Node, Node] = dict(zip(linear.given, plan.jacobian.args[1:], strict=True))
    if not plan.more:
        return substituted([root], {**given, u: plan.v})[root]
    (made,) = for_every_column([root], u, reshape(plan.v, (*u.type.known, product(plan.more))))
    return reshape(substituted([made], given)[made], (*root.type.known, *plan.more))


def _formed(roots: Iterable[Node]) -> set[Node]:
    """The Jacobians that something reads otherwise than by a product with them, or by their diagonal, which is made without the rest."""
    formed: set[Node] = set()
    stack = [list(roots)]
    while stack:
        ends = stack.pop()
        read = list(ends)
        for node in topological(ends):
            if isinstance(node, Apply):
                stack += [list(value.made) for _, value in node.attrs if isinstance(value, Nested)]
                plan = _planned(node, ())
                if not (is_turned(node) or _is_diagonal(node)):
                    read += [arg for arg in node.args if not (plan and _jacobian(arg, ())[0] is plan.jacobian)]
        formed.update(each for each in (_jacobian(node, ())[0] for node in read) if each is not None)
    return formed


__all__ = ["directed", "without_jacobians"]
