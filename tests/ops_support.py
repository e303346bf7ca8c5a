"""Cases of the operations' stanzas as programs: inputs sampled, values compared with NumPy, gradients with central differences."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import scipy.special

from dsl.api import compile_text, module_of
from dsl.ops.builtins import functions

Array = Any
Inputs = dict[str, Array]

SIZES = {"N": 4, "D": 3, "M": 2, "B": 2, "K": 3}
DECLARATION = re.compile(r"^(\w+): *(float|int|bool)?\[(.*?)\](.*)$")


@dataclass(frozen=True)
class Variable:
    """A declared input of a case."""

    name: str
    kind: str
    dims: tuple[str, ...]
    domain: str

    @property
    def text(self) -> str:
        role = "param" if self.kind == "float" else "input"
        return f"{role} {self.name}: {'' if self.kind == 'float' else self.kind}[{', '.join(self.dims)}]{self.domain}"

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(int(eval(dim, {}, dict(sizes))) for dim in self.dims)


@dataclass(frozen=True)
class Case:
    """An expression and its inputs. ``kinks`` are conditions, as text over the inputs, that sampling keeps away from."""

    expression: str
    variables: tuple[Variable, ...]
    kinks: tuple[str, ...] = ()

    @staticmethod
    def read(text: str, kinks: tuple[str, ...] = ()) -> Case:
        """``sum(x) | x: [2, 3] positive; i: int[3] in 0:2``; x and y are ``[3, 4]`` where nothing is declared."""
        expression, _, declarations = (part.strip() for part in text.partition(" | "))
        found: dict[str, Variable] = {}
        for each in filter(None, declarations.split(";")):
            match = DECLARATION.match(each.strip())
            assert match is not None, each
            dims = tuple(dim.strip() for dim in match[3].split(",") if dim.strip())
            found[match[1]] = Variable(match[1], match[2] or "float", dims, match[4])
        names = {node.id for node in ast.walk(ast.parse(expression, mode="eval")) if isinstance(node, ast.Name)}
        for name in ("x", "y"):
            if name in names and name not in found:
                found[name] = Variable(name, "float", ("3", "4"), "")
        return Case(expression, tuple(found.values()), kinks)

    @property
    def program(self) -> str:
        return "\n".join([*(each.text for each in self.variables), f"out = {self.expression}", ""])

    def symbolic(self) -> Case:
        """The same with a symbol for every size, where all sizes are numbers: equal sizes get one symbol."""
        names = dict(zip("2345678", "PQRSTUV", strict=True))
        variables = tuple(Variable(v.name, v.kind, tuple(names.get(dim, dim) for dim in v.dims), v.domain) for v in self.variables)
        return Case(self.expression, variables, self.kinks)


def module(program: str) -> ModuleType:
    return _module(program)


@cache
def _module(program: str) -> ModuleType:
    return module_of(compile_text(program, format=False), "case")


# sampling ------------------------------------------------------------------------------------------------------------


def sample(case: Case, rng: np.random.Generator, sizes: Mapping[str, int] = SIZES) -> Inputs:
    """Inputs in their domains, away from the kinks."""
    for _ in range(200):
        inputs = {each.name: _draw(each.domain, each.kind, each.shape(sizes), rng, sizes) for each in case.variables}
        if not any(_near(kink, inputs) for kink in case.kinks):
            return inputs
    raise AssertionError(f"no sample of {case} keeps away from its kinks")


def _draw(domain: str, kind: str, shape: tuple[int, ...], rng: np.random.Generator, sizes: Mapping[str, int]) -> Array:
    bounds = re.search(r"in (.*?):(\S*)", domain)
    if kind == "bool":
        return rng.random(shape) < 0.5
    if kind == "int":
        low, high = (int(eval(each, {}, dict(sizes))) for each in (bounds[1], bounds[2])) if bounds else (0, 5)
        return rng.integers(low, high, size=shape)
    if bounds:
        return rng.uniform(float(bounds[1]), float(bounds[2]), size=shape)
    if "positive" in domain:
        return rng.uniform(0.3, 2.0, size=shape)
    if "nonnegative" in domain:
        return rng.uniform(0.1, 2.0, size=shape)
    if "unit" in domain:
        return rng.uniform(0.05, 0.95, size=shape)
    if any(word in domain for word in ("nonsingular", "spd", "symmetric", "triangular")):
        return _matrix(domain, shape, rng)
    return rng.normal(size=shape)


def _matrix(domain: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    a = rng.normal(size=shape)
    if "spd" in domain:
        return a @ a.swapaxes(-1, -2) + np.eye(shape[-1])
    if "symmetric" in domain:
        return a + a.swapaxes(-1, -2)
    if "triangular" in domain:
        return np.triu(a) + 3.0 * np.eye(shape[-1])
    return a + 3.0 * np.eye(shape[-1])


def _near(kink: str, inputs: Inputs) -> bool:
    """Whether any entry comes close to where both sides of the kink's equation agree."""
    for part in re.split(r"\bor\b", kink):
        left, _, right = part.strip(" ()").partition("==")
        values = [eval(side, dict(REFERENCE), dict(inputs)) for side in (left, right)]
        if np.any(np.abs(values[0] - values[1]) < 0.01):
            return True
    return False


# the reference -------------------------------------------------------------------------------------------------------


def _one_hot(x: Array, num_classes: int, axis: int = -1) -> Array:
    return np.moveaxis((np.asarray(x)[..., None] == np.arange(num_classes)).astype(float), -1, axis)


REFERENCE: dict[str, Any] = {
    **{name: getattr(np, name) for name in functions() if hasattr(np, name)},
    **{name: getattr(scipy.special, name) for name in functions() if not hasattr(np, name) and hasattr(scipy.special, name)},
    "norm": np.linalg.norm,
    "matrix_power": np.linalg.matrix_power,
    "cross": np.cross,
    "inf": np.inf,
    "pi": np.pi,
    "sigmoid": scipy.special.expit,
    "log_sigmoid": scipy.special.log_expit,
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "relu": lambda x: np.maximum(x, 0.0),
    "one_hot": _one_hot,
    "stop_gradient": lambda x: x,
    "rint": np.rint,
    "abs": np.abs,
    "astype": lambda x, dtype: np.asarray(x).astype(dtype),
    "len": len,
    **{name: getattr(np.linalg, name) for name in functions() if not hasattr(np, name) and hasattr(np.linalg, name)},
}


def expected(case: Case, inputs: Inputs, sizes: Mapping[str, int] = SIZES) -> Array:
    """What NumPy and SciPy give for the same text."""
    with np.errstate(all="ignore"):
        return np.asarray(eval(case.expression, dict(REFERENCE), {**sizes, **inputs}))


# comparison ----------------------------------------------------------------------------------------------------------


def check(case: Case, inputs: Inputs, rng: np.random.Generator, sizes: Mapping[str, int] = SIZES, reference: bool = True) -> None:
    """Value, shapes, gradients and dtypes of one case on one sample."""
    compiled = module(case.program)
    kept = {name: np.array(value) for name, value in inputs.items()}
    out, tape = compiled.forward(**inputs)
    if reference:
        want = expected(case, inputs, sizes)
        assert np.shape(out) == want.shape
        np.testing.assert_allclose(np.asarray(out, dtype=float), np.asarray(want, dtype=float), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(compiled.value(**inputs), out)
    assert not np.shape(out) == () or isinstance(out, np.generic | float | int), type(out)
    g = rng.normal(size=np.shape(out))
    gradients = compiled.backward(tape, g)._asdict()
    for name, gradient in gradients.items():
        check_gradient(compiled.value, inputs, name, gradient, g)
        assert not any(np.shares_memory(gradient, value) for value in (*inputs.values(), g) if isinstance(value, np.ndarray))
        assert isinstance(gradient, np.ndarray) == (np.shape(inputs[name]) != ()) and (np.shape(gradient) == () or gradient.flags.writeable)
    for name, value in kept.items():
        np.testing.assert_array_equal(inputs[name], value)
    check_single(compiled, inputs, out, gradients, g)


def check_gradient(value: Callable[..., Any], inputs: Inputs, name: str, gradient: Array, g: Array) -> None:
    """One gradient against central differences of ``sum(g * value)``, entry by entry."""
    x = np.asarray(inputs[name])
    assert np.shape(gradient) == x.shape, (name, np.shape(gradient), x.shape)
    numeric = np.empty(x.shape)
    for place in np.ndindex(*x.shape):
        step = 1e-6 * max(1.0, abs(float(x[place])))
        sides = []
        for sign in (1.0, -1.0):
            moved = np.array(x)
            moved[place] += sign * step
            sides.append(np.sum(g * np.asarray(value(**{**inputs, name: moved}), dtype=float)))
        numeric[place] = (sides[0] - sides[1]) / (2.0 * step)
    scale = 1.0 + (np.max(np.abs(numeric)) if numeric.size else 0.0)
    np.testing.assert_allclose(gradient, numeric, rtol=2e-6, atol=2e-8 * scale, err_msg=f"d/d{name}")


def check_single(compiled: ModuleType, inputs: Inputs, out: Array, gradients: Mapping[str, Array], g: Array) -> None:
    """float32 in, float32 out: value and gradients."""
    narrow = {name: value.astype(np.float32) if np.asarray(value).dtype.kind == "f" else value for name, value in inputs.items()}
    out32, tape = compiled.forward(**narrow)
    assert np.asarray(out32).dtype == (np.float32 if np.asarray(out).dtype.kind == "f" else np.asarray(out).dtype)
    np.testing.assert_allclose(out32, out, rtol=2e-3, atol=2e-4)
    for cotangent in (g, g.astype(np.float32)):
        for name, gradient in compiled.backward(tape, cotangent)._asdict().items():
            assert np.asarray(gradient).dtype == np.float32, name
            scale = 1.0 + (np.max(np.abs(gradients[name])) if np.size(gradient) else 0.0)
            np.testing.assert_allclose(gradient, gradients[name], rtol=5e-3, atol=1e-3 * scale)
    for gradient in compiled.backward(tape):
        assert np.asarray(gradient).dtype == np.float32
