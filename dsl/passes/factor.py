"""A matrix is factorised as few times as NumPy allows.

Before: ``inv(A) @ b``; ``solve(A, b)`` and ``solve(A, C)``; ``solve(A.T, g)`` beside ``inv(A)``, which the derivative of ``logdet(A)`` needs. After:
``solve(A, b)``; one ``solve`` of which b and C are columns; ``inv(A).T @ g``. NumPy keeps no factors: what is solved together, or by the inverse
that is there anyway, is factorised once.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace

from dsl.calculus.inverses import by_inverse, inverse_for, inverses_in, transposed
from dsl.calculus.symmetry import Symmetry
from dsl.nodes import Apply, Node, Program, apply, put_on_line, remapped, topological
from dsl.ops.contraction import EINSUM, einsum, split_spec
from dsl.ops.factorisations import SLOGDET
from dsl.ops.indexing import FULL, index
from dsl.ops.linalg_ops import INV, SOLVE, solve
from dsl.ops.loops import LOOP, as_loop
from dsl.ops.matrices import column, mT
from dsl.ops.shaping import concatenate
from dsl.types import ONE, ZERO

# from so many products on, an inverse costs less than solving for each
PRODUCTS = 4
Change = Callable[[Apply, Sequence[Node]], Node | None]
Step = Callable[[Sequence[Node], Sequence[Node]], Change]


def factor(program: Program) -> Program:
    """The same program with fewer factorisations."""
    program = remapped(program, _changed(program.every_root, _solved))
    given = {each.node for each in program.arguments if not {"spd", "symmetric"}.isdisjoint(each.words)}
    program = remapped(program, _marked(program.every_root, Symmetry(program.every_root, given)))
    return remapped(program, _changed(program.every_root, _apart))


def reuse(program: Program) -> Program:
    """The same program, with an inverse that is needed anyway in the place of other factorisations. What ``value`` returns needs none, and
    solves for all sides together."""
    mapped = _changed(program.every_root, _inverted)
    new = remapped(program, mapped)
    if new.outputs == program.outputs:
        return new
    alone = _changed([node for _, node in program.outputs], _stacked)
    names, lines = dict(new.names), dict(new.lines)
    for node, new_node in alone.items():
        if node in program.lines:
            put_on_line(new_node, program.lines[node], lines)
    named: dict[Node, str] = {}
    for node, name in program.names.items():
        for each in (mapped.get(node), alone.get(node)):
            if isinstance(each, Apply):
                named.setdefault(each, names.get(each, name))
    return replace(new, alone=tuple((name, alone[node]) for name, node in program.outputs), names=named, lines=lines)


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
                mapped[node] = made.turning(made.turn.mapped(inner)).node
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


# symmetric matrices ----------------------------------------------------------------------------------------------------


def _marked(roots: Sequence[Node], symmetry: Symmetry) -> dict[Node, Node]:
    """Every node, a solution for a symmetric matrix told so: backward then solves for the matrix itself, as forward does."""
    mapped: dict[Node, Node] = {}
    for node in topological(roots):
        mapped[node] = node
        if isinstance(node, Apply):
            args = [mapped[arg] for arg in node.args]
            mapped[node] = new = apply(node.op, *args, **dict(node.attrs))
            if node.op is LOOP:
                made = as_loop(new)
                turn = made.turn.mapped(_marked(made.turn.made, symmetry.turns[node]))
                mapped[node] = made.turning(turn).node
            elif node.op is SOLVE and node.args[0] in symmetry.known:
                mapped[node] = solve(transposed(args[0]) or args[0], args[1], symmetric=True)
    return mapped


# solve(A, b), solve(A, C) --------------------------------------------------------------------------------------------


def _apart(order: Sequence[Node], roots: Sequence[Node]) -> Change:
    """Solutions for one matrix are columns of one, unless its inverse will be needed for a gradient: then they are products with that."""
    inverted = {node.args[0] for node in order if isinstance(node, Apply) and node.op in (INV, SLOGDET)}
    return _stacked(order, roots, {node for node in order if inverse_for(node) is not None and node.args[0] in inverted})


def _stacked(order: Sequence[Node], roots: Sequence[Node], apart: Container[Node] = ()) -> Change:
    """Solutions for one matrix, of which none needs another, are columns of one, but for those that stay ``apart``."""
    groups = {member: group for group in _groups(order, apart) for member in group}
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
            wide = concatenate([column(b) if len(b.type.known) == 1 else b for b in sides], -1)
            stacks[key] = apply(SOLVE, built(group[0].args[0]), wide, **dict(group[0].attrs))
        return _columns(stacks[key], group, node)

    return change


def _groups(order: Sequence[Node], apart: Container[Node]) -> list[list[Apply]]:
    """Solves for one matrix that can be done together."""
    groups: list[list[Apply]] = []
    # of every node, the groups that it needs, and of every group those that any of it needs
    needs: dict[Node, frozenset[int]] = {}
    between: list[frozenset[int]] = []
    for node in order:
        needed = frozenset().union(*(needs[arg] for arg in node.args))
        if isinstance(node, Apply) and node.op is SOLVE and [len(arg.type.known) for arg in node.args] in ([2, 1], [2, 2]) and node not in apart:
            before = _reached(needed, between)
            found = next((i for i, group in enumerate(groups) if _alike(group[0], node) and i not in before), None)
            if found is None:
                found = len(groups)
                groups.append([])
                between.append(frozenset())
            groups[found].append(node)
            between[found] |= needed
            needed |= {found}
        needs[node] = needed
    return [group for group in groups if len(group) > 1]


def _reached(groups: Iterable[int], between: Sequence[Iterable[int]]) -> set[int]:
    """The groups, and those that they need, and so on."""
    found: set[int] = set()
    stack = list(groups)
    while stack:
        group = stack.pop()
        if group not in found:
            found.add(group)
            stack += between[group]
    return found


def _alike(one: Apply, other: Apply) -> bool:
    return one.args[0] is other.args[0] and one.attrs == other.attrs


def _columns(stacked: Node, group: Sequence[Apply], node: Apply) -> Node:
    """The columns of one solution among those of all."""
    start = ZERO
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
    """What is solved for a matrix whose inverse is there is a product with that."""
    inverses = inverses_in(order)
    return lambda node, args: by_inverse(node, args) if inverse_for(node) in inverses else None


__all__ = ["factor", "reuse"]
