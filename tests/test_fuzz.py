"""Random programs: what they compute is what Python and NumPy make of the same text, their gradients are central differences."""

from __future__ import annotations

import inspect
import re
from types import ModuleType
from typing import Any

import numpy as np
import scipy.special
from hypothesis import HealthCheck, given, settings

from dsl.api import compile_text, module_of
from dsl.diagnostics import Code, DslError
from tests.numeric import outputs_of
from tests.programs import DEFS, SIZES, Generated, programs, size

Arrays = dict[str, Any]
STEP = 2e-4
LARGE = 100
BOUNDED = settings(max_examples=400, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))

PYTHON: dict[str, Any] = {
    **{name: getattr(np, name) for name in np.__all__},
    **{name: getattr(scipy.special, name) for name in ("erf", "logsumexp", "softmax", "log_softmax", "xlogy")},
    "At": lambda array: At(array),
    **{name: getattr(np.linalg, name) for name in ("norm", "inv", "solve")},
    "sigmoid": scipy.special.expit,
    "log_sigmoid": scipy.special.log_expit,
    "softplus": lambda x: np.logaddexp(0, x),
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x, slope: np.where(x >= 0, x, slope * x),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


UPDATE = re.compile(r"(\w+)\.at\[")
CHOICE = re.compile(r"\((\S+) if (.*?) else (\S+)\)")


def arguments(made: Generated, rng: np.random.Generator) -> Arrays:
    found: Arrays = {name: rng.normal(size=tuple(map(size, shape))) for name, shape in made.shapes.items()}
    found |= {name: rng.integers(0, SIZES[bound], tuple(map(size, shape))) for name, (shape, bound) in made.indices.items()}
    return found | {name: rng.random(tuple(map(size, shape))) < 0.5 for name, shape in made.masks.items()}


class At:
    """JAX's functional update."""

    def __init__(self, array: Any, items: Any = None) -> None:
        self.array, self.items = array, items

    def __getitem__(self, items: Any) -> At:
        return At(self.array, items)

    def set(self, value: Any) -> Any:
        made = self.array.copy()
        made[self.items] = value
        return made

    def add(self, value: Any) -> Any:
        return self.set(self.array[self.items] + value)


def in_python(made: Generated, taken: Arrays) -> Arrays:
    """Every value that Python makes of the text, with NumPy's functions in scope and choices between arrays as ``where``."""
    space = {**PYTHON, **SIZES, "rate": 0.7, "power": 2, "len": 3, **taken}
    for line in DEFS:
        head, _, body = line.partition(") = ")
        exec(f"{head}): return {body}", space)
    for line in made.lines:
        exec(UPDATE.sub(r"At(\1)[", CHOICE.sub(r"where(\2, \1, \3)", line)), space)
    return {name: value for name, value in space.items() if isinstance(value, (np.ndarray, np.generic, float))}


def compiled(made: Generated) -> ModuleType | None:
    """The module; None where a rank cannot be known, which the compiler says."""
    try:
        return module_of(compile_text(made.text, format=False), "fuzz")
    except DslError as problem:
        if made.declarations or any(each.code not in (Code.E0306, Code.E0302, Code.E0303) for each in problem.diagnostics):
            raise
        return None


def differentiates(module: ModuleType, taken: Arrays, rng: np.random.Generator) -> list[str]:
    """The inputs whose gradient is no central difference."""
    result, tape = module.forward(**taken)
    cotangents = [rng.normal(size=np.shape(each)) for each in outputs_of(result)]
    wrong = []
    for name, gradient in module.backward(tape, *cotangents)._asdict().items():
        assert np.shape(gradient) == np.shape(taken[name]), name
        direction = rng.normal(size=np.shape(gradient))

        def at(step: float, name: str = name, direction: Any = direction) -> float:
            outputs = outputs_of(module.value(**{**taken, name: taken[name] + step * direction}))
            return float(sum(np.sum(c * each) for c, each in zip(cotangents, outputs, strict=True)))

        wide, narrow = ((at(step) - at(-step)) / (2 * step) for step in (2 * STEP, STEP))
        expected, found = (4 * narrow - wide) / 3, float(np.sum(gradient * direction))
        error = 1e-6 * (1 + abs(at(0.0)) / STEP * 1e-7) + 1e-5 * abs(expected) + abs(wide - narrow) * 0.1
        if not abs(found - expected) <= error:
            wrong.append(f"{name}: {found} is not {expected}")
    return wrong


def single(module: ModuleType, taken: Arrays) -> None:
    """float32 stays float32, in every result."""
    narrow = {name: each.astype(np.float32) if each.dtype.kind == "f" else each for name, each in taken.items()}
    result, tape = module.forward(**narrow)
    found = [*outputs_of(result), *outputs_of(module.value(**narrow)), *module.backward(tape)]
    found += module.value_and_grad(**narrow)[1] if hasattr(module, "value_and_grad") else ()
    assert {np.asarray(each).dtype for each in found} == {np.dtype(np.float32)}


def in_blocks(module: ModuleType, taken: Arrays) -> None:
    """value_and_grad gives what the pair gives, also where it takes two rows at a time."""
    if not hasattr(module, "value_and_grad"):
        return
    result, tape = module.forward(**taken)
    expected = [outputs_of(result)[0], *module.backward(tape)]
    ways: list[dict[str, int]] = [{}]
    if hasattr(module, "_in_blocks"):
        module._LEAST_ROWS, module._BLOCK_BYTES, module._SMALL_BYTES = 2, 0, 0
        ways = [{"workers": 1}, {"workers": 2}]
    for way in ways:
        value, gradients = module.value_and_grad(**taken, **way)
        for found, each in zip([value, *gradients], expected, strict=True):
            assert np.allclose(found, each, rtol=1e-8, atol=1e-9 * (1 + np.max(np.abs(each), initial=0)), equal_nan=True)


def holds(made: Generated) -> None:
    module = compiled(made)
    if module is None:
        return
    with np.errstate(all="ignore"):
        for seed in range(3):
            # a kink of the program may lie within a step of one point, not of three
            rng = np.random.default_rng(seed)
            every = arguments(made, rng)
            taken = {name: every[name] for name in inspect.signature(module.value).parameters if name in every}
            result = module.value(**taken)
            outputs = list(result) if len(made.outputs) > 1 else [result]
            expected = in_python(made, every)
            for name, value in zip(made.outputs, outputs, strict=True):
                assert np.shape(value) == np.shape(expected[name])
                assert np.allclose(value, expected[name], rtol=1e-9, atol=1e-11, equal_nan=True)
            if max(np.max(np.abs(expected[name]), initial=0) for name in expected if name[0] in "vL") > LARGE:
                # a difference of functions this steep says nothing
                return
            wrong = differentiates(module, taken, rng)
            if not wrong:
                break
        assert not wrong, wrong
        single(module, taken)
        in_blocks(module, taken)
        forward, tape = module.forward(**taken)
        for one, other in zip(list(forward) if len(made.outputs) > 1 else [forward], outputs, strict=True):
            assert np.allclose(one, other, rtol=1e-12, atol=1e-14)
        if made.outputs[0] == "L":
            value, fused = module.value_and_grad(**taken)
            assert np.isclose(value, forward[0] if len(made.outputs) > 1 else forward, rtol=1e-12)
            for one, other in zip(fused, module.backward(tape), strict=True):
                assert np.allclose(one, other, rtol=1e-10, atol=1e-12)


@BOUNDED
@given(programs())
def test_declared(made: Generated) -> None:
    holds(made)


@BOUNDED
@given(programs(declared=False))
def test_undeclared(made: Generated) -> None:
    holds(made)
