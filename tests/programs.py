"""Random well-typed programs for Hypothesis: each line is .expr and, with NumPy's functions in scope, Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

T = TypeVar("T")
Shape = tuple[str, ...]
SIZES = {"N": 4, "D": 3, "K": 2, "B": 2}
MATRICES: tuple[Shape, ...] = (("N", "D"), ("D", "K"), ("N", "N"), ("N", "D"))
SHAPES: tuple[Shape, ...] = (*MATRICES, ("N",), ("D",), (), ("B", "N", "D"), ("N", "1"))
SMOOTH = (
    *("tanh({})", "sin({})", "sigmoid({})", "softplus({})", "arctan({})", "erf({})", "expm1(sin({}))", "exp(tanh({}))", "log({} ** 2 + 1)"),
    *("sqrt({} ** 2 + 0.5)", "-{}", "{} ** 2", "0.1 * {} ** 3", "2.0 ** tanh({})", "square({})", "1 / (2 + cos({}))", "log_sigmoid({})", "gelu({})"),
)
KINKED = ("abs({})", "relu({})", "leaky_relu({}, 0.1)", "maximum({}, 0.3)", "minimum({}, 1)", "clip({}, -1.1, 0.9)", "where({0} > 0.2, {0}, {0} ** 2)")
PAIRS = (
    *("{} + {}", "{} - {}", "{} * {}", "{} / (1.5 + {} ** 2)", "maximum({}, {})", "minimum({}, {})", "logaddexp({}, {})", "hypot({}, 1 + {} ** 2)"),
    *("where({0} > {1}, {0} * {1}, {1})", "(1 + {} ** 2) ** sin({})", "arctan2({}, 1 + {} ** 2)", "xlogy(1 + {} ** 2, 1 + {} ** 2)"),
    *("({} if {} > 0.1 else 0.5)", "swap({}, {})"),
)
SCALED = ("{0} / N", "rate * {0}", "{0} ** power", "{0} / {0}.size", "(N - 1) * {0} + D / 2", "{0} * len", "{0} + (1 if N > D else N)", "{0} * 0 + {0}")
REDUCTIONS = ("sum", "mean", "max", "min", "prod", "var", "logsumexp", "std", "norm")
ALONG = (
    *("softmax({}, axis={})", "log_softmax({}, axis={})", "cumsum({}, axis={})", "cumprod({}, axis={})"),
    *("flip({}, axis={})", "roll({}, 1, axis={})", "sort({}, axis={})"),
)
DEFS = ("def swap(a, b) = b * sin(a) - a", "def gate(x, scale=2.0) = x * sigmoid(scale * x)", "def apply(f, x) = f(f(x))")
CALLED = ("gate({})", "gate({}, scale=0.5)", "apply(tanh, {})", "apply(gate, {})")


class Value(NamedTuple):
    """An expression of the program and its shape."""

    text: str
    shape: Shape


@dataclass
class Generated:
    """A program as text. ``shapes`` and ``indices`` tell what it takes: floats by name, and integers with the size that bounds them."""

    declarations: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    indices: dict[str, tuple[Shape, str]] = field(default_factory=dict)
    masks: dict[str, Shape] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        tail = [f"output {', '.join(self.outputs)}"] if len(self.outputs) > 1 else []
        return "\n".join([*self.declarations, *DEFS, *self.lines, *tail]) + "\n"


def size(dim: str) -> int:
    return int(eval(dim, {}, SIZES))


def broadcast(one: Shape, other: Shape) -> Shape | None:
    """The shape of both together, or None where they do not fit."""
    rank = max(len(one), len(other))
    left, right = (("1",) * (rank - len(each)) + each for each in (one, other))
    if any(a != b and "1" not in (a, b) for a, b in zip(left, right, strict=True)):
        return None
    return tuple(b if a == "1" else a for a, b in zip(left, right, strict=True))


class Builder:
    """Draws a program step by step from the values that there are."""

    def __init__(self, draw: DrawFn, declared: bool) -> None:
        self.draw, self.declared = draw, declared
        self.made = Generated()
        self.pool: list[Value] = []

    def choose(self, options: Sequence[T]) -> T:
        return self.draw(st.sampled_from(options))

    def program(self) -> Generated:
        for name in ("x", "y", "z")[: self.choose((1, 2, 3))]:
            self.input(name, self.choose(SHAPES if self.declared else MATRICES))
        for i in range(self.choose(range(2, 9))):
            self.step(f"v{i}")
        used = " ".join(self.made.lines)
        last = [value for value in self.pool if value.text not in used.replace(f"{value.text} =", "")] or self.pool[-1:]
        total = " + ".join(f"{0.3 + 0.1 * i:.1f} * sum(tanh({value.text}))" for i, value in enumerate(last))
        self.made.lines.append(f"L = {total}")
        extra = [value.text for value in self.pool if value.text[0] == "v"]
        self.made.outputs = self.choose((["L"], ["L"], ["L", *extra[:1]], [*extra[-1:], "L"]))
        return self.made

    def input(self, name: str, shape: Shape) -> None:
        self.made.shapes[name] = shape
        if self.declared:
            self.made.declarations.append(f"param {name}: [{', '.join(shape)}]")
        self.pool.append(Value(name, shape))

    def step(self, name: str) -> None:
        # what an index or an axis says of an undeclared name's rank is the least that there must be
        more = [self.along, self.index, self.move, self.scaled, self.change] if self.declared else []
        found = self.choose([self.unary, self.pair, self.pair, self.reduction, self.product, self.call, *more])(self.value())
        if found is None:
            return
        self.made.lines.append(f"{name} = {found.text}")
        self.pool.append(Value(name, found.shape))

    def value(self) -> Value:
        return self.choose(self.pool[::-1])

    def fitting(self, fits: Callable[[Shape], bool]) -> Value | None:
        found = [value for value in self.pool if fits(value.shape)]
        return self.choose(found[::-1]) if found else None

    def unary(self, x: Value) -> Value:
        return Value(self.choose(SMOOTH + KINKED).format(x.text), x.shape)

    def scaled(self, x: Value) -> Value:
        for line in ("const rate = 0.7", "const power = 2", "const len = 3"):
            if line not in self.made.declarations:
                self.made.declarations.append(line)
        sizes = {dim for shape in self.made.shapes.values() for dim in shape}
        return Value(self.choose([form for form in SCALED if {*form} & {*"ND"} <= sizes]).format(x.text), x.shape)

    def call(self, x: Value) -> Value:
        return Value(self.choose(CALLED).format(x.text), x.shape)

    def pair(self, x: Value) -> Value | None:
        y = self.fitting(lambda shape: broadcast(x.shape, shape) is not None)
        if y is None:
            return None
        one, other = self.choose(((x, y), (y, x)))
        return Value(self.choose(PAIRS).format(one.text, other.text), broadcast(x.shape, y.shape) or ())

    def reduction(self, x: Value) -> Value | None:
        name, rank = self.choose(REDUCTIONS if self.declared else REDUCTIONS[:-1]), len(x.shape)
        axes: list[tuple[int, ...]] = [(i,) for i in range(-rank, rank)] + ([(0, rank - 1)] if rank > 1 else [])
        if rank == 0 or self.choose((True, False, False)):
            return Value(f"{name}({x.text})", ())
        chosen = self.choose(axes)
        gone = {axis % rank for axis in chosen}
        keep = self.choose((True, False))
        shown = f"axis={chosen[0] if len(chosen) == 1 else chosen}{', keepdims=True' if keep else ''}"
        shape = tuple("1" if i in gone else dim for i, dim in enumerate(x.shape) if keep or i not in gone)
        return Value(f"{name}({x.text}, {shown})", shape)

    def along(self, x: Value) -> Value | None:
        if not x.shape:
            return None
        axis = self.choose(range(-len(x.shape), len(x.shape)))
        return Value(self.choose(ALONG).format(x.text, axis), x.shape)

    def product(self, x: Value) -> Value | None:
        rank = len(x.shape)
        if rank == 3:
            other = self.fitting(lambda shape: len(shape) in (2, 3) and shape[-2] == x.shape[-1] and shape[:-2] in ((), x.shape[:1]))
            return other and Value(f"{x.text} @ {other.text}", x.shape[:-1] + other.shape[-1:])
        if rank == 0 or rank > 3:
            return None
        y = self.fitting(lambda shape: 0 < len(shape) < 3 and shape[-2:][0] == x.shape[-1])
        if y is not None and self.choose((True, True, False)):
            return Value(f"{x.text} @ {y.text}", x.shape[:-1] + y.shape[1:])
        if rank == 1:
            other = self.fitting(lambda shape: len(shape) == 1)
            return other and Value(f"outer({x.text}, {other.text})", x.shape + other.shape)
        twin = self.fitting(lambda shape: shape == x.shape)
        pairs = [(f"einsum('ij,ij->i', {x.text}, {twin.text})", x.shape[:1]), (f"{x.text} @ {twin.text}.T", x.shape[:1] * 2)] if twin else []
        pairs += [(f"einsum('ij,kj,ij->k', {x.text}, {twin.text}, {x.text})", x.shape[:1]), (f"trace({x.text} @ {twin.text}.T)", ())] if twin else []
        definite = f"{x.text} @ {x.text}.T + 3 * eye({x.text}.shape[0])"
        square = [(f"inv({definite})", x.shape), (f"solve({definite}, {x.text})", x.shape)] if x.shape[0] == x.shape[1] else []
        square += [(f"trace({x.text})", ()), (f"diag({x.text})", x.shape[:1])] if square else []
        return Value(*self.choose([(f"{x.text}.T @ {x.text}", x.shape[1:] * 2), (f"einsum('ij->ji', {x.text})", x.shape[::-1]), *pairs, *square]))

    def index(self, x: Value) -> Value | None:
        if not x.shape:
            return None
        first, rest = x.shape[0], x.shape[1:]
        options = [(f"{x.text}[0]", rest), (f"{x.text}[-1]", rest), (f"{x.text}[None]", ("1", *x.shape)), (f"{x.text}[..., None]", (*x.shape, "1"))]
        options += [(f"{x.text}[::-1]", x.shape), (f"{x.text}[..., -1]", x.shape[:-1])]
        if size(first) > 1:
            options += [(f"{x.text}[1:]", (f"{first} - 1", *rest)), (f"{x.text}[:-1]", (f"{first} - 1", *rest))]
        if self.declared and first in SIZES:
            name = f"i{first}"
            if name not in self.made.indices:
                self.made.indices[name] = (("3",), first)
                self.made.declarations.append(f"input {name}: int[3] in 0:{first}")
            options += [(f"{x.text}[{name}]", ("3", *rest)), (f"{x.text}[{name}, ..., None]", ("3", *rest, "1"))]
            options += [(f"{x.text}[{name}, {name}]", ("3", *rest[1:]))] if rest[:1] == (first,) else []
            options += [(f"{x.text}[{name}, -1]", ("3", *rest[1:])), (f"{x.text}[{name}, ::-1]", ("3", *rest))] if rest else []
            options += [(f"{x.text}[{name}[:, None], [0, -1]]", ("3", "2", *rest[1:]))] if rest else []
        options += [(f"{x.text}[:, 0]", (first, *rest[1:])), (f"{x.text}[:, None, ::-1]", (first, "1", *rest))] if rest else []
        return Value(*self.choose(options))

    def change(self, x: Value) -> Value | None:
        """Entries set or added to, and entries repeated."""
        if not x.shape:
            return None
        part = self.fitting(lambda shape: shape == x.shape[1:])
        options = [(f"pad({x.text}, 1)", tuple(f"({dim}) + 2" for dim in x.shape))]
        options += [(f"tile({x.text}, 2)", (*x.shape[:-1], f"2 * ({x.shape[-1]})")), (f"repeat({x.text}, 2, axis=0)", (f"2 * ({x.shape[0]})", *x.shape[1:]))]
        options += [(f"{x.text}.at[0].{how}({part.text})", x.shape) for how in ("set", "add")] if part else []
        options += [(f"take({x.text}, 1 - 1, axis=0)", x.shape[1:]), (f"take_along_axis({x.text}, argsort({x.text}, axis=-1), axis=-1)", x.shape)]
        return Value(*self.choose(options))

    def move(self, x: Value) -> Value | None:
        rank = len(x.shape)
        if self.declared and x.shape and set(x.shape) <= set(SIZES) and self.choose((True, False)):
            name = f"m{''.join(x.shape)}"
            if name not in self.made.masks:
                self.made.masks[name] = x.shape
                self.made.declarations.append(f"input {name}: bool[{', '.join(x.shape)}]")
            return Value(f"where({name}, {x.text}, {self.choose(('0', f'sin({x.text})', '-1.5'))})", x.shape)
        if rank == 0:
            return Value(f"stack([{x.text}, cos({x.text})])", ("2",))
        options = [(f"{x.text}.T", x.shape[::-1]), (f"concatenate([{x.text}, cos({x.text})], axis=0)", (f"2 * ({x.shape[0]})", *x.shape[1:]))]
        options += [(f"stack([{x.text}, sin({x.text})], axis=-1)", (*x.shape, "2")), (f"expand_dims({x.text}, 0)", ("1", *x.shape))]
        options += [(f"swapaxes({x.text}, 0, -1)", (x.shape[-1], *x.shape[1:-1], x.shape[0]))] if rank > 1 else []
        options += [(f"{x.text}.reshape(-1)", (" * ".join(f"({dim})" for dim in x.shape),))] if rank > 1 else []
        options += [(f"tril({x.text})", x.shape)] if rank == 2 else []
        return Value(*self.choose(options))


@st.composite
def programs(draw: DrawFn, declared: bool = True) -> Generated:
    """A program; without declarations its inputs are floats whose ranks the compiler must find out."""
    return Builder(draw, declared).program()
