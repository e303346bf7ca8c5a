"""Modules with another way for ``value_and_grad``, and what both must give."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from dsl import compile_text
from dsl.api import module_of


class Asked:
    """A module that is listened to where it asks for another way."""

    def __init__(self, way: str, text: str) -> None:
        self.module: ModuleType = module_of(compile_text(text, "it"), "it")
        self.answers: list[bool] = []
        asked = getattr(self.module, way)

        def listened(*arguments: Any) -> Any:
            found = asked(*arguments)
            self.answers.append(found is not None)
            return found

        self.module.__dict__[way] = listened


def compare(asked: Asked, arguments: dict[str, Any], tolerance: float) -> None:
    value, gradients = asked.module.value_and_grad(**arguments)
    outcome, tape = asked.module.forward(**arguments)
    pair = asked.module.backward(tape)
    np.testing.assert_allclose(value, outcome, rtol=tolerance)
    for name in pair._fields:
        found, expected = getattr(gradients, name), getattr(pair, name)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max(initial=1e-3))
