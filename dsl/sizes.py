"""How a call's dimensions are found: each from a place where it stands alone, else from a linear expression in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dsl.nodes import Declared
from dsl.types import ONE, ZERO, Dim, Monomial, Symbol


class Solved(NamedTuple):
    """``symbol`` is ``(argument.shape[axis] - rest) // factor``; where it stands alone, rest is 0 and factor 1."""

    symbol: Symbol
    argument: str
    axis: int
    rest: Dim
    factor: Dim

    @property
    def text(self) -> str:
        size = f"{self.argument}.shape[{self.axis}]"
        if self.rest.terms:
            size = f"{size} - {self.rest.text(2)}" if self.factor == ONE else f"({size} - {self.rest.text(2)})"
        return size if self.factor == ONE else f"{size} // {self.factor.text(3)}"


def solve(arguments: Iterable[Declared]) -> list[Solved]:
    """Every declared dimension that the arguments' shapes give, in an order in which each needs only those before it."""
    places = [(each.node.name, axis, dim) for each in arguments for axis, dim in enumerate(each.node.type.shape or ())]
    found: dict[Symbol, Solved] = {}
    for name, axis, dim in places:
        if dim.single is not None and not dim.single.flexible and dim.single not in found:
            found[dim.single] = Solved(dim.single, name, axis, ZERO, ONE)
    progress = True
    while progress:
        progress = False
        places = [(name, axis, dim) for name, axis, dim in places if any(symbol not in found and not symbol.flexible for symbol in dim.symbols())]
        for name, axis, dim in places:
            unknown = [symbol for symbol in dim.symbols() if symbol not in found and not symbol.flexible]
            split = _linear(dim, unknown[0]) if len(unknown) == 1 else None
            if split is not None:
                found[unknown[0]] = Solved(unknown[0], name, axis, *split)
                progress = True
    return list(found.values())


def unsolved(arguments: Iterable[Declared], used: Iterable[Symbol]) -> list[Symbol]:
    """The dimensions among ``used`` that no argument's shape gives."""
    known = {each.symbol for each in solve(arguments)}
    return [symbol for symbol in dict.fromkeys(used) if not symbol.flexible and symbol not in known]


def _linear(dim: Dim, symbol: Symbol) -> tuple[Dim, Dim] | None:
    """rest and factor of ``dim = factor * symbol + rest``, where it has that form."""
    rest: dict[Monomial, int] = {}
    factor: dict[Monomial, int] = {}
    for monomial, coefficient in dim.terms:
        others = tuple(atom for atom in monomial if atom != symbol)
        if symbol in Dim(((others, 1),)).symbols() or len(others) < len(monomial) - 1:
            return None
        (rest if others == monomial else factor)[others] = coefficient
    return Dim.of(rest), Dim.of(factor)
