"""What is linear in u, for every u that is 1 at one place: a Jacobian, as a sum of terms that know where they are 0.

A term is an array, the ``core``, and a label for each axis of the result: the leading axes, those of u, and the ``own`` axes of the node. The core
has an axis for some of the labels. Axes of one label have one index, and elsewhere the term is 0; along a label that the core lacks the term
repeats itself. So the identity is the number 1 under ``lead = own``, and a product with it renames an axis instead of multiplying.

Before: ``u * exp(x)``. After: ``exp(x)`` on the diagonal. What an operation does to the axes that it works along is said here; where it says nothing
the term is written out, and ``dsl/calculus/batching.py`` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import count
from string import ascii_letters
from typing import cast as typing_cast

from dsl.calculus.batching import Unbatchable, batched_node
from dsl.calculus.identities import is_zero, rewrite, rewritten
from dsl.calculus.terms import Labels, Term, pattern, weighted_core
from dsl.nodes import Apply, Node, apply, const, topological
from dsl.ops.along import runs_backwards
from dsl.ops.broadcasting import broadcast_to, reshape
from dsl.ops.contraction import einsum, embed, split_spec
from dsl.ops.core import is_number
from dsl.ops.diagonals import tril, triu
from dsl.ops.elementwise import Elementwise, cast
from dsl.ops.indexing import FULL, SCATTER, Item
from dsl.ops.making import arange, dimension, eye
from dsl.types import ONE, Dim, Shape, product


def for_every_unit(roots: Sequence[Node], u: Node) -> list[Node]:
    """The roots, which are linear in u, with u's axes in front: for every u that is 1 at one place and 0 elsewhere. Raises Unbatchable."""
    maker = _Maker(u.type.known)
    own = tuple(map(maker.label, u.type.known))
    lead = tuple(maker.label(ONE) if maker.sizes[label] == ONE else label for label in own)
    return maker.made(roots, u, Term(const(1.0), (), lead, own))


def for_every_column(roots: Sequence[Node], u: Node, columns: Node) -> list[Node]:
    """The same for every u that stands along the last axis of ``columns``, which is the last one of the result. Raises Unbatchable."""
    shape = columns.type.known
    maker = _Maker(shape[-1:], behind=True)
    axes = tuple(map(maker.label, shape))
    return maker.made(roots, u, Term(columns, axes, axes[-1:], axes[:-1]))


class _Maker:
    """Makes of a graph the terms of every node of it."""

    def __init__(self, lead: Shape, behind: bool = False) -> None:
        self.lead, self.behind = lead, behind
        self.sizes: dict[int, Dim] = {}
        self._fresh = count()

    def label(self, size: Dim) -> int:
        label = next(self._fresh)
        self.sizes[label] = size
        return label

    def made(self, roots: Sequence[Node], u: Node, start: Term) -> list[Node]:
        """The roots with the leading axes, one term after another and all of them added up."""
        terms: dict[Node, list[Term]] = {u: [self._without_ones(start)]}
        for node in topological(roots):
            if isinstance(node, Apply) and node not in terms and not terms.keys().isdisjoint(node.args):
                terms[node] = self._merged(self._step(node, terms))
        if not self.behind:
            return [self.whole(terms.get(node, []), self.lead + node.type.known, node) for node in roots]
        turned = {node: [replace(term, lead=term.own, own=term.lead) for term in terms.get(node, [])] for node in roots}
        return [self.whole(turned[node], node.type.known + self.lead, node) for node in roots]

    def _step(self, node: Apply, terms: dict[Node, list[Term]]) -> list[Term]:
        if node.type.shape is None:
            raise Unbatchable(node.op.name)
        if isinstance(node.op, Elementwise):
            found = self._elementwise(node, terms)
            if found is not None:
                return found
        given = [i for i, arg in enumerate(node.args) if arg in terms]
        rule = _RULES.get(node.op.name)
        if rule is not None and len(given) == 1:
            each = [rule(self, node, term, given[0]) for term in terms[node.args[given[0]]]]
            found = [term for term in each if term is not None]
            if len(found) == len(each):
                return found
        return [self._dense(node, terms)]

    def _dense(self, node: Apply, terms: dict[Node, list[Term]]) -> Term:
        """An operation on arrays that are written out."""
        made = {arg: self.whole(terms[arg], self.lead + arg.type.known, arg) for arg in node.args if arg in terms}
        core = batched_node(node, made, self.lead)
        lead, own = (tuple(map(self.label, shape)) for shape in (self.lead, node.type.known))
        return self._without_ones(Term(core, lead + own, lead, own)) if node.op.name != "loop" else Term(core, (), lead, own)

    # the arithmetic of terms -------------------------------------------------------------------------------------------

    def product(self, parts: Sequence[tuple[Node, Labels]], out: Labels) -> Node:
        """A contraction whose labels are numbers."""
        parts = [(node, labels) for node, labels in parts if not is_number(node, 1)] or list(parts[:1])
        letters = dict(zip(dict.fromkeys(label for _, labels in parts for label in labels), ascii_letters, strict=False))
        if len(letters) < len({label for _, labels in parts for label in labels}):
            raise Unbatchable("einsum")
        spec = ",".join("".join(letters[label] for label in labels) for _, labels in parts)
        if all(labels == out for _, labels in parts):
            found = parts[0][0]
            for node, _ in parts[1:]:
                found = rewritten("multiply", found, node)
            return found
        (node, labels), *more = parts
        if not more and isinstance(node, Apply) and node.op.name == "einsum" and len(node.args) > 1 and len(out) < len(labels) == len(set(labels)):
            # a sum of a product's entries is one contraction
            inner, made = split_spec(str(node.attr("spec")))
            kept = "".join(made[labels.index(label)] for label in out)
            return rewrite(einsum(f"{','.join(inner)}->{kept}", *node.args))
        return rewrite(einsum(f"{spec}->{''.join(letters[label] for label in out)}", *(node for node, _ in parts)))

    def _times(self, term: Term, other: Node, labels: Labels) -> Term:
        """The term times an array whose axes have labels of the result."""
        if is_number(term.core, 1) and len(set(labels)) == len(labels):
            return replace(term, core=other, axes=labels)
        if weighted := weighted_core(term, labels):
            whole, weight, axes = weighted
            out = self._ordered(term, (*axes, *labels))
            return self._with_weight(term, whole, self.product([(weight, axes), (other, labels)], out), out)
        if term.axes == labels and len(set(labels)) == len(labels):
            return replace(term, core=rewritten("multiply", term.core, other))
        out = self._ordered(term, (*term.axes, *labels))
        return replace(term, core=self.product([(term.core, term.axes), (other, labels)], out), axes=out)

    def _with_weight(self, term: Term, whole: tuple[Node, Labels], weight: Node, axes: Labels) -> Term:
        return replace(term, core=self.product([whole, (weight, axes)], term.axes))

    def _ordered(self, term: Term, labels: Iterable[int]) -> Labels:
        """Labels in the order in which the result has them."""
        wanted = set(labels)
        every = term.own + term.lead if self.behind else term.lead + term.own
        return tuple(label for label in dict.fromkeys(every) if label in wanted)

    def lined_up(self, node: Node, labels: Labels, out: Labels) -> Node:
        """An array that broadcasts against the axes ``out``."""
        kept = tuple(label for label in out if label in labels)
        if kept != labels:
            node = self.product([(node, labels)], kept)
        if not kept:
            return node
        return rewrite(reshape(node, tuple(self.sizes[label] if label in kept else ONE for label in out[out.index(kept[0]) :])))

    def filled(self, node: Node, labels: Labels, out: Labels) -> Node:
        """An array with every axis of ``out``, repeated along those that it lacks."""
        return rewrite(broadcast_to(self.lined_up(node, labels, out), tuple(self.sizes[label] for label in out)))

    def _without_ones(self, term: Term) -> Term:
        """The term with no axis of size 1 in its core."""
        kept = tuple(label for label in term.axes if self.sizes[label] != ONE)
        if kept == term.axes:
            return term
        return replace(term, core=rewrite(reshape(term.core, tuple(self.sizes[label] for label in kept))), axes=kept)

    def aligned(self, term: Term, shape: Shape) -> Term:
        """The term broadcast to a shape of its own axes."""
        own = tuple(self.label(ONE) for _ in range(len(shape) - len(term.own))) + term.own
        wide = tuple(self.label(dim) if self.sizes[label] == ONE and dim != ONE else label for label, dim in zip(own, shape, strict=True))
        return replace(term, own=wide)

    def squeezed(self, other: Node, own: Labels) -> tuple[Node, Labels]:
        """An array that broadcasts against the own axes, with the label of each of its axes that is not of size 1."""
        shape = other.type.known
        labels = own[len(own) - len(shape) :]
        kept = [(label, dim) for label, dim in zip(labels, shape, strict=True) if dim != ONE]
        narrow = rewrite(reshape(other, tuple(dim for _, dim in kept))) if len(kept) < len(shape) else other
        names = tuple(label for label, _ in kept)
        once = tuple(dict.fromkeys(names))
        return (narrow, names) if once == names else (self.product([(narrow, names)], once), once)

    def opened(self, term: Term, places: Iterable[int]) -> Term:
        """The term with own axes that no other axis runs with: an identity is written out for each that does."""
        for place in places:
            label = term.own[place]
            if (term.lead + term.own).count(label) > 1:
                new = self.label(self.sizes[label])
                own = (*term.own[:place], new, *term.own[place + 1 :])
                term = self._times(replace(term, own=own), eye(self.sizes[label]), (label, new))
        return term

    # sums of terms -------------------------------------------------------------------------------------------------------

    def _merged(self, terms: Sequence[Term]) -> list[Term]:
        """Terms that are 0 at the same places are one."""
        found: dict[Labels, Term] = {}
        for term in terms:
            key = pattern(term)
            if key not in found:
                found[key] = term
                continue
            first = found[key]
            names = dict(zip(term.lead + term.own, first.lead + first.own, strict=True))
            found[key] = self._sum(first, replace(term, axes=tuple(names[label] for label in term.axes)))
        return list(found.values())

    def _sum(self, first: Term, other: Term) -> Term:
        """The sum of two terms, the other's core under the first one's labels."""
        one, two = weighted_core(first, ()), weighted_core(other, ())
        if one and two and one[0] == two[0] and first.axes == other.axes:
            out = self._ordered(first, (*one[2], *two[2]))
            return self._with_weight(first, one[0], rewritten("add", *(self.lined_up(weight, axes, out) for _, weight, axes in (one, two))), out)
        out = self._ordered(first, (*first.axes, *other.axes))
        core = rewritten("add", *(self.lined_up(each.core, each.axes, out) for each in (first, other)))
        return replace(first, core=core, axes=out)

    def whole(self, terms: Sequence[Term], shape: Shape, like: Node) -> Node:
        """The sum of the terms as an array: axes that run together in every one of them are written out last, and once."""
        if isinstance(like, Apply) and like.op.name == "loop":
            return terms[0].core
        if not terms:
            return broadcast_to(const(0.0), shape)
        labels = [term.lead + term.own for term in terms]
        together = [tuple(each[i] for each in labels) for i in range(len(shape))]
        classes = [together.index(each) for each in together]
        names = {place: self.label(shape[place]) for place in dict.fromkeys(classes)}
        out = tuple(names.values())
        parts = [self._placed(term, each, names) for term, each in zip(terms, labels, strict=True)]
        total, axes = parts[0]
        for core, labelled in parts[1:]:
            every = tuple(label for label in out if label in axes or label in labelled)
            total, axes = rewritten("add", self.lined_up(total, axes, every), self.lined_up(core, labelled, every)), every
        total = cast(total, "float")
        if len(out) == len(shape):
            return self.filled(total, axes, out)
        letters = dict(zip(out, ascii_letters, strict=False))
        spec = f"{''.join(letters[label] for label in axes)}->{''.join(letters[names[place]] for place in classes)}"
        return rewrite(embed(spec, total, shape))

    def _placed(self, term: Term, labels: Labels, names: dict[int, int]) -> tuple[Node, Labels]:
        """A term's core under the labels of a sum of terms, some of which may run together in this term alone."""
        own: dict[int, list[int]] = {}
        for place, label in names.items():
            own.setdefault(labels[place], []).append(label)
        axes = tuple(own[label][0] for label in term.axes)
        if all(len(each) == 1 for each in own.values()):
            return term.core, axes
        once = tuple(label for label in names.values() if label in axes or any(label in each and len(each) > 1 for each in own.values()))
        letters = dict(zip(own, ascii_letters, strict=False))
        back = {label: letters[old] for old, each in own.items() for label in each}
        spec = f"{''.join(letters[label] for label in term.axes)}->{''.join(back[label] for label in once)}"
        return rewrite(embed(spec, term.core, tuple(self.sizes[label] for label in once))), once

    # operations ----------------------------------------------------------------------------------------------------------

    def _elementwise(self, node: Apply, terms: dict[Node, list[Term]]) -> list[Term] | None:
        """What is linear entry by entry; None for what is not."""
        name, shape = node.op.name, node.type.known
        if any(arg.type.shape is None for arg in node.args):
            raise Unbatchable(name)
        wide = [[self.aligned(term, shape) for term in terms.get(arg, [])] for arg in node.args]
        if name in ("add", "subtract", "negative"):
            if not all(arg in terms or is_zero(arg) for arg in node.args):
                return None
            minus = wide[-1] if name != "add" else []
            return [*(wide[0] if name != "negative" else []), *(wide[1] if name == "add" else [])] + [self._negated(term) for term in minus]
        if name == "where" and node.args[0] not in terms and all(arg in terms or is_zero(arg) for arg in node.args[1:]):
            return [*(self._chosen(node.args[0], term, True) for term in wide[1]), *(self._chosen(node.args[0], term, False) for term in wide[2])]
        if name == "multiply" and sum(arg in terms for arg in node.args) == 1:
            other = node.args[0] if node.args[1] in terms else node.args[1]
            return [self._times(term, *self.squeezed(other, term.own)) for term in wide[0] + wide[1]]
        if name == "divide" and node.args[1] not in terms:
            return [self._divided(term, *self.squeezed(node.args[1], term.own)) for term in wide[0]]
        return None

    def _negated(self, term: Term) -> Term:
        if weighted := weighted_core(term, ()):
            return self._with_weight(term, weighted[0], rewritten("negative", weighted[1]), weighted[2])
        return replace(term, core=rewritten("negative", term.core))

    def _divided(self, term: Term, other: Node, labels: Labels) -> Term:
        if weighted := weighted_core(term, labels):
            whole, weight, axes = weighted
            out = self._ordered(term, (*axes, *labels))
            return self._with_weight(term, whole, rewritten("divide", self.lined_up(weight, axes, out), self.lined_up(other, labels, out)), out)
        out = self._ordered(term, (*term.axes, *labels))
        core = rewritten("divide", self.lined_up(term.core, term.axes, out), self.lined_up(other, labels, out))
        return replace(term, core=core, axes=out)

    def _chosen(self, condition: Node, term: Term, taken: bool) -> Term:
        choice, labels = self.squeezed(condition, term.own)
        if weighted := weighted_core(term, labels):
            whole, weight, axes = weighted
            inner = self._chosen_of(Term(weight, axes, term.lead, term.own), choice, labels, taken)
            return self._with_weight(term, whole, inner.core, inner.axes)
        return self._chosen_of(term, choice, labels, taken)

    def _chosen_of(self, term: Term, choice: Node, labels: Labels, taken: bool) -> Term:
        out = self._ordered(term, (*term.axes, *labels))
        sides = [self.lined_up(term.core, term.axes, out), const(0.0)]
        core = rewritten("where", self.lined_up(choice, labels, out), *(sides if taken else sides[::-1]))
        return replace(term, core=core, axes=out)

    def same(self, node: Apply, term: Term, at: int) -> Term:
        return term

    def broadcast(self, node: Apply, term: Term, at: int) -> Term:
        return self.aligned(term, node.type.known)

    def summed(self, node: Apply, term: Term, at: int) -> Term:
        """Along an axis that runs with another nothing is left to sum."""
        rank, axes = len(term.own), node.attr("axes")
        gone = set(range(rank)) if axes is None else {axis + rank for axis in typing_cast("tuple[int, ...]", axes)}
        lost = {term.own[place] for place in gone} - {*term.lead, *(label for place, label in enumerate(term.own) if place not in gone)}
        own = tuple(self.label(ONE) if place in gone else label for place, label in enumerate(term.own) if place not in gone or node.attr("keepdims"))
        core, kept = self._over(term, lost)
        if node.op.name == "mean":
            core = rewritten("divide", core, dimension(product(tuple(self.sizes[term.own[place]] for place in sorted(gone)))))
        return Term(core, kept, term.lead, own)

    def _over(self, term: Term, lost: set[int]) -> tuple[Node, Labels]:
        """The core summed along some labels: those that it lacks are counted."""
        kept = tuple(label for label in term.axes if label not in lost)
        core = term.core if kept == term.axes else self.product([(term.core, term.axes)], kept)
        repeated = product(tuple(self.sizes[label] for label in sorted(lost.difference(term.axes))))
        return (core if repeated == ONE else rewritten("multiply", dimension(repeated), core)), kept

    def contracted(self, node: Apply, term: Term, at: int) -> Term:
        """An einsum's labels are the term's where it reads u, and new ones elsewhere."""
        specs, output = split_spec(str(node.attr("spec")))
        for place, letter in enumerate(specs[at]):
            # labels that have one index from here on are one in the places to come too
            first = specs[at].index(letter)
            if term.own[first] != term.own[place]:
                term = self._identified(term, term.own[first], term.own[place])
        names = dict(zip(specs[at], term.own, strict=True))
        parts: list[tuple[Node, Labels]] = []
        for i, (spec, arg) in enumerate(zip(specs, node.args, strict=True)):
            if i != at:
                for letter, dim in zip(spec, arg.type.known, strict=True):
                    if letter not in names:
                        names[letter] = self.label(dim)
                parts.append(self.squeezed(arg, tuple(names[letter] for letter in spec)))
        own = tuple(names[letter] for letter in output)
        read = {label for _, labels in parts for label in labels}
        core, axes = self._over(term, set(names.values()) - {*own, *term.lead, *read})
        out = self._ordered(replace(term, own=own), (*axes, *read))
        return Term(self.product([(core, axes), *parts], out), out, term.lead, own)

    def _identified(self, term: Term, one: int, other: int) -> Term:
        """The part of a term where two labels have one index."""
        if one in term.axes and other in term.axes:
            axes = tuple(one if label == other else label for label in term.axes)
            once = tuple(dict.fromkeys(axes))
            term = replace(term, core=self.product([(term.core, axes)], once), axes=once)
        return term.renamed(other, one)

    def embedded(self, node: Apply, term: Term, at: int) -> Term | None:
        """A diagonal's axes run together."""
        if node.op.name == "diag" and node.attr("k") != 0:
            return None
        spec, output = ("i", "ii") if node.op.name == "diag" else str(node.attr("spec")).split("->")
        names = dict(zip(spec, term.own, strict=True))
        for letter, dim in zip(output, node.type.known, strict=True):
            if letter not in names:
                names[letter] = self.label(dim)
        return replace(term, own=tuple(names[letter] for letter in output))

    def reshaped(self, node: Apply, term: Term, at: int) -> Term | None:
        """Axes of size 1 come and go; of the rest, those at either end that stay keep their labels."""
        new = node.type.known
        old = [label for label in term.own if self.sizes[label] != ONE]
        wanted = [dim for dim in new if dim != ONE]
        if [self.sizes[label] for label in old] == wanted:
            rest = iter(old)
            return replace(term, own=tuple(self.label(ONE) if dim == ONE else next(rest) for dim in new))
        return None

    def indexed(self, node: Apply, term: Term, at: int) -> Term | None:
        """Axes that are taken whole keep their labels, up to the first that is not."""
        items = typing_cast("tuple[Item, ...]", node.attr("items"))
        whole = next((i for i, item in enumerate(items) if item != FULL), len(items))
        if at or any(item[0] == "newaxis" for item in items[:whole]):
            return None
        if node.op.name == "scatter" and (found := self._gathered(node, term, items)):
            return found
        arrays = [item for item in items if item[0] == "array"]
        if len(arrays) > 1 and items.index(arrays[0]) != whole:
            return None
        return self._last(node, term, len(term.own) - whole, items[whole:])

    def _gathered(self, node: Apply, term: Term, items: Sequence[Item]) -> Term | None:
        """What came from one index array along an axis that runs with a leading one goes back there: row i of the core to place array[i]."""
        places = [i for i, item in enumerate(items) if item != FULL]
        if len(places) != 1 or items[places[0]][0] != "array" or len(node.args[1].type.known) != 1:
            return None
        place = places[0]
        label, size = term.own[place], node.type.known[place]
        if label not in term.lead or term.own.count(label) > 1:
            return None
        new = self.label(size)
        axes = (*(each for each in term.axes if each != label), label)
        core = self.filled(term.core, term.axes, axes)
        shape = (*(self.sizes[each] for each in axes), size)
        rows = ("array", 0), ("array", 1)
        core = apply(SCATTER, core, arange(self.sizes[label]), node.args[1], items=(*[FULL] * (len(axes) - 1), *rows), shape=shape)
        return Term(core, (*axes, new), term.lead, (*term.own[:place], new, *term.own[place + 1 :]))

    def along(self, node: Apply, term: Term, at: int) -> Term | None:
        axis = node.attr("axis")
        return self._last(node, term, -axis) if isinstance(axis, int) else None

    def running(self, node: Apply, term: Term, at: int) -> Term | None:
        """A running sum of one entry is that entry from its place on."""
        place = len(term.own) + typing_cast(int, node.attr("axis"))
        label = term.own[place]
        if label not in term.lead or term.own.count(label) > 1:
            return self.along(node, term, at)
        size = self.sizes[label]
        new = self.label(size)
        ones = broadcast_to(const(1.0), (size, size))
        own = (*term.own[:place], new, *term.own[place + 1 :])
        return self._times(replace(term, own=own), tril(ones) if runs_backwards(node) else triu(ones), (label, new))

    def of_matrices(self, node: Apply, term: Term, at: int) -> Term:
        return self._last(node, term, 2)

    def _last(self, node: Apply, term: Term, rank: int, items: tuple[Item, ...] = ()) -> Term:
        """An operation on the last axes, which takes any number of axes before them."""
        first = len(term.own) - rank
        term = self.opened(term, range(first, len(term.own)))
        last = term.own[first:]
        before = tuple(label for label in term.axes if label not in last)
        attrs = dict(node.attrs)
        shape = node.type.known[first:]
        if "items" in attrs:
            attrs["items"] = (*[FULL] * len(before), *items)
        if "shape" in attrs:
            attrs["shape"] = (*(self.sizes[label] for label in before), *shape)
        core = rewrite(apply(node.op, self.filled(term.core, term.axes, before + last), *node.args[1:], **attrs))
        after = tuple(map(self.label, core.type.known[len(before) :]))
        return self._without_ones(Term(core, before + after, term.lead, term.own[:first] + after))


_RULES: dict[str, Callable[[_Maker, Apply, Term, int], Term | None]] = {
    **dict.fromkeys(("named", "cast"), _Maker.same),
    **dict.fromkeys(("sum", "mean"), _Maker.summed),
    **dict.fromkeys(("index", "scatter"), _Maker.indexed),
    **dict.fromkeys(("flip", "roll"), _Maker.along),
    **dict.fromkeys(("tril", "triu"), _Maker.of_matrices),
    **dict.fromkeys(("diag", "embed"), _Maker.embedded),
    "broadcast_to": _Maker.broadcast,
    "cumsum": _Maker.running,
    "reshape": _Maker.reshaped,
    "einsum": _Maker.contracted,
}

__all__ = ["for_every_column", "for_every_unit"]
