"""A workspace: the same results bit for bit, in arrays that stay from one call to the next and are never given out."""

import tracemalloc
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from dsl.api import compile_path, module_of
from dsl.cli import main
from dsl.diagnostics import Source
from dsl.pipeline import Options, compile_source
from tests.numeric import Arrays, running
from tests.test_golden import CASES, EXAMPLES

# what is inverted is needed as a whole
KERNEL = """
param Q: [T, D]
param K: [T, D]
L = sum(softmax(Q @ K.T + inv(eye(T) + Q @ Q.T), axis=-1) ** 2)
"""


def keeping(text: str) -> ModuleType:
    return module_of(compile_source(Source("program.expr", text), "program", Options(format=False, workspace=True)).text, "program")


def flat(result: tuple[Any, Any]) -> list[np.ndarray]:
    return [np.asarray(each) for each in (result[0], *result[1])]


def in_single(arguments: Arrays) -> Arrays:
    return {name: x.astype(np.float32) if getattr(x, "dtype", None) == np.float64 else x for name, x in arguments.items()}


@np.errstate(all="ignore")
@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in (*EXAMPLES, *CASES) if hasattr(running(path).module, "value_and_grad")])
def test_same(path: Path) -> None:
    found = running(path)
    module, rng = module_of(compile_path(path, format=False, workspace=True).text, path.stem), np.random.default_rng(5)
    workspace: dict[str, np.ndarray] = {}
    drawn = [found.arguments(rng) for _ in range(2)]
    for arguments in (drawn[0], drawn[1], in_single(drawn[0]), drawn[0]):
        expected = flat(found.module.value_and_grad(**arguments))
        results = flat(module.value_and_grad(**arguments, workspace=workspace))
        before = [result.copy() for result in results]
        module.value_and_grad(**drawn[1], workspace=workspace)
        for one, two, kept in zip(results, expected, before, strict=True):
            assert one.dtype == two.dtype and np.array_equal(one, two, equal_nan=True)
            assert np.array_equal(one, kept, equal_nan=True), "a later call has changed a result"
            assert not any(np.shares_memory(one, array) for array in workspace.values())


def test_arrays_stay() -> None:
    module, workspace = keeping(KERNEL), dict[str, np.ndarray]()
    arguments = np.random.default_rng(0).normal(size=(2, 50, 3))
    module.value_and_grad(*arguments, workspace=workspace)
    first = dict(workspace)
    assert sum(array.shape == (50, 50) for array in first.values()) >= 1
    module.value_and_grad(*arguments, workspace=workspace)
    assert workspace.keys() == first.keys() and all(workspace[name] is first[name] for name in first)
    # of another shape, or another precision, they are made anew
    module.value_and_grad(*arguments[:, :20], workspace=workspace)
    assert {array.shape for array in workspace.values()} == {(20, 20) if array.shape == (50, 50) else (20, 3) for array in first.values()}
    module.value_and_grad(*arguments.astype(np.float32), workspace=workspace)
    assert {array.dtype for array in workspace.values()} == {np.dtype(np.float32)}


def test_takes_less_memory() -> None:
    module, workspace = keeping(KERNEL), dict[str, np.ndarray]()
    arguments = np.random.default_rng(0).normal(size=(2, 300, 4))

    def peak(**given: Any) -> int:
        tracemalloc.start()
        module.value_and_grad(*arguments, **given)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(workspace=workspace)
    assert peak(workspace=workspace) < peak() / 2


def test_no_dict() -> None:
    with pytest.raises(TypeError, match="workspace must be a dict, not list"):
        keeping(KERNEL).value_and_grad(np.ones((2, 2)), np.ones((2, 2)), workspace=[])


def test_a_product_that_is_put_into_shape() -> None:
    """NumPy's `reshape` takes no array to write to, whatever function its rows come of."""
    text = (
        "input X: [T, D]\nparam A: [K, K]\nparam u, w: [K]\n"
        "def step((h, s), x) = tanh(h), tanh(sum(logsumexp((h * w)[:, None] + A, axis=0) * sum(u * A, axis=0)))\n"
        "rh, rs = scan(step, (zeros(K), 0.0), X)\nL = sum(sin(rh)) + sum(sin(rs))\n"
    )
    rng, kept = np.random.default_rng(0), dict[str, np.ndarray]()
    # too large for the logarithms of products
    arguments = rng.normal(size=(4, 2)), 1e3 * rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=3)
    plain = module_of(compile_source(Source("program.expr", text), "program", Options()).text, "program").value_and_grad(*arguments)
    assert all(map(np.array_equal, flat(keeping(text).value_and_grad(*arguments, workspace=kept)), flat(plain))) and kept


def test_names_of_the_user() -> None:
    module = keeping(KERNEL.replace("Q", "workspace").replace("K", "room"))
    arguments, kept = np.random.default_rng(0).normal(size=(2, 4, 3)), dict[str, np.ndarray]()
    expected = keeping(KERNEL).value_and_grad(*arguments)
    assert module.value_and_grad(*arguments, workspace_2=kept)[0] == expected[0] and kept


def test_option(tmp_path: Path) -> None:
    path = tmp_path / "attention.expr"
    path.write_text(KERNEL)
    for given, has in (((), False), (("--workspace",), True)):
        result = CliRunner().invoke(main, ["compile", str(path), "-o", "-", *given])
        assert result.exit_code == 0 and ("workspace" in result.stdout) is has
