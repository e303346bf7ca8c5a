"""What a caller may hand to a generated module, and what it does with it: every example, and every case that shows an emission."""

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsl.api import compile_text, module_of
from dsl.nodes import Input
from tests.numeric import Arrays, Running, cotangents_of, outputs_of, running
from tests.test_golden import CASES, EXAMPLES

PATHS = [pytest.param(path, id=path.stem) for path in (*EXAMPLES, *CASES)]
# a first row, a label, a slice, a maximum: what has no meaning without entries
NEEDS_ENTRIES = re.compile("must be at least|must lie in|empty sequence|zero-size array")


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """The branch of a where that is not taken may warn."""
    with np.errstate(invalid="ignore", divide="ignore"):
        yield


def drawn(path: Path) -> tuple[Running, Arrays]:
    found = running(path)
    return found, found.arguments(np.random.default_rng(5))


def computed(found: Running, arguments: Arrays) -> list[Any]:
    """Every float that the module makes of the arguments."""
    result, tape = found.module.forward(**arguments)
    gradients = found.module.backward(tape, *(np.ones_like(each) for each in outputs_of(result)))
    made = [*outputs_of(result), *gradients, *outputs_of(found.module.value(**arguments))]
    if hasattr(found.module, "value_and_grad"):
        value, fused = found.module.value_and_grad(**arguments)
        made += [value, *fused, *found.module.backward(tape)]
    return made


def floats(found: Running) -> list[Input]:
    return [each.node for each in found.program.arguments if each.node.type.dtype == "float" and each.node.role != "const"]


@pytest.mark.parametrize("path", PATHS)
def test_single_precision_stays(path: Path) -> None:
    found, arguments = drawn(path)
    single = {name: each.astype(np.float32) if each.dtype.kind == "f" else each for name, each in arguments.items()}
    assert {np.asarray(each).dtype for each in computed(found, single)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("path", PATHS)
def test_one_double_makes_double(path: Path) -> None:
    found, arguments = drawn(path)
    names = [node.name for node in floats(found)]
    mixed = {name: each.astype(np.float32) if name in names[1:] else each for name, each in arguments.items()}
    result, tape = found.module.forward(**mixed)
    assert {np.asarray(each).dtype for each in outputs_of(result)} <= {np.dtype(np.float32), np.dtype(np.float64)}
    assert all(np.asarray(each).dtype.kind == "f" for each in found.module.backward(tape))


@pytest.mark.parametrize("path", PATHS)
def test_views_lists_and_frozen_arrays_do(path: Path) -> None:
    found, arguments = drawn(path)
    expected = computed(found, arguments)
    strided: Arrays = {}
    for name, each in arguments.items():
        wide = np.zeros((*each.shape, 2), each.dtype)
        wide[..., 0] = each
        strided[name] = wide[..., 0]
        strided[name].flags.writeable = False
    reversed_ = {name: np.asfortranarray(each[::-1])[::-1] if each.ndim else each for name, each in arguments.items()}
    lists = {name: each.tolist() for name, each in arguments.items()}
    for given in (strided, reversed_, lists):
        for one, other in zip(computed(found, given), expected, strict=True):
            assert np.allclose(one, other, rtol=1e-10, atol=1e-12, equal_nan=True)
    assert all(np.array_equal(strided[name], arguments[name]) for name in arguments)


@pytest.mark.parametrize("path", PATHS)
def test_gradients_are_fresh(path: Path) -> None:
    found, arguments = drawn(path)
    kept = {name: each.copy() for name, each in arguments.items()}
    result, tape = found.module.forward(**arguments)
    rng = np.random.default_rng(6)
    made = [found.module.backward(tape, *cotangents_of(result, rng)), found.module.backward(tape)]
    if hasattr(found.module, "value_and_grad"):
        made.append(found.module.value_and_grad(**arguments)[1])
    for gradients in made:
        arrays = [each for each in gradients if np.ndim(each)]
        assert all(isinstance(each, np.ndarray) and each.flags.writeable for each in arrays)
        assert all(isinstance(each, np.generic) for each in gradients if not np.ndim(each))
        for i, each in enumerate(arrays):
            others = [*arguments.values(), *(part for part in tape if isinstance(part, np.ndarray)), *arrays[:i]]
            assert not any(np.shares_memory(each, other) for other in others)
            each[...] = np.nan
    assert all(np.array_equal(arguments[name], kept[name]) for name in arguments)


SEEN = {
    "turned": ("h, q: [N]", "sum(sin(h[::-1] + q))"),
    "a column": ("q: [N]\nparam h: [N, 1]", "sum(sin(h[:, 0] + q))"),
    "a column that is picked from": ("q: [N]\nparam h: [N, 1]\ninput i: int[M] in 0:N", "sum((h[:, 0] + q)[i])"),
    "transposed": ("h: [N, K]\nparam q: [K, N]", "sum(sin(h.T + q))"),
    "a running sum": ("w: [K]\nparam y: [N, K]\ndef cum(v, e) = v + e", "sum(scan(cum, w, y))"),
    "a diagonal": ("A: [N, N]\nparam o: [N]", "sum(diagonal(exp(A)) * o)"),
    "a diagonal by labels": ("A: [N, N]\nparam o: [N]", "sum(einsum('ii->i', inv(A)) * o)"),
    "diagonals": ("y: [N, K]\nparam o: [K]", "sum(tanh(jacobian(y * o, o)))"),
}


@pytest.mark.parametrize("name", SEEN)
def test_gradients_that_are_seen_in_others_are_fresh(name: str) -> None:
    head, formula = SEEN[name]
    module = module_of(compile_text(f"param {head}\nL = {formula}\n", "it"), "it")
    rng = np.random.default_rng(0)
    sizes = {"N": 3, "K": 2, "M": 4}
    shapes = re.findall(r"(?:param|input) ([\w, ]+): (int)?\[([\w, ]+)\]", f"param {head}")
    arguments = {
        each: rng.integers(0, 3, size=shape) if kind else rng.normal(size=shape)
        for names, kind, dims in shapes
        for shape in [tuple(sizes.get(dim) or int(dim) for dim in dims.split(", "))]
        for each in names.split(", ")
    }
    _, fused = module.value_and_grad(**arguments)
    pair = module.backward(module.forward(**arguments)[1])
    for one, other in zip(fused, pair, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    for gradients in (fused, pair):
        assert all(each.flags.writeable for each in gradients)
        assert not np.shares_memory(*gradients)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "uint64", ">i8"])
def test_integers_are_of_64_bits(dtype: str) -> None:
    module = module_of(compile_text("input y: int[N]\nparam w: [N]\nL = sum(w * where(y > 2, 1000, y - 5) * (y * y))\n", "it"), "it")
    y, w = np.array([0, 1, 100, 3]), np.arange(4.0)
    expected = (w * np.where(y > 2, 1000, y - 5) * y * y).sum()
    value, _ = module.value_and_grad(y.astype(dtype), w)
    assert value == expected == module.value(y.astype(dtype), w)
    with pytest.raises(ValueError, match=r"y must hold integers below 2 \*\* 63"):
        module.value(np.array([2**63], np.uint64), w[:1])


@pytest.mark.parametrize("dtype", [">f8", ">f4"])
def test_another_byte_order(dtype: str) -> None:
    module = module_of(compile_text("param x: [N]\nL = sum(where(x > 0, x, -x) ** 2)\n", "it"), "it")
    x = np.linspace(-1, 1, 5000)
    value, gradients = module.value_and_grad(x.astype(dtype))
    np.testing.assert_allclose(gradients.x, 2 * x, atol=1e-6)
    assert gradients.x.dtype == np.dtype(dtype).newbyteorder("=") == value.dtype


@pytest.mark.parametrize("path", PATHS)
def test_wrong_rank_is_refused(path: Path) -> None:
    found, arguments = drawn(path)
    for each in found.program.arguments:
        node = each.node
        if node.role != "const" and node.type.shape is not None:
            wrong = np.expand_dims(arguments[node.name], 0)
            with pytest.raises(ValueError, match=rf"\b{node.name}\b.*{len(node.type.shape) or 'number'}.*{wrong.ndim if wrong.ndim < 2 else ''}") as told:
                found.module.forward(**{**arguments, node.name: wrong})
            assert str(wrong.shape) in str(told.value)


@pytest.mark.parametrize("path", PATHS)
def test_wrong_size_is_refused(path: Path) -> None:
    found, arguments = drawn(path)
    declared = [each.node for each in found.program.arguments if each.node.role != "const" and each.node.type.shape]
    sizes = [str(dim) for node in declared for dim in node.type.known]
    for node in declared:
        for axis, dim in enumerate(node.type.known):
            if dim.constant is None and (sizes.count(str(dim)) == 1 or dim.flexible):
                continue
            wrong = np.repeat(arguments[node.name], 2, axis=axis)
            with pytest.raises(ValueError) as told:
                found.module.forward(**{**arguments, node.name: wrong})
            assert any(name in str(told.value) for name in arguments) and any(str(times * wrong.shape[axis]) in str(told.value) for times in (1, 4))


@pytest.mark.parametrize("path", PATHS)
def test_wrong_kind_is_refused(path: Path) -> None:
    found, arguments = drawn(path)
    for each in found.program.arguments:
        node = each.node
        if node.role == "const":
            continue
        kinds = {"float": [complex, str, bool], "int": [float, str, bool], "bool": [float, str]}[node.type.dtype]
        for kind in kinds:
            with pytest.raises(TypeError, match=rf"\b{node.name}\b.*{node.type.dtype}"):
                found.module.forward(**{**arguments, node.name: arguments[node.name].astype(kind)})


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
@pytest.mark.parametrize("formula", ["mean(z[2:] ** 2)", "sum(mean(z[2:, None], axis=0))"])
def test_the_mean_of_what_is_empty_by_its_declaration(formula: str) -> None:
    module = module_of(compile_text(f"param z: [2]\nL = {formula} + sum(z)\n"), "program")
    value, gradients = module.value_and_grad(np.ones(2))
    assert np.isnan(value) and gradients.z.tolist() == [1, 1]


# the mean of nothing is nan with a warning, as in NumPy
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom", "ignore:invalid value")
@pytest.mark.parametrize("size", [1, 0])
@pytest.mark.parametrize("path", PATHS)
def test_sizes_of_one_and_none(path: Path, size: int) -> None:
    found, _ = drawn(path)
    names = {symbol.name for each in found.program.arguments for dim in each.node.type.shape or () for symbol in dim.symbols()}
    for name in sorted(names):
        arguments = found.arguments(np.random.default_rng(7), {name: size})
        try:
            found.module.value(**arguments)
        except ValueError as problem:
            assert NEEDS_ENTRIES.search(str(problem)) and (path not in EXAMPLES or name != "N" or path.stem == "rosenbrock")
            continue
        result, tape = found.module.forward(**arguments)
        every = [found.module.backward(tape), found.module.backward(tape, *(np.ones_like(each) for each in outputs_of(result)))]
        every += [found.module.value_and_grad(**arguments)[1]] if hasattr(found.module, "value_and_grad") else []
        for gradients in every:
            for key, gradient in gradients._asdict().items():
                assert np.shape(gradient) == np.shape(arguments[key])


def test_keywords_and_positions() -> None:
    found = running(next(path for path in EXAMPLES if path.stem == "logistic"))
    signature = inspect.signature(found.module.forward)
    assert [str(each.kind) for each in signature.parameters.values()] == ["POSITIONAL_OR_KEYWORD"] * 4 + ["KEYWORD_ONLY"]
    assert signature.parameters["lam"].default == 0.01


def test_an_output_that_is_an_argument_of_any_shape() -> None:
    module = module_of(compile_text("y = x\nz = sin(x)\noutput y, z"), "identity")
    x = np.arange(6.0).reshape(2, 3)
    outputs, tape = module.forward(x)
    np.testing.assert_array_equal(outputs.y, x)
    np.testing.assert_array_equal(module.backward(tape).x, np.ones((2, 3)))
    np.testing.assert_allclose(module.backward(tape, dz=x).x, 1 + x * np.cos(x))


def test_cotangents_of_outputs_whose_shapes_nobody_declared() -> None:
    """The tape keeps a shape that none of its arrays has, of a later output too."""
    module: Any = module_of(compile_text("a = y + y\nL = 0.3 * sum(tanh(x)) + sum(tanh(a - a))\noutput L, a\n"), "shapeless")
    x, y = np.ones((2, 3)), np.arange(4.0)
    _, tape = module.forward(y=y, x=x)
    gradients = module.backward(tape, 1.0, np.arange(4.0))
    np.testing.assert_allclose(gradients.y, 2 * np.arange(4.0))
    np.testing.assert_allclose(gradients.x, 0.3 / np.cosh(x) ** 2)
    assert not module.backward(tape).y.any()
