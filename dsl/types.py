"""Dimensions and tensor types, and what it takes for them to agree.

A ``Dim`` is an integer polynomial in symbols. A *rigid* symbol was declared (``N``) and stands for every size; a *flexible* one is an
axis of a name that nobody declared, and may be equated with another. What cannot be settled at compile time is recorded in the active
``Assumptions``, which the resolver turns into substitutions and into checks at the head of the generated function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import reduce
from itertools import dropwhile
from operator import mul

from dsl.diagnostics import Code


@dataclass(frozen=True, slots=True)
class Symbol:
    """A dimension's name. A flexible one is written ``X.shape[0]`` and belongs to an undeclared name."""

    name: str
    flexible: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class FloorDiv:
    """``numerator // denominator`` where the division is not known to be exact."""

    numerator: Dim
    denominator: Dim

    def __str__(self) -> str:
        return f"{self.numerator.text(2)} // {self.denominator.text(3)}"


@dataclass(frozen=True, slots=True)
class Joined:
    """The size that two flexible dimensions broadcast to: the larger, where the smaller is 1."""

    left: Dim
    right: Dim

    def __str__(self) -> str:
        return f"max({self.left}, {self.right})"


@dataclass(frozen=True, slots=True)
class Least:
    """The smaller of two dimensions."""

    left: Dim
    right: Dim

    def __str__(self) -> str:
        return f"min({self.left}, {self.right})"


Atom = Symbol | FloorDiv | Joined | Least
Monomial = tuple[Atom, ...]


def _ordered(atoms: Monomial) -> Monomial:
    return tuple(sorted(atoms, key=str))


@dataclass(frozen=True, slots=True, repr=False)
class Dim:
    """An integer polynomial: ``terms`` maps each monomial to its coefficient, in a canonical order."""

    terms: tuple[tuple[Monomial, int], ...]

    @staticmethod
    def of(terms: Mapping[Monomial, int]) -> Dim:
        kept = [(monomial, factor) for monomial, factor in terms.items() if factor]
        return Dim(tuple(sorted(kept, key=lambda term: (-len(term[0]), [str(atom) for atom in term[0]]))))

    @staticmethod
    def number(value: int) -> Dim:
        return Dim((((), value),)) if value else Dim(())

    @staticmethod
    def symbol(name: str, flexible: bool = False) -> Dim:
        return Dim((((Symbol(name, flexible),), 1),))

    @staticmethod
    def atom(atom: Atom) -> Dim:
        return Dim((((atom,), 1),))

    @property
    def constant(self) -> int | None:
        """The number it is, or None."""
        if not self.terms:
            return 0
        return self.terms[0][1] if len(self.terms) == 1 and not self.terms[0][0] else None

    @property
    def single(self) -> Symbol | None:
        """The symbol it is, when it is one symbol and nothing else."""
        if len(self.terms) == 1 and self.terms[0][1] == 1 and len(self.terms[0][0]) == 1:
            atom = self.terms[0][0][0]
            return atom if isinstance(atom, Symbol) else None
        return None

    def symbols(self) -> tuple[Symbol, ...]:
        """Every symbol in it, each once, in order of first appearance."""
        found: dict[Symbol, None] = {}
        for monomial, _ in self.terms:
            for atom in monomial:
                if isinstance(atom, Symbol):
                    found[atom] = None
                else:
                    parts = (atom.numerator, atom.denominator) if isinstance(atom, FloorDiv) else (atom.left, atom.right)
                    found.update(dict.fromkeys(parts[0].symbols() + parts[1].symbols()))
        return tuple(found)

    @property
    def certain(self) -> bool:
        """Whether it is a sum of sizes and a number, nothing taken away, and so never negative."""
        return all(factor > 0 and all(isinstance(atom, Symbol) for atom in monomial) for monomial, factor in self.terms)

    @property
    def flexible(self) -> bool:
        return any(symbol.flexible for symbol in self.symbols())

    def __add__(self, other: Dim | int) -> Dim:
        terms = dict(self.terms)
        for monomial, factor in as_dim(other).terms:
            terms[monomial] = terms.get(monomial, 0) + factor
        return Dim.of(terms)

    def __neg__(self) -> Dim:
        return Dim(tuple((monomial, -factor) for monomial, factor in self.terms))

    def __sub__(self, other: Dim | int) -> Dim:
        return self + -as_dim(other)

    def __rsub__(self, other: int) -> Dim:
        return as_dim(other) - self

    def __mul__(self, other: Dim | int) -> Dim:
        terms: dict[Monomial, int] = {}
        for left, p in self.terms:
            for right, q in as_dim(other).terms:
                monomial = _ordered(left + right)
                terms[monomial] = terms.get(monomial, 0) + p * q
        return Dim.of(terms)

    __radd__ = __add__
    __rmul__ = __mul__

    def divided(self, other: Dim) -> Dim | None:
        """The exact quotient, or None where the division is not known to be exact: ``N * T - T`` by ``N - 1`` is ``T``."""
        if not other.terms:
            return None
        divisor, factor = other.terms[0]
        terms: dict[Monomial, int] = {}
        left = self
        while left.terms:
            # the first terms are the leading ones of an order that products keep
            monomial, coefficient = left.terms[0]
            rest = list(monomial)
            for atom in divisor:
                if atom not in rest:
                    return None
                rest.remove(atom)
            if coefficient % factor:
                return None
            terms[tuple(rest)] = coefficient // factor
            left -= other * Dim.of({tuple(rest): coefficient // factor})
        return Dim.of(terms)

    def __floordiv__(self, other: Dim | int) -> Dim:
        other = as_dim(other)
        exact = self.divided(other)
        if exact is not None:
            return exact
        mine, theirs = self.constant, other.constant
        if mine is not None and theirs:
            return Dim.number(mine // theirs)
        match self.terms:
            case (((FloorDiv(numerator, inner),), 1),) if theirs and theirs > 0 and (inner.constant or 0) > 0:
                # halved twice is quartered
                return numerator // (inner * other)
        if theirs and theirs > 0 and all(not monomial or factor % theirs == 0 for monomial, factor in self.terms):
            # what is left over is less than one
            return Dim.of({monomial: factor // theirs for monomial, factor in self.terms})
        return Dim.atom(FloorDiv(self, other))

    def substitute(self, values: Mapping[Symbol, Dim]) -> Dim:
        if not any(symbol in values for symbol in self.symbols()):
            return self
        total = Dim.number(0)
        for monomial, factor in self.terms:
            product = Dim.number(factor)
            for atom in monomial:
                product = product * _replace(atom, values)
            total = total + product
        return total

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The number it is for given sizes. Raises KeyError for a symbol without one."""
        return sum(factor * reduce(mul, (_size(atom, sizes) for atom in monomial), 1) for monomial, factor in self.terms)

    def text(self, level: int = 0) -> str:
        """As Python writes it; parenthesised where it stands beside operators of ``level`` (1 sum, 2 product, 3 power)."""
        if not self.terms:
            return "0"
        parts: list[str] = []
        for monomial, factor in self.terms:
            factors = [str(atom) if isinstance(atom, (Symbol, Joined, Least)) else f"({atom})" for atom in monomial]
            if len(monomial) == 1 and factor == 1 and level < 2:
                factors = [str(monomial[0])]
            if abs(factor) != 1 or not monomial:
                factors.insert(0, str(abs(factor)))
            parts += [" - " if factor < 0 else " + ", " * ".join(factors)]
        lead = "-" if parts[0] == " - " else ""
        whole = lead + "".join(parts[1:])
        simple = len(self.terms) == 1 and not lead
        product = simple and " * " in whole
        return f"({whole})" if (level > 1 and not simple) or (level > 2 and product) else whole

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__


def as_dim(value: Dim | int) -> Dim:
    return Dim.number(value) if isinstance(value, int) else value


def _replace(atom: Atom, values: Mapping[Symbol, Dim]) -> Dim:
    if isinstance(atom, Symbol):
        return values.get(atom, Dim.atom(atom))
    if isinstance(atom, FloorDiv):
        return atom.numerator.substitute(values) // atom.denominator.substitute(values)
    left, right = atom.left.substitute(values), atom.right.substitute(values)
    return least(left, right) if isinstance(atom, Least) else join(left, right)


def _size(atom: Atom, sizes: Mapping[str, int]) -> int:
    if isinstance(atom, Symbol):
        return sizes[atom.name]
    if isinstance(atom, FloorDiv):
        return atom.numerator.evaluate(sizes) // atom.denominator.evaluate(sizes)
    left, right = atom.left.evaluate(sizes), atom.right.evaluate(sizes)
    if isinstance(atom, Least):
        return min(left, right)
    return right if left == 1 else left


def least(left: Dim, right: Dim) -> Dim:
    """The smaller of two dimensions."""
    gap = (left - right).constant
    if gap is not None:
        return left if gap <= 0 else right
    return Dim.atom(Least(*sorted((left, right), key=str)))


def trimmed(shape: Shape) -> Shape:
    """A shape without axes of size 1 before the first other."""
    return tuple(dropwhile(lambda dim: dim == ONE, shape))


def product(dims: Shape) -> Dim:
    return reduce(mul, dims, Dim.number(1))


ZERO = Dim.number(0)
ONE = Dim.number(1)
Shape = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class TensorType:
    """``dtype`` is float, int or bool; ``shape`` is None where any shape may come at run time. A *weak* value is a Python scalar, which
    takes the precision of what it meets. ``like`` says of an unknown shape what it is the broadcast of: the names of arguments."""

    dtype: str
    shape: Shape | None
    weak: bool = False
    like: tuple[str, ...] = ()

    def matches(self, other: TensorType) -> bool:
        """Whether the two have one shape in every run."""
        return self.shape == other.shape and (self.shape is not None or (self.like == other.like != ()))

    @property
    def known(self) -> Shape:
        """The shape, where the rank is known already."""
        assert self.shape is not None
        return self.shape

    def __str__(self) -> str:
        shape = "[...]" if self.shape is None else shape_text(self.shape)
        return shape if self.dtype == "float" else self.dtype + shape


def shape_text(shape: Shape) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


class ShapeError(Exception):
    """What an operation refuses. ``label`` may hold ``{0}``, ``{1}``: the source texts of its arguments."""

    def __init__(self, code: Code, message: str, label: str = "", help: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.label, self.help = code, message, label, help


@dataclass(frozen=True)
class Check:
    """A relation that the head of the generated function tests: ``left relation right``, with ``relation`` one of ``== >= divides``."""

    left: Dim
    relation: str
    right: Dim
    reason: str


@dataclass
class Assumptions:
    """What the program needs and the declarations do not say."""

    equal: dict[Symbol, Dim] = field(default_factory=dict)
    checks: dict[Check, None] = field(default_factory=dict)

    def settle(self, dim: Dim) -> Dim:
        """A dimension with everything known put in."""
        return dim.substitute(self.equal) if self.equal else dim

    def divides(self, left: Dim, right: Dim) -> bool:
        """Whether a check of this is recorded."""
        return any((each.left, each.relation, each.right) == (left, "divides", right) for each in self.checks)


_active: ContextVar[Assumptions | None] = ContextVar("assumptions", default=None)


@contextmanager
def assuming(assumptions: Assumptions) -> Iterator[Assumptions]:
    token = _active.set(assumptions)
    try:
        yield assumptions
    finally:
        _active.reset(token)


def proving() -> bool:
    """Whether somebody collects what the program needs and the declarations do not say."""
    return _active.get() is not None


def require(left: Dim, relation: str, right: Dim, reason: str) -> None:
    """Record a check of what only the call can know: not that sizes add up to more than some of them."""
    assumptions = _active.get()
    if assumptions is not None and not (relation == ">=" and (left - right).certain):
        assumptions.checks[Check(left, relation, right, reason)] = None


def same(left: Dim, right: Dim) -> bool:
    """Whether two dimensions are equal, or may be made so: a flexible symbol is equated with the other side."""
    assumptions = _active.get()
    if assumptions is not None:
        left, right = assumptions.settle(left), assumptions.settle(right)
    if left == right:
        return True
    for one, other in ((right, left), (left, right)):
        symbol = one.single
        if assumptions is not None and symbol is not None and symbol.flexible and symbol not in other.symbols():
            assumptions.equal = {key: dim.substitute({symbol: other}) for key, dim in assumptions.equal.items()}
            assumptions.equal[symbol] = other
            return True
    if left.flexible or right.flexible:
        require(left, "==", right, "the sizes must agree")
        return True
    return not _undivided(left - right, assumptions).terms


def _undivided(dim: Dim, assumptions: Assumptions | None) -> Dim:
    """A dimension in which D // k * k is D, wherever k is required to divide D. Who proves nothing takes that for granted of all quotients."""
    atoms = {atom: None for monomial, _ in dim.terms for atom in monomial if isinstance(atom, FloorDiv)}
    for atom in atoms:
        if assumptions is not None and not assumptions.divides(atom.denominator, atom.numerator):
            continue
        factor = Dim.of({tuple(other for other in monomial if other != atom): count for monomial, count in dim.terms if monomial.count(atom) == 1})
        exact = factor.divided(atom.denominator)
        if exact is not None:
            dim = dim - factor * Dim.atom(atom) + exact * atom.numerator
    return dim


def join(left: Dim, right: Dim) -> Dim:
    """The size that two dimensions broadcast to. Raises ValueError where they cannot."""
    if left == right or right == ONE:
        return left
    if left == ONE:
        return right
    if left.flexible or right.flexible:
        for one, other in ((left, right), (right, left)):
            if not one.flexible and one.constant is not None:
                require(other, "broadcasts", one, "the sizes must broadcast")
                return one
        require(left, "broadcasts", right, "the sizes must broadcast")
        return Dim.atom(Joined(left, right))
    raise ValueError(f"{left} and {right}")


def broadcast_like(types: tuple[TensorType, ...]) -> tuple[str, ...]:
    """What an unknown broadcast is the broadcast of; nothing where that is not known either."""
    if all(each.shape is not None for each in types) or any(each.shape is None and not each.like for each in types):
        return ()
    return tuple(sorted({name for each in types if each.shape != () for name in each.like or (str(each),)}))


def broadcast(types: tuple[TensorType, ...]) -> Shape | None:
    """NumPy's broadcasting. None where any of the shapes may be any. Raises ShapeError."""
    if any(each.shape is None for each in types):
        return None
    result: Shape = ()
    for each in types:
        shape = each.known
        rank = max(len(shape), len(result))
        left = (ONE,) * (rank - len(result)) + result
        right = (ONE,) * (rank - len(shape)) + shape
        try:
            result = tuple(join(a, b) for a, b in zip(left, right, strict=True))
        except ValueError as problem:
            shapes = ", ".join(f"{{{i}}} is {one}" for i, one in enumerate(types))
            raise ShapeError(
                Code.E0301,
                f"shapes do not broadcast: {problem}",
                shapes,
                "align the axes with `[:, None]` or `.T`, or declare the two dimensions as one",
            ) from None
    return result
