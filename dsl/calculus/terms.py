"""A term of a Jacobian (``dsl/calculus/jacobians.py``): an array, and what stands where in the result that it is a part of."""

from __future__ import annotations

from dataclasses import dataclass

from dsl.calculus.identities import rewritten
from dsl.nodes import Apply, Node, const
from dsl.ops.contraction import is_turned, split_spec

Labels = tuple[int, ...]


@dataclass(frozen=True)
class Term:
    """A core with the label of each of its axes, and the labels of the result's axes, those of u and the node's own."""

    core: Node
    axes: Labels
    lead: Labels
    own: Labels

    def renamed(self, old: int, new: int) -> Term:
        """The term with another label in a label's place, which its core may not have."""
        axes, lead, own = (tuple(new if each == old else each for each in labels) for labels in (self.axes, self.lead, self.own))
        return Term(self.core, axes, lead, own)


def pattern(term: Term) -> Labels:
    """Which axes of the result run together: each axis with the first one of its label."""
    labels = term.lead + term.own
    return tuple(map(labels.index, labels))


def weighted_core(term: Term, labels: Labels) -> tuple[tuple[Node, Labels], Node, Labels] | None:
    """A core as an array and a weight along some of its axes, where what else is done along ``labels`` can be done to the weight alone:
    ``X[n, a] * s[n]``, which is to be multiplied by ``t[n]``, is ``X[n, a] * (s * t)[n]``."""
    number, core = _numbered(term.core)
    if not (isinstance(core, Apply) and core.op.name == "einsum" and len(core.args) == 2):
        return None
    specs, output = split_spec(str(core.attr("spec")))
    names = dict(zip(output, term.axes, strict=True))
    if any(len(set(spec)) < len(spec) or not set(spec) <= names.keys() for spec in specs):
        return None
    parts = [(arg, tuple(names[letter] for letter in spec)) for arg, spec in zip(core.args, specs, strict=True)]
    (whole, axes), (weight, some) = sorted(parts, key=lambda part: -len(part[1]))
    if not {*some, *labels} < set(axes):
        return None
    other, whole = _numbered(whole)
    whole, axes = _unturned(whole, axes)
    return (whole, axes), rewritten("multiply", rewritten("multiply", number, other), weight), some


def _numbered(node: Node) -> tuple[Node, Node]:
    """The number before a product, and the rest."""
    if isinstance(node, Apply) and node.op.name == "multiply" and node.args[0].type.shape == () and node.args[1].type.shape != ():
        return node.args[0], node.args[1]
    return const(1), node


def _unturned(node: Node, axes: Labels) -> tuple[Node, Labels]:
    """An array before its axes were put in another order."""
    if not is_turned(node):
        return node, axes
    (labels,), output = split_spec(str(node.attr("spec")))
    return node.args[0], tuple(axes[output.index(label)] for label in labels)
