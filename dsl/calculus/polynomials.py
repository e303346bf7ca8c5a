"""Like terms: what derivatives of derivatives repeat is collected.

Before: ``8 * t * s + (4 * t ** 2 - 2 * s) * (-2 * t)``. After: ``4 * t * (3 * s - 2 * t ** 2)``.

A term is a number times powers of factors, which are whatever is no product. A sum with a number among its terms, such as the ``1 - t ** 2`` of
tanh, is a factor and never multiplied out, for a power of it is small where it is, and the sum of its terms is not. Another sum is multiplied out
where that leaves less to do, and where all is made of one array entry by entry: its terms are rounded already, so that nothing is lost by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import reduce
from itertools import islice
from math import gcd, lcm

from dsl.calculus.factors import is_factor
from dsl.calculus.identities import rewrite, rewritten
from dsl.nodes import Apply, Const, Node, applies, const, topological
from dsl.ops.contraction import split_spec
from dsl.ops.core import is_number
from dsl.ops.elementwise import Elementwise, ew
from dsl.ops.shaping import reshape
from dsl.types import ONE

Powers = dict[Node, int]
Term = tuple[tuple[int, int], ...]
Sum = dict[Term, Fraction]
Origin = tuple[Node | None, int]
MOST, DEEPEST = 24, 48
LARGEST, SMALL = 2**53, 64
Opened = Callable[[Node], bool]


def collected(node: Node, origins: Origins | None = None) -> Node:
    """The node with its like terms as one, where it has any."""
    return _Collector(origins or Origins()).collected(node) if applies(node, "add", "subtract") else node


class Origins:
    """Of which array values are made entry by entry, each looked at once for all the sums that it is among."""

    def __init__(self) -> None:
        self.found: dict[Node, Origin | None] = {}

    def of(self, node: Node) -> Origin | None:
        """The array, which a number has none of, and in how many steps the value is made of it; None for one of several arrays or many steps."""
        for each in topological([node], self.found):
            self.found[each] = self._of(each)
        return self.found[node]

    def _of(self, node: Node) -> Origin | None:
        if is_factor(node):
            return None, 0
        if not (isinstance(node, Apply) and isinstance(node.op, Elementwise)):
            return node, 0
        array, steps = _together(self.found[arg] for arg in node.args) or (None, DEEPEST)
        return (array, steps + 1) if steps < DEEPEST else None


def _together(origins: Iterable[Origin | None]) -> Origin | None:
    """The origin of what is made of several values; None where they have not the same."""
    array, most = None, 0
    for origin in origins:
        if origin is None or (array is not None and origin[0] not in (None, array)):
            return None
        array, most = origin[0] or array, max(most, origin[1])
    return array, most


class _Collector:
    """Reads a sum as terms; a factor is known by its place among those that were met, so that nothing depends on where nodes are kept."""

    def __init__(self, origins: Origins) -> None:
        self.origins = origins
        self.factors: dict[Node, int] = {}
        self.multiplied: dict[tuple[Node, Opened], Sum | None] = {}

    def collected(self, node: Node) -> Node:
        addends = list(islice(_addends(node), MOST + 1))
        plain = self.added(addends, _nothing)
        if plain is None:
            return node
        best = plain if len(plain) < len(addends) else None
        if self.is_of_one_array():
            for opened, gain in ((_is_whole, 1), (_is_sum, 2)):
                wide = self.added(list(islice(_addends(node, opened), MOST + 1)), opened)
                if wide is not None and gain * self.steps(wide) < self.steps(best or plain):
                    best = wide
        new = None if best is None else self.written(best)
        return new if new is not None and new.type == node.type else node

    def added(self, addends: Sequence[tuple[int, Node]], opened: Opened) -> Sum | None:
        """The terms of a sum, those of its factors multiplied out that are ``opened``; None for too many."""
        total: Sum = {}
        for sign, addend in addends:
            terms = self.terms(addend, opened) if len(addends) <= MOST else None
            if terms is None:
                return None
            for term, factor in terms.items():
                total[term] = total.get(term, Fraction(0)) + sign * factor
            if len(total) > MOST:
                return None
        return {term: factor for term, factor in total.items() if factor}

    def terms(self, node: Node, opened: Opened) -> Sum | None:
        """A product as terms: one, unless a sum among its factors is multiplied out. None for too many."""
        factor, powers, sums = Fraction(1), Powers(), list[Node]()
        stack = [(node, 1)]
        while stack:
            each, power = stack.pop()
            ratio = _ratio(each)
            if ratio is not None and (ratio or power > 0):
                factor *= ratio**power
            elif applies(each, "multiply"):
                stack += [(each.args[1], power), (each.args[0], power)]
            elif parts := _spread(each):
                stack += [(part, power) for part in parts]
            elif applies(each, "negative"):
                factor *= -1 if power % 2 else 1
                stack.append((each.args[0], power))
            elif applies(each, "divide"):
                stack += [(each.args[1], -power), (each.args[0], power)]
            elif applies(each, "subtract") and isinstance(each.args[1], Const):
                factor *= -1 if power % 2 else 1
                turned = rewritten("subtract", each.args[1], each.args[0])
                powers[turned] = powers.get(turned, 0) + power
            elif exponent := _exponent(each):
                stack.append((each.args[0], power * exponent))
            elif power == 1 and opened(each):
                sums.append(each)
            else:
                powers[each] = powers.get(each, 0) + power
            if len(stack) + len(powers) > MOST:
                return None
        if len(sums) != 1:
            # two sums may be small together, and what they make when multiplied out is not
            for each in sums:
                powers[each] = powers.get(each, 0) + 1
            return {self.term(powers): factor}
        inner = self.out_of(sums[0], opened)
        if inner is None:
            return None
        mine = self.term(powers)
        return {_times(mine, term): factor * other for term, other in inner.items()}

    def out_of(self, node: Node, opened: Opened) -> Sum | None:
        """The terms of a sum among the factors of a product. A sum within sums is met from many of them, and read once."""
        if (node, opened) not in self.multiplied:
            self.multiplied[node, opened] = self.added(list(islice(_addends(node, opened), MOST + 1)), opened)
        return self.multiplied[node, opened]

    def term(self, powers: Powers) -> Term:
        """A product's factors by their place; what it is multiplied with and divided by as often is none, so that equal products are one term."""
        return tuple(sorted((self.factors.setdefault(each, len(self.factors)), power) for each, power in powers.items() if power))

    def is_of_one_array(self) -> bool:
        """Whether there is a sum among the factors, and all of them are made of the same array, entry by entry."""
        origin = _together(map(self.origins.of, self.factors)) if any(map(_is_sum, self.factors)) else None
        return origin is not None and origin[0] is not None

    def steps(self, terms: Sum) -> int:
        """How many operations a sum takes, those within the sums among its factors too."""
        factors, inner = list(self.factors), set[Node]()
        stack = [factors[i] for term in terms for i, _ in term if _is_sum(factors[i])]
        while stack:
            node = stack.pop()
            if node not in inner and applies(node, "add", "subtract", "multiply", "negative", "power", "square"):
                inner.add(node)
                stack += node.args
        return len(terms) + len(inner) + sum(len(term) + sum(power > 1 for _, power in term) for term in terms)

    def written(self, terms: Sum) -> Node:
        """A sum of terms, what all of them have in common before it."""
        if not terms:
            return const(0.0)
        common = [(i, _shared([dict(term).get(i, 0) for term in terms])) for i in range(len(self.factors))]
        shared = tuple((i, power) for i, power in common if power)
        over = lcm(*(factor.denominator for factor in terms.values()))
        number = Fraction(gcd(*(int(factor * over) for factor in terms.values())), over) if over <= SMALL else Fraction(1)
        number = -number if all(factor < 0 for factor in terms.values()) else number
        rest = {_times(term, tuple((i, -power) for i, power in shared)): factor / number for term, factor in terms.items()}
        first, *more = sorted(rest.items(), key=lambda item: item[1] < 0)
        total = self.product(first[0], first[1])
        for term, factor in more:
            total = rewritten("add" if factor > 0 else "subtract", total, self.product(term, abs(factor)))
        whole = self.product(shared, number)
        return total if is_number(whole, 1) else whole if is_number(total, 1) else rewritten("multiply", whole, total)

    def product(self, term: Term, number: Fraction) -> Node:
        above, below = (self.powers([(i, sign * power) for i, power in term if sign * power > 0]) for sign in (1, -1))
        top, bottom = (const(float(number)), const(1)) if number.denominator > SMALL else (const(number.numerator), const(number.denominator))
        made = top if above is None else rewritten("multiply", top, above)
        made = made if is_number(bottom, 1) else rewritten("divide", made, bottom)
        return made if below is None else rewritten("divide", made, below)

    def powers(self, term: Sequence[tuple[int, int]]) -> Node | None:
        factors = list(self.factors)
        powers = [factors[i] if power == 1 else ew("power", factors[i], const(power)) for i, power in term]
        return reduce(lambda x, y: rewritten("multiply", x, y), powers) if powers else None


def _spread(node: Node) -> list[Node]:
    """The factors of a contraction that adds nothing up and turns nothing, as they broadcast to its shape; none of another node."""
    if not (applies(node, "einsum") and len(node.args) == 2):
        return []
    specs, output = split_spec(str(node.attr("spec")))
    if {*"".join(specs)} != {*output} or any([*spec] != [label for label in output if label in spec] for spec in specs):
        return []
    dims = dict(zip(output, node.type.known, strict=True))
    return [rewrite(reshape(arg, tuple(dims[label] if label in spec else ONE for label in output))) for arg, spec in zip(node.args, specs, strict=True)]


def _nothing(node: Node) -> bool:
    return False


def _is_sum(node: Node) -> bool:
    return applies(node, "add", "subtract")


def _is_whole(node: Node) -> bool:
    """Whether a node is a sum, but for a number and a power of one factor, as the ``1 - t ** 2`` of tanh is."""
    return _is_sum(node) and not any(isinstance(x, Const) and _is_power(y) for x, y in (node.args, node.args[::-1]))


def _is_power(node: Node) -> bool:
    while applies(node, "multiply") and (isinstance(node.args[0], Const) or node.args[0] is node.args[1]):
        node = node.args[1]
    return not applies(node, "add", "subtract", "multiply", "divide")


def _addends(node: Node, opened: Opened | None = None) -> Iterator[tuple[int, Node]]:
    """What a sum is of, with the signs."""
    stack = [(1, node)]
    while stack:
        sign, each = stack.pop()
        # with so many waiting there are too many for anyone, however deep the sum goes
        if len(stack) <= MOST and (each is node or _is_whole(each) or (opened is not None and opened(each))):
            x, y = each.args
            stack += [(-sign if applies(each, "subtract") else sign, y), (sign, x)]
        elif applies(each, "negative"):
            stack.append((-sign, each.args[0]))
        else:
            yield sign, each


def _shared(powers: Sequence[int]) -> int:
    """The power of a factor that all terms have. One that only some are divided by is not put over all of them: ``a / x + b`` is b for an infinite x."""
    return max(min(powers), 0) or min(max(powers), 0)


def _times(one: Term, other: Term) -> Term:
    powers = dict(one)
    for factor, power in other:
        powers[factor] = powers.get(factor, 0) + power
    return tuple(sorted((factor, power) for factor, power in powers.items() if power))


def _ratio(node: Node) -> Fraction | None:
    """A number as it is, without rounding."""
    if not isinstance(node, Const) or isinstance(node.value, bool) or not abs(node.value) < LARGEST:
        return None
    return Fraction(node.value)


def _exponent(node: Node) -> int:
    """The whole number that a node is a power by; 0 for another node."""
    if applies(node, "square"):
        return 2
    power = node.args[1] if applies(node, "power") else None
    return int(power.value) if isinstance(power, Const) and power.value in range(1, MOST) else 0


__all__ = ["Origins", "collected"]
