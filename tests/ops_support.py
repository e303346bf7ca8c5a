"""Cases of the operations' stanzas as programs: inputs sampled, values compared with NumPy, gradients with central differences."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from dsl.api import compile_text, module_of
from dsl.diagnostics import Source
from dsl.emit.render import render_module
from dsl.emit.view import view
from dsl.imports import nowhere
from dsl.nodes import Declared, Input, Program, argument, rebuild, remapped
from dsl.ops.builtins import functions
from dsl.ops.elementwise import elementwise_ops
from dsl.parse import parse
from dsl.passes.differentiate import differentiate
from dsl.passes.resolve import resolve
from dsl.passes.simplify import simplify
from tests.ops_reference import Names

Array = Any
Inputs = dict[str, Array]

SIZES = {"N": 4, "B": 2, "D": 3, "M": 2}
# a symbol for each size that a case writes as a number
SYMBOLS = dict(zip("2345678", "PQRSTUV", strict=True))
DECLARATION = re.compile(r"^(\w+): *(float|int|bool)?\[(.*?)\](.*)$")
MATRICES = ("nonsingular", "spd", "symmetric", "triangular")


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
        return f"{role} {self.name}: {self.kind}[{', '.join(self.dims)}]{self.domain}"

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(int(eval(dim, {}, dict(sizes))) for dim in self.dims)


@dataclass(frozen=True)
class Case:
    """An expression and its inputs. ``kink`` is a condition over them that sampling keeps away from."""

    expression: str
    variables: tuple[Variable, ...]
    kink: str = ""

    @staticmethod
    def read(text: str, kink: str = "") -> Case:
        """``sum(x) | x: [2, 3] positive; i: int[3] in 0:2``; x and y are ``[3, 4]`` where nothing is declared."""
        expression, _, declarations = (part.strip() for part in text.partition(" | "))
        found: dict[str, Variable] = {}
        for each in filter(None, declarations.split(";")):
            match = DECLARATION.match(each.strip())
            assert match is not None, each
            found[match[1]] = Variable(match[1], match[2] or "float", tuple(filter(None, match[3].split(", "))), match[4])
        names = {node.id for node in ast.walk(ast.parse(expression, mode="eval")) if isinstance(node, ast.Name)}
        for name in ("x", "y"):
            if name in names:
                found.setdefault(name, Variable(name, "float", ("3", "4"), ""))
        return Case(expression, tuple(found.values()), kink)

    @property
    def program(self) -> str:
        return "\n".join([*(each.text for each in self.variables), f"out = {self.expression}", ""])

    def symbolic(self) -> Case:
        """The same with a symbol for every size above 1; equal sizes get one symbol."""
        return replace(self, variables=tuple(replace(each, dims=tuple(SYMBOLS.get(dim, dim) for dim in each.dims)) for each in self.variables))

    @property
    def symbols(self) -> set[str]:
        return {dim for each in self.variables for dim in each.dims if not dim.isdigit()}

    @property
    def sizes(self) -> dict[str, int]:
        """The size of every symbol."""
        return {**SIZES, **{symbol: int(size) for size, symbol in SYMBOLS.items()}}


def cases_of(name: str) -> list[Case]:
    """The cases of a function's stanza."""
    rule = elementwise_ops().get(name)
    return [Case.read(text, rule.stanza.lines.get("kink", "") if rule else "") for text in functions()[name].cases]


@cache
def module(program: str) -> ModuleType:
    return module_of(compile_text(program, format=False), "case")


# the gradient as a program -------------------------------------------------------------------------------------------


@cache
def differentiated(program: str) -> Program:
    return differentiate(resolve(parse(Source("case.expr", program)), "case", (), nowhere))


def gradient_module(once: Program, names: Sequence[str]) -> ModuleType:
    """A module whose outputs are a program's gradients with respect to these names, functions of its arguments and of ``dout``."""
    ((_, seed),) = once.cotangents
    cotangent = argument("dout", "param", seed.type)
    once = remapped(once, rebuild(once.every_root, lambda node: cotangent if node is seed else node))
    twice = replace(
        once,
        arguments=(*once.arguments, Declared(cotangent)),
        outputs=tuple((f"d{name}", node) for name, node in once.gradients if name in names),
        wrt=(*once.wrt, "dout"),
        cotangents=(),
        gradients=(),
        fused=(),
        adjoints={},
    )
    return module_of(render_module(view(simplify(differentiate(twice)), "0")), "gradient")


# sampling ------------------------------------------------------------------------------------------------------------


def sample(case: Case, rng: np.random.Generator, sizes: Mapping[str, int] = SIZES) -> Inputs:
    """Inputs in their domains, away from the kink."""
    for _ in range(200):
        inputs = {each.name: _draw(each.domain, each.kind, each.shape(sizes), rng) for each in case.variables}
        if not case.kink or all(each.kind != "float" for each in case.variables if each.name != "factor") or not _near(case.kink, inputs):
            return inputs
    raise AssertionError(f"no sample of {case} keeps away from its kink")


def _draw(domain: str, kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    bounds = re.search(r"in (.*?):(\S*)", domain)
    if kind == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if kind == "int":
        low, high = (int(bounds[1]), int(bounds[2])) if bounds else (0, 5)
        return np.asarray(rng.integers(low, high, size=shape))
    if bounds:
        return np.asarray(rng.uniform(float(bounds[1]), float(bounds[2]), size=shape))
    if "positive" in domain:
        return np.asarray(rng.uniform(0.3, 2.0, size=shape))
    if "unit" in domain:
        return np.asarray(rng.uniform(0.05, 0.95, size=shape))
    a = np.asarray(rng.normal(size=shape))
    if not any(word in domain for word in MATRICES):
        return a
    identity = np.eye(shape[-1])
    if "spd" in domain:
        return a @ a.swapaxes(-1, -2) + identity
    if "symmetric" in domain:
        return a + a.swapaxes(-1, -2)
    return (np.tril(a) if "triangular" in domain else a) + 3.0 * identity


def _near(kink: str, inputs: Inputs) -> bool:
    """Whether any entry comes close to where both sides of the kink's equation agree."""
    left, _, right = kink.partition("==")
    # where a case has no such input, there stands the number 2
    values = [eval(side, {}, Names({"x": 2, "y": 2, **inputs})) for side in (left, right)]
    return bool(np.any(np.abs(values[0] - values[1]) < 0.01))


# comparison ----------------------------------------------------------------------------------------------------------


def expected(case: Case, inputs: Inputs, sizes: Mapping[str, int] = SIZES) -> Array:
    """What NumPy and SciPy give for the same text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(eval(re.sub(r"(\w+)\.at\b", r"At(\1)", case.expression), {}, Names({**sizes, **inputs})))


def check(case: Case, rng: np.random.Generator, sizes: Mapping[str, int] = SIZES) -> None:
    """Value, shapes, gradients and dtypes of one case on one sample."""
    inputs = sample(case, rng, sizes)
    compiled, kept = module(case.program), {name: np.array(value) for name, value in inputs.items()}
    out, tape = compiled.forward(**inputs)
    want = expected(case, inputs, sizes)
    assert np.shape(out) == want.shape and np.asarray(out).dtype == want.dtype
    np.testing.assert_allclose(out, want, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(compiled.value(**inputs), out)
    assert isinstance(out, np.ndarray if np.shape(out) else np.generic)
    g = np.asarray(rng.normal(size=np.shape(out)))
    gradients = compiled.backward(tape, g)._asdict()
    for each in (each for each in case.variables if each.kind == "float"):
        gradient = gradients[each.name]
        check_gradient(compiled.value, inputs, each, gradient, g)
        assert not any(np.shares_memory(gradient, value) for value in (*inputs.values(), g))
        assert isinstance(gradient, np.ndarray if each.dims else np.generic) and (not each.dims or gradient.flags.writeable)
    for name, value in kept.items():
        np.testing.assert_array_equal(inputs[name], value)
    check_single(compiled, inputs, out, gradients, g)


def check_gradient(value: Callable[..., Any], inputs: Inputs, variable: Variable, gradient: Array, g: Array) -> None:
    """One gradient against central differences of ``sum(g * value)``, entry by entry; along both of a symmetric matrix's entries."""
    x = np.asarray(inputs[variable.name])
    assert np.shape(gradient) == x.shape, (variable.name, np.shape(gradient), x.shape)
    symmetric = any(word in variable.domain for word in ("spd", "symmetric"))
    found, numeric = np.empty(x.shape), np.empty(x.shape)
    for place in np.ndindex(*x.shape):
        direction = np.zeros(x.shape)
        direction[place] = 1.0
        if symmetric:
            direction[(*place[:-2], place[-1], place[-2])] = 1.0
        found[place] = np.sum(gradient * direction)
        step = 1e-6 * max(1.0, abs(float(x[place])))
        sides = [np.sum(g * value(**{**inputs, variable.name: x + sign * step * direction})) for sign in (1.0, -1.0)]
        numeric[place] = (sides[0] - sides[1]) / (2.0 * step)
    scale = 1.0 + np.max(np.abs(numeric), initial=0.0)
    np.testing.assert_allclose(found, numeric, rtol=2e-6, atol=2e-8 * scale, err_msg=f"d/d{variable.name}")
    if symmetric:
        np.testing.assert_allclose(gradient, np.swapaxes(gradient, -1, -2), atol=1e-12 * scale)


def check_single(compiled: ModuleType, inputs: Inputs, out: Array, gradients: Mapping[str, Array], g: Array) -> None:
    """float32 in, float32 out: value and gradients, whatever the cotangent is."""
    narrow = {name: value.astype(np.float32) if value.dtype.kind == "f" else value for name, value in inputs.items()}
    out32, tape = compiled.forward(**narrow)
    assert np.asarray(out32).dtype == (np.float32 if np.asarray(out).dtype.kind == "f" else np.asarray(out).dtype)
    np.testing.assert_allclose(out32, out, rtol=2e-3, atol=2e-4)
    for cotangent in (g if g.shape else g.item(), g.astype(np.float32)):
        for name, gradient in compiled.backward(tape, cotangent)._asdict().items():
            assert gradient.dtype == np.float32, name
            scale = 1.0 + np.max(np.abs(gradients[name]), initial=0.0)
            np.testing.assert_allclose(gradient, gradients[name], rtol=5e-3, atol=1e-3 * scale)
    assert all(gradient.dtype == np.float32 for gradient in compiled.backward(tape))


def check_twice(case: Case, rng: np.random.Generator) -> None:
    """The derivative of the derivative: the gradients' own gradients against central differences."""
    once = differentiated(case.program)
    names = [name for name, node in once.gradients if not isinstance(node, Input)]
    if not names:
        # the gradient is the cotangent itself
        return
    inputs = sample(case, rng)
    out, tape = module(case.program).forward(**inputs)
    g = np.asarray(rng.normal(size=np.shape(out)))
    first = module(case.program).backward(tape, g)._asdict()
    twice, every = gradient_module(once, names), {**inputs, "dout": g}
    outputs, tape = twice.forward(**every)
    for name, value in zip(names, _several(outputs), strict=True):
        np.testing.assert_allclose(value, first[name], rtol=1e-9, atol=1e-9)
    weights = [rng.normal(size=np.shape(each)) for each in _several(outputs)]

    def total(**given: Any) -> Any:
        return sum(np.sum(weight * each) for weight, each in zip(weights, _several(twice.value(**given)), strict=True))

    domains = {each.name: each for each in case.variables}
    for name, gradient in twice.backward(tape, *weights)._asdict().items():
        check_gradient(total, every, domains.get(name, Variable(name, "float", (), "")), gradient, np.array(1.0))


def _several(outputs: Any) -> tuple[Any, ...]:
    return tuple(outputs) if hasattr(outputs, "_fields") else (outputs,)
