"""Products of several arrays in the order that costs least, whatever the parentheses.

Before: ``A @ B @ x``, ``sum(A @ B)``, ``trace(A @ B)``. After: ``A @ (B @ x)``, ``sum(A, axis=0) @ sum(B, axis=1)``, ``sum(A * B.T)``.

A product within a product is taken apart where nothing else reads it, or where all that read it are products and do better without it. An
order is taken when it is cheaper for every size, for the sizes that ``dim N ~ 1000`` hints, or in the terms of its cost that grow fastest;
else what is written stands.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace

from dsl.calculus.chains import MOST, Order, as_product, best_order, flattened, joined, only_turns, own_cost, sums_within
from dsl.calculus.scalings import divided, once, readers_of, scale_of, scales, upon
from dsl.calculus.within import within
from dsl.nodes import (
    Apply,
    Const,
    Input,
    Node,
    Program,
    Rewrite,
    applies,
    cotangent_names,
    fused_only,
    remapped,
    topological,
    value_only,
    with_fused,
    with_value,
)
from dsl.ops.factorisations import PART, place_of
from dsl.ops.spec import Text
from dsl.types import ZERO, Dim

NAME_WIDTH = 24
SAID, SAID_WIDTH = 4, 90
TOPS = ("einsum", "sum", "multiply")


def contract(program: Program) -> Program:
    """The same values from cheaper products, in the pair and in the fused graph, each on its own. Each change is listed in ``rewrites``."""
    pair = set(topological(program.roots))
    shown = {node for node in cotangent_names(program, program.adjoints) if node in pair}
    made = _ordered(replace(program, fused=(), fused_adjoints={}, alone=()), lambda program: _Planner(program, shown))
    made = with_value(made, _ordered(value_only(program), _Planner)) if program.alone else made
    # of programs without derivatives yet, what is said holds for value_and_grad too
    only = _ordered(fused_only(program), _Fused) if program.fused else made
    told = dict.fromkeys(program.hastened + _in_words(only.rewrites[len(program.rewrites) :]))
    return replace(with_fused(made, only) if program.fused else made, hastened=tuple(told))


def _ordered(program: Program, planner: Callable[[Program], _Planner]) -> Program:
    """The program with its products in the cheapest order, those of each turn of a loop in the turn's."""
    program = _joined(divided(within(program, lambda turn, _: _ordered(turn, planner))))
    plans = planner(program).plans()
    mapped: dict[Node, Node] = {}
    found: list[Rewrite] = []
    for node in topological(program.roots):
        mapped[node] = _rebuilt(node, mapped, plans)
        if node in plans and mapped[node] is not node and plans[node].order.rearranges:
            found.append(Rewrite(program.lines.get(node), *_said(program, node, plans[node], mapped)))
    return once(replace(remapped(program, mapped), rewrites=program.rewrites + tuple(dict.fromkeys(found))))


# scalings beside products --------------------------------------------------------------------------------------------


def _joined(program: Program) -> Program:
    """``d * x + M @ x`` as ``(M + diag(d)) @ x`` where that is cheaper: one pass over x in place of three."""
    readers, scale = readers_of(program), scale_of(program)
    mapped: dict[Node, Node] = {}
    for node in topological(program.roots):
        mapped[node] = _rebuilt(node, mapped, {})
        if applies(node, "add") and all(len(readers[arg]) == 1 for arg in node.args):
            one, two = (flattened(arg, lambda each: len(readers.get(each, ())) == 1) for arg in node.args)
            for scaling, matrix in ((one, two), (two, one)):
                if scaling and matrix and (new := joined(scaling[0], matrix[0], mapped, scale)):
                    mapped[node] = new
    return remapped(program, mapped)


# plans ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """The order that a product is computed in, and the nodes that it takes the place of."""

    order: Order
    taken: tuple[Node, ...]


class _Planner:
    """Looks at every product of a graph once, those nearest to the roots first. What is ``shown`` stays."""

    def __init__(self, program: Program, shown: Container[Node] = ()) -> None:
        self.scale, self.shown = scale_of(program), shown
        self.order = topological(program.roots)
        self.roots = set(program.roots)
        self.readers, self.sums = readers_of(program), sums_within(self.order)
        self.dissolved: set[Node] = set()

    def plans(self) -> dict[Node, Plan]:
        for node in reversed(self.order):
            if len(self.readers[node]) > 1 and applies(node, "einsum") and self.may_go(node) and self.better_without(node):
                self.dissolved.add(node)
        plans: dict[Node, Plan] = {}
        gone: set[Node] = set()
        for node in reversed(self.order):
            plan = self.plan(node, self.absorbs) if applies(node, *TOPS) and node not in gone else None
            if plan is None:
                continue
            old = sum((own_cost(each) for each in plan.taken if each not in self.dissolved or each is node), ZERO)
            if any(each in self.dissolved for each in plan.taken) or self.scale.cheaper(plan.order.cost, old):
                plans[node] = plan
                gone.update(plan.taken)
        return plans

    def absorbs(self, node: Node) -> bool:
        return self.may_go(node) and (len(self.readers.get(node, ())) == 1 or node in self.dissolved or only_turns(node))

    def may_go(self, node: Node) -> bool:
        """Not what a person reads in backward, a cotangent under its name, unless it is a product that need not be formed."""
        return node not in self.roots and (applies(node, "einsum") or node not in self.shown) and as_product(node) is not None

    def plan(self, node: Node, absorbs: Callable[[Node], bool]) -> Plan | None:
        found = flattened(node, absorbs, self.sums) if self.counts(node) else None
        order = best_order(found[0], self.scale) if found else None
        return Plan(order, tuple(found[1])) if found and order and len(order.of.factors) > 1 else None

    def counts(self, node: Node) -> bool:
        """Whether a product adds anything up, so that its order matters."""
        return node in self.sums or scales(node)

    def better_without(self, node: Node) -> bool:
        """Whether all that read a product are cheaper when they do without it, its own cost saved. A square does not do without."""
        if any((read := as_product(reader)) and sum(factor.node is node for factor in read.factors) > 1 for reader in self.readers[node]):
            return False
        kept, apart = self.cost(node, self.absorbs), ZERO
        for top in (tops := self.tops(node)):
            kept, apart = kept + self.cost(top, self.absorbs), apart + self.cost(top, lambda each: each is node or self.absorbs(each))
        return bool(tops) and self.scale.cheaper(apart, kept)

    def cost(self, top: Node, absorbs: Callable[[Node], bool]) -> Dim:
        plan = self.plan(top, absorbs)
        return plan.order.cost if plan else own_cost(top)

    def tops(self, node: Node) -> list[Node]:
        """The products that a node is a step of; none where it is a step of something else, or of too many."""
        found, seen, waiting = list[Node](), set[Node](), [*self.readers[node]]
        while waiting:
            reader = waiting.pop()
            while len(self.readers[reader]) == 1 and self.absorbs(reader):
                reader = self.readers[reader][0]
            if reader in seen:
                continue
            seen.add(reader)
            if reader in self.dissolved or (only_turns(reader) and self.absorbs(reader)):
                waiting += self.readers[reader]
            elif applies(reader, *TOPS) and as_product(reader) is not None:
                found.append(reader)
            else:
                return []
            if len(found) + len(waiting) > MOST:
                return []
        return found


class _Fused(_Planner):
    """Of the fused graph, which nobody need recognise, every product is looked at: ``x * v * w`` of smaller v and w as ``x * (v * w)``."""

    def counts(self, node: Node) -> bool:
        return True


def _rebuilt(node: Node, mapped: Mapping[Node, Node], plans: Mapping[Node, Plan]) -> Node:
    if node in plans:
        order = plans[node].order
        new = order.built([mapped.get(factor.node, factor.node) for factor in order.of.factors], node.type.known)
        if new.type == node.type and not applies(new, "broadcast_to"):
            return new
    return upon(node, mapped)


# what was done, in words ---------------------------------------------------------------------------------------------


def _in_words(rewrites: Sequence[Rewrite]) -> tuple[str, ...]:
    """The first few changes that are short enough to be read."""
    said = dict.fromkeys(f"{each.before} is computed as {each.after}." for each in rewrites)
    return tuple(text for text in said if len(text) <= SAID_WIDTH)[:SAID]


class _Printer:
    """Prints a product for a person, outside of any module."""

    dtype = "float"
    fast = False

    def dim(self, dim: Dim) -> str:
        return dim.text()

    def shape(self, node: Node) -> str:
        return str(node.type)


def _said(program: Program, node: Node, plan: Plan, mapped: Mapping[Node, Node]) -> tuple[str, str]:
    leaves = {factor.node for factor in plan.order.of.factors}
    names = {each: _name(program, each) for each in leaves}
    names.update({mapped.get(each, each): name for each, name in list(names.items())})
    return _text(node, names), _text(mapped[node], names)


def _text(root: Node, names: Mapping[Node, Text]) -> str:
    texts = dict(names)
    for node in topological([root], texts):
        if not isinstance(node, Apply):
            texts[node] = Text(_plain(node))
        else:
            # of a loop, which is printed as statements, a part is all that can be seen
            whole = node.op.nested or (node.op is PART and isinstance(node.args[0], Apply) and node.args[0].op.nested)
            texts[node] = Text(f"{node.op.name}(…)") if whole else node.op.emit(node, [texts[arg] for arg in node.args], _Printer())
    return texts[root].text


def _name(program: Program, node: Node, depth: int = 2) -> Text:
    """What a person calls a node, or a short formula of it."""
    known = program.names.get(node) or program.wishes.get(node)
    if known or not isinstance(node, Apply):
        return Text(known or _plain(node))
    of = node.args[0] if node.op is PART else None
    name = of.op.parts[place_of(node)] if isinstance(of, Apply) and of.op.parts else node.op.name
    whole = f"{name}(…)"
    if not depth or node.op.nested:
        return Text(whole)
    text = node.op.emit(node, [_name(program, arg, depth - 1) for arg in node.args], _Printer())
    return text if len(text.text) <= NAME_WIDTH else Text(whole)


def _plain(node: Node) -> str:
    return node.name if isinstance(node, Input) else repr(node.value) if isinstance(node, Const) else str(node.type)
