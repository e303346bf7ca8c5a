"""Every example: its gradients are those of central differences, it opens with what it is, and the models train on real data."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.numeric import assert_agreement, assert_gradients, running
from tests.test_golden import EXAMPLES, ROOT

PATHS = [pytest.param(path, id=path.stem) for path in EXAMPLES]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("seed", [0, 1])
def test_gradients(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = running(path)
    arguments = found.arguments(rng)
    assert found.module.Gradients._fields
    assert_gradients(found, arguments, rng)
    assert_agreement(found, arguments)


@pytest.mark.parametrize("path", PATHS)
def test_opens_with_what_it_is(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert (running(path).module.__doc__ or "").startswith(first[2:])


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
