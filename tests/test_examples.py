"""Every example: it compiles, its gradients are those of central differences, its checked-in module is what compiling gives."""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsl
from dsl import syntax
from dsl.diagnostics import Source
from dsl.parse import parse

ROOT = Path(__file__).parent.parent
PATHS = sorted((ROOT / "examples").glob("*.expr"))
STEMS = [path.stem for path in PATHS]
SIZES = {"B": 2, "D": 3, "H": 4, "I": 5, "K": 3, "M": 4, "N": 6, "P": 4, "S": 3, "T": 5, "V": 7}
UNDECLARED = {"sigmoid_sum": {"X": (3, 3), "W": (3, 2)}}


@cache
def example(stem: str) -> Any:
    return dsl.load(ROOT / "examples" / f"{stem}.expr")


def sample(stem: str, rng: np.random.Generator) -> dict[str, Any]:
    """Arguments from the domains that a program declares."""
    if stem in UNDECLARED:
        return {name: rng.normal(size=shape) for name, shape in UNDECLARED[stem].items()}
    path = ROOT / "examples" / f"{stem}.expr"
    statements = parse(Source(str(path), path.read_text())).statements
    arguments = {}
    for each in statements:
        if isinstance(each, syntax.Declare) and each.type is not None:
            for name in each.names:
                arguments[name.id] = sample_type(each.type, rng)
    return arguments


def sample_type(declared: syntax.TypeExpr, rng: np.random.Generator) -> Any:
    shape = [number(each) for each in declared.dims]
    if declared.dtype == "bool":
        return rng.random(shape) < 0.6
    if declared.dtype == "int":
        assert declared.low is not None and declared.high is not None
        return rng.integers(number(declared.low), number(declared.high), shape)
    x = rng.normal(size=shape)
    return np.exp(0.5 * x) if "positive" in declared.words else x


def number(expr: syntax.Expr) -> int:
    return int(eval(expr.span.text, {}, SIZES))


def outputs_of(result: Any) -> list[Any]:
    """The float outputs."""
    every = list(result) if hasattr(result, "_fields") else [result]
    return [each for each in every if np.asarray(each).dtype.kind == "f"]


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_gradient_against_central_differences(stem: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    module, arguments = example(stem), sample(stem, rng)
    result, tape = module.forward(**arguments)
    cotangents = [rng.normal(size=np.shape(each)) for each in outputs_of(result)]
    gradients = module.backward(tape, *cotangents)
    assert gradients._fields
    for name, gradient in gradients._asdict().items():
        assert np.shape(gradient) == np.shape(arguments[name])
        direction = rng.normal(size=np.shape(gradient))
        ends = []
        for step in (1e-6, -1e-6):
            moved = {**arguments, name: arguments[name] + step * direction}
            ends.append(sum((c * out).sum() for c, out in zip(cotangents, outputs_of(module.value(**moved)), strict=True)))
        slope = (ends[0] - ends[1]) / 2e-6
        assert np.isclose(slope, (gradient * direction).sum(), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("stem", STEMS)
def test_value_and_grad_agrees_with_the_pair(stem: str) -> None:
    module, arguments = example(stem), sample(stem, np.random.default_rng(2))
    result, tape = module.forward(**arguments)
    first = result[0] if hasattr(result, "_fields") else result
    if np.shape(first) != ():
        assert not hasattr(module, "value_and_grad")
        return
    value, gradients = module.value_and_grad(**arguments)
    assert np.isclose(value, first, rtol=1e-14)
    for one, other in zip(gradients, module.backward(tape), strict=True):
        assert np.allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("stem", STEMS)
def test_single_precision_stays(stem: str) -> None:
    module = example(stem)
    arguments = {
        name: each.astype(np.float32) if each.dtype.kind == "f" else each
        for name, each in ((name, np.asarray(each)) for name, each in sample(stem, np.random.default_rng(3)).items())
    }
    result, tape = module.forward(**arguments)
    floats = [*outputs_of(result), *module.backward(tape, *(np.ones_like(each) for each in outputs_of(result)))]
    assert {np.asarray(each).dtype for each in floats} == {np.dtype(np.float32)}


@pytest.mark.parametrize("stem", STEMS)
def test_arguments_are_left_alone(stem: str) -> None:
    module, arguments = example(stem), sample(stem, np.random.default_rng(4))
    kept = {name: np.array(each) for name, each in arguments.items()}
    frozen = {}
    for name, each in arguments.items():
        wide = np.zeros((*np.shape(each), 2), np.asarray(each).dtype)
        wide[..., 0] = each
        frozen[name] = wide[..., 0]  # not contiguous
        frozen[name].flags.writeable = False
    result, tape = module.forward(**frozen)
    for gradient in module.backward(tape, *(np.ones_like(each) for each in outputs_of(result))):
        assert not any(np.shares_memory(gradient, each) for each in frozen.values())
        assert np.ndim(gradient) == 0 or gradient.flags.writeable
    assert all(np.array_equal(frozen[name], kept[name]) for name in kept)


@pytest.mark.parametrize("path", PATHS, ids=STEMS)
def test_opens_with_what_it_is(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert example(path.stem).__doc__.startswith(first[2:])


def test_checked_in_modules_are_what_compiling_gives(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "dsl", "compile", *map(str, PATHS), "-o", str(tmp_path)], check=True, cwd=ROOT)
    assert sorted(path.stem for path in tmp_path.iterdir()) == STEMS
    for path in (ROOT / "generated").glob("[!_]*.py"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_training_on_real_data(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "train_diabetes.py", tmp_path / "examples")
    models = [str(ROOT / "examples" / f"{stem}.expr") for stem in ("linear_regression", "neural_network")]
    subprocess.run([sys.executable, "-m", "dsl", "compile", *models, "-o", str(tmp_path / "generated")], check=True, cwd=ROOT)
    command = [sys.executable, "-m", "examples.train_diabetes"]
    shown = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""}).stdout
    linear, network = (np.array(re.findall(r"loss (\S+)", part), float) for part in shown.split("neural network"))
    assert (np.diff(linear) <= 0).all() and linear[0] == 1 and linear[-1] < 0.46
    assert (np.diff(network) < 0).all() and network[-1] < 0.43
    gradient_descent, closed_form, deep = (float(each) for each in re.findall(r"R² .* (\S+)", shown))
    assert abs(gradient_descent - closed_form) < 1e-3 and closed_form > 0.35 and deep > 0.35
