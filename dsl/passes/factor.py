"""A matrix is factorised as few times as NumPy allows.

Before: ``inv(A) @ b``; ``solve(A, b)`` and ``solve(A, C)``; ``solve(A.T, g)`` beside ``inv(A)``, which the derivative of ``logdet(A)`` needs. After:
``solve(A, b)``; one ``solve`` of which b and C are columns; ``inv(A).T @ g``. NumPy keeps no factors: what is solved together, or by the inverse
that is there anyway, is factorised once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dsl.nodes import Apply, Node, Program, apply, remapped, topological
from dsl.ops.cholesky import INV_UPPER, inv_upper
from dsl.ops.contraction import EINSUM, einsum, split_spec
from dsl.ops.indexing import FULL, index
from dsl.ops.linalg_ops import INV, SOLVE, SOLVE_TRIANGULAR, inv, solve
from dsl.ops.loops import LOOP, as_loop
from dsl.ops.matrices import column, mm, mT
from dsl.ops.shaping import concatenate
from dsl.types import ONE, Dim

# from so many products on, an inverse costs less than solving for each
PRODUCTS = 4
Change = Callable[[Apply, Sequence[Node]], Node | None]
Step = Callable[[Sequence[Node], Sequence[Node]], Change]


def factor(program: Program) -> Program:
    """The same program with fewer factorisations."""
    program = remapped(program, _changed(program.every_root, _solved))
    return remapped(program, _changed(program.every_root, _stacked))


def reuse(program: Program) -> Program:
    """The same program, with an inverse that is needed anyway in the place of other factorisations. What ``value`` returns needs none."""
    new = remapped(program, _changed(program.every_root, _inverted))
    if new.outputs == program.outputs:
        return new
    return replace(new, alone=program.outputs, names={**program.names, **new.names}, lines={**program.lines, **new.lines})


def _changed(roots: Sequence[Node], step: Step) -> dict[Node, Node]:
    """Every node of a graph, and of the turns of the loops in it, as a step has it: it is asked about the graph, then about every node."""
    order = topological(roots)
    change = step(order, roots)
    mapped: dict[Node, Node] = {}
    for node in order:
        mapped[node] = node
        if isinstance(node, Apply):
            args = [mapped[arg] for arg in node.args]
            mapped[node] = new = apply(node.op, *args, **dict(node.attrs))
            if node.op is LOOP:
                made = as_loop(new)
                inner = _changed(made.turn.made, step)
                mapped[node] = made.again(made.turn.mapped(inner), made.initial, made.sequences, made.constants).node
            else:
                mapped[node] = change(node, args) or new
    return mapped


# inv(A) @ b ----------------------------------------------------------------------------------------------------------


def _solved(order: Sequence[Node], roots: Sequence[Node]) -> Change:
    """An inverse that only multiplies is none: what it multiplies is solved for."""
    users: dict[Node, list[Node]] = {}
    for node in order:
        for arg in node.args:
            users.setdefault(arg, []).append(node)
    inverses = [node for node in order if isinstance(node, Apply) and node.op is INV and node not in roots]
    gone = {node for node in inverses if len(users[node]) <= PRODUCTS and all(_side(user, node) is not None for user in users[node])}

    def change(node: Apply, args: Sequence[Node]) -> Node | None:
        side = next((side for arg in node.args if arg in gone and (side := _side(node, arg)) is not None), None)
        if side is None:
            return None
        i, contracted, free = side
        A, b = args[i], args[1 - i]
        assert isinstance(A, Apply)
        labels, output = split_spec(str(node.attr("spec")))
        rest = labels[1 - i].replace(contracted, "")
        b = einsum(f"{labels[1 - i]}->{contracted}{rest}", b)
        x = solve(A.args[0] if labels[i] == free + contracted else mT(A.args[0]), b)
        return einsum(f"{free}{rest}->{output}", x)

    return change


def _side(node: Node, inverse: Node) -> tuple[int, str, str] | None:
    """Where an inverse stands in a product with a vector or a matrix, its axis that is summed over, and the other."""
    if not (isinstance(node, Apply) and node.op is EINSUM and len(node.args) == 2) or node.args[0] is node.args[1]:
        return None
    labels, output = split_spec(str(node.attr("spec")))
    i = node.args.index(inverse)
    mine, other = labels[i], labels[1 - i]
    summed = [label for label in mine if label in other and label not in output]
    if len(mine) != 2 or len(other) > 2 or len(set(other)) < len(other) or len(set(mine)) < 2 or len(summed) != 1:
        return None
    (free,) = set(mine) - {*summed}
    return (i, summed[0], free) if free in output and free not in other and set(other) - {*summed} <= set(output) else None


# solve(A, b), solve(A, C) --------------------------------------------------------------------------------------------


def _stacked(order: Sequence[Node], roots: Sequence[Node]) -> Change:
    """Solutions for one matrix, of which none needs another, are columns of one."""
    groups = {member: group for group in _groups(order) for member in group}
    stacks: dict[int, Node] = {}
    places = {node: i for i, node in enumerate(order)}
    ready: dict[Node, Node] = {}

    def built(node: Node) -> Node:
        """A node by what the others have become, where that is later than its turn."""
        for each in topological([node], ready):
            args = [ready[arg] for arg in each.args]
            ready[each] = each if not isinstance(each, Apply) else change(each, args) or apply(each.op, *args, **dict(each.attrs))
        return ready[node]

    def change(node: Apply, args: Sequence[Node]) -> Node | None:
        group = groups.get(node)
        if group is None:
            return None
        key = places[group[0]]
        if key not in stacks:
            sides = [built(each.args[1]) for each in group]
            stacks[key] = solve(built(group[0].args[0]), concatenate([column(b) if len(b.type.known) == 1 else b for b in sides], -1))
        return _columns(stacks[key], group, node)

    return change


def _groups(order: Sequence[Node]) -> list[list[Apply]]:
    """Solves for one matrix that can be done together."""
    groups: list[list[Apply]] = []
    # of every node, the groups that it needs
    needs: dict[Node, frozenset[int]] = {}
    for node in order:
        needed = frozenset().union(*(needs[arg] for arg in node.args))
        if isinstance(node, Apply) and node.op is SOLVE and len(node.args[0].type.known) == 2 and len(node.args[1].type.known) < 3:
            found = next((i for i, group in enumerate(groups) if group[0].args[0] is node.args[0] and i not in needed), None)
            if found is None:
                found = len(groups)
                groups.append([])
            groups[found].append(node)
            needed |= {found}
        needs[node] = needed
    return [group for group in groups if len(group) > 1]


def _columns(stacked: Node, group: Sequence[Apply], node: Apply) -> Node:
    """The columns of one solution among those of all."""
    start = Dim.number(0)
    for each in group:
        width = ONE if len(each.type.known) == 1 else each.type.known[1]
        if each is node:
            ends = (start if start.terms else None, None if each is group[-1] else start + width)
            item = ("int", start) if len(each.type.known) == 1 else ("slice", *ends, 1)
            return index(stacked, (FULL, item))
        start = start + width
    raise AssertionError("a solution is among those that it is solved with")


# solve(A.T, g) beside inv(A) -----------------------------------------------------------------------------------------


def _inverted(order: Sequence[Node], roots: Sequence[Node]) -> Change:
    """Where an inverse is needed anyway, the systems of its transpose are solved by it. That is as accurate as solving them, for the residual of
    inv(A) is small on the side that counts: A @ inv(A) is nearly 1 (Druinsky & Toledo, *How accurate is inv(A) * b?*, 2012). The inverse of a
    triangle is right on both sides, its columns being solved for by substitution (Higham, *Accuracy and stability*, 2002, chapter 14)."""
    inverses = {node.args[0] for node in order if isinstance(node, Apply) and node.op is INV}
    uppers = {node.args[0] for node in order if isinstance(node, Apply) and node.op is INV_UPPER}

    def change(node: Apply, args: Sequence[Node]) -> Node | None:
        if node.op not in (SOLVE, SOLVE_TRIANGULAR) or len(args[1].type.known) > 2:
            return None
        A, turned = node.args[0], _transposed(node.args[0])
        if node.op is SOLVE and turned is not None and turned in inverses:
            return mm(mT(inv(_untransposed(args[0]))), args[1])
        if node.op is SOLVE_TRIANGULAR and not node.attr("unit_diagonal"):
            if not node.attr("lower") and A in uppers:
                return mm(inv_upper(args[0]), args[1])
            if node.attr("lower") and mT(A) in uppers:
                return mm(mT(inv_upper(mT(args[0]))), args[1])
        return None

    return change


def _untransposed(node: Node) -> Node:
    turned = _transposed(node)
    assert turned is not None
    return turned


def _transposed(node: Node) -> Node | None:
    """What a matrix is the transpose of."""
    if not (isinstance(node, Apply) and node.op is EINSUM and len(node.args) == 1):
        return None
    (labels,), output = split_spec(str(node.attr("spec")))
    return node.args[0] if len(labels) == 2 and labels[::-1] == output and labels != output else None


__all__ = ["factor", "reuse"]
