"""Optional passes: without any one of them, or without all, the values and the gradients are the same to rounding."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsl.api import compile_path, module_of
from dsl.pipeline import OPTIONAL
from tests.numeric import Arrays, cotangents_of, outputs_of, running
from tests.test_golden import EXAMPLES

LEFT_OUT = [*((name,) for name in OPTIONAL), OPTIONAL]


def gathered(module: Any, arguments: Arrays, seed: int) -> list[np.ndarray]:
    """Every float that a module computes of the arguments: outputs, gradients with random cotangents, and those of value_and_grad."""
    result, tape = module.forward(**arguments)
    found = [*outputs_of(result), *module.backward(tape, *cotangents_of(result, np.random.default_rng(seed)))]
    if hasattr(module, "value_and_grad"):
        value, gradients = module.value_and_grad(**arguments)
        found += [value, *gradients]
    return [np.asarray(each) for each in found]


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in EXAMPLES])
def test_left_out(path: Path) -> None:
    arguments = running(path).arguments(np.random.default_rng(2))
    expected = gathered(running(path).module, arguments, 3)
    for without in LEFT_OUT:
        module = module_of(compile_path(path, format=False, without=without).text, path.stem)
        for one, two in zip(gathered(module, arguments, 3), expected, strict=True):
            assert np.allclose(one, two, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(two).max(initial=0.0)), equal_nan=True), without
