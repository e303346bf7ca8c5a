"""``gradc check``: right programs pass, wrong derivatives do not, and what cannot be checked says why."""

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import dsl.cli
from dsl.api import compile_path
from dsl.diagnostics import Source
from dsl.gradcheck import CheckReport, Row, check, check_compiled
from dsl.pipeline import Options, compile_source
from dsl.sample import sample
from dsl.views.plot import plotted


def checked(folder: Path, text: str, dims: Mapping[str, int] | None = None, seed: int = 0) -> CheckReport:
    (folder / "program.expr").write_text(text, encoding="utf-8")
    return check(folder / "program.expr", dims, seed)


def test_rows(tmp_path: Path) -> None:
    report = checked(tmp_path, "input X: [N, D]\nparam w: [D]\nparam b: []\nZ = X @ w + b\nL = sum(tanh(Z) ** 2)\noutput L, Z", {"N": 2})
    assert report.ok and report.sizes == {"N": 2, "D": 4}
    assert [(row.name, row.shape) for row in report.rows] == [("L", ()), ("Z", (2,)), ("dw", (4,)), ("db", ()), ("value_and_grad", ())]
    assert all(row.relative < 1e-9 for row in report.rows)


@pytest.mark.parametrize("seed", [1, 2])
def test_seed(tmp_path: Path, seed: int) -> None:
    text = "param x: [N]\nL = sum(exp(x))"
    first, again, other = checked(tmp_path, text, seed=seed), checked(tmp_path, text, seed=seed), checked(tmp_path, text, seed=seed + 1)
    assert first == again != other and other.ok


@pytest.mark.parametrize(
    "text",
    [
        "L = sum(tanh(x) + y)",  # any shape
        "L = mean(relu(X @ W + b) ** 2)",  # b must broadcast
        "param x: [N]\nL = x[7] ** 2",  # more than the first size
        "param x: [2 * H]\nL = sum(x[:H] * x[H:])",
        "param x: [N] nonnegative\nL = sum(x ** 1.5)",
        "param S: [D, D] spd\nL = sum(S * S) + trace(S @ S)",
        "param S: [D, D] symmetric\nL = sum(S ** 3)",
        "param R: [D, D] triangular\nparam x: [D]\nL = sum((R @ x) ** 2)",
        "param p: [K] unit\nL = sum(log(p) + log(1 - p))",
        "input y: int[N] in 0:K\nparam E: [K, D]\nL = sum(E[y] ** 2)",
        "input m: bool[N]\nparam x: [N]\nL = sum(where(m, x, x ** 2))",
        "param x: [N] in 2:5\nL = sum(log(x - 2) + log(5 - x))",
    ],
)
def test_samples_fit(tmp_path: Path, text: str) -> None:
    assert checked(tmp_path, text).ok


@pytest.mark.parametrize(
    "text",
    [
        "param x: [N]\nparam dt: []\nt = sum((x + dt * x) ** 2)\n",
        "param x: [N]\nconst dt = 0.1\nt = sum((x + dt * x) ** 2)\n",
        "input dx: [N]\nparam w: [N]\nL = sum(w ** 2 * dx)\nx = w * dx\noutput L, x\n",
        "param x: [N, dL]\ndL_2 = sum(x) * dL\nL = dL_2 ** 2\n",
    ],
)
def test_what_is_called_as_a_cotangent_would_be(tmp_path: Path, text: str) -> None:
    """A time step dt beside a time t: the cotangent takes another name."""
    assert checked(tmp_path, text).ok


@pytest.mark.parametrize("size", [0, 1])
def test_small_sizes(tmp_path: Path, size: int) -> None:
    report = checked(tmp_path, "param x: [N]\nL = sum(x ** 2)", {"N": size})
    assert report.ok and report.rows[1].shape == (size,)


@pytest.mark.parametrize("seed", range(5))
def test_kinks_are_avoided(tmp_path: Path, seed: int) -> None:
    text = "input x: [N, D]\nparam W: [D, K]\nL = sum(relu(x @ W)) + sum(abs(x @ W)) + sum(max(x @ W, axis=1))"
    assert checked(tmp_path, text, {"N": 80, "D": 3, "K": 10}, seed).ok


def test_domains() -> None:
    text = "param p: [N] positive\nparam u: [N] unit\nparam z: [N] in -1:1\nparam S: [D, D] spd\nparam R: [D, D] triangular"
    text += "\ninput y: int[N] in 2:K\ninput q: [K]"
    program = compile_source(Source("program.expr", f"{text}\nL = sum(p + u + z) + sum(S @ R) + sum(y)"), "program").program
    arrays = sample(program, {"N": 200, "D": 5, "K": 4}, np.random.default_rng(0))
    assert (arrays["p"] > 0).all() and (0 < arrays["u"]).all() and (arrays["u"] < 1).all() and (abs(arrays["z"]) < 1).all()
    assert np.linalg.eigvalsh(arrays["S"]).min() > 0 and np.array_equal(arrays["S"], arrays["S"].T)
    assert np.array_equal(arrays["R"], np.tril(arrays["R"]))
    assert set(arrays["y"].tolist()) == {2, 3}


@pytest.mark.parametrize(
    ("rule", "failing"),
    [
        ("rule f(x, y) -> out\n    value  x * y ** 2\n    d/dx   y ** 2\n    d/dy   x * y\n", ["rule f, d/dy"]),
        ("rule f(x) -> out\n    value  sqrt(x)\n    d/dx   1 / out\n    domain x: positive\n", ["rule f, d/dx"]),
        ("rule f(x) -> out\n    value  sum(x ** 2)\n    vjp x: 3 * g * x\n", ["rule f, d/dx"]),
        ("rule f(A, x) -> out\n    value  A @ x\n    vjp A: outer(g, x)\n    vjp x: A @ g\n", ["rule f, d/dx"]),
        ("rule f(x) -> out\n    value  sqrt(x)\n    d/dx   0.5 / out\n    domain x: positive\n", []),
    ],
)
@pytest.mark.parametrize("program", ["", "param x: [N]\nL = sum(x)\n"])
def test_rules_on_their_own(tmp_path: Path, rule: str, failing: list[str], program: str) -> None:
    report = checked(tmp_path, rule + program)
    assert [row.name for row in report.rows if not row.ok] == failing
    assert report.ok == (not failing)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("    return Gradients(", "    return Gradients(-1 * "),
        ("    return Gradients(", "    return Gradients(1.00001 * "),
        ("    return Gradients(", "    return Gradients(np.nan * "),
        ("    return Gradients(", "    return Gradients(np.ones((2, 1)) * "),
        ("return L, Gradients(", "return 1.00001 * L, Gradients("),
        ("return L, Gradients(", "return L, Gradients(1.00001 * "),
    ],
)
def test_wrong_code_does_not_pass(tmp_path: Path, right: str, wrong: str) -> None:
    (tmp_path / "program.expr").write_text("param x: [N]\nL = sum(exp(x))\n", encoding="utf-8")
    compiled = compile_path(tmp_path / "program.expr")
    assert right in compiled.text
    _, rows = check_compiled(replace(compiled, text=compiled.text.replace(right, wrong)), {}, 0)
    assert not all(row.ok for row in rows)


@pytest.mark.parametrize(
    ("text", "dims", "message"),
    [
        ("param x: [N]\nL = sum(log(x))", {}, "`L` is not finite"),
        ("param x: [N]\nL = x[0]", {"N": 0}, "N must be at least 1"),
        ("param x: [Rows]\nL = sum(x)", {"Row": 3}, "there is no dimension `Row`"),
        ("param x: [N]\nL = sum(x)", {"Q": 3}, "the dimensions are N"),
    ],
)
def test_what_cannot_be_checked(tmp_path: Path, text: str, dims: dict[str, int], message: str) -> None:
    with pytest.raises(dsl.DslError, match=message) as caught:
        checked(tmp_path, text, dims)
    assert [each.code.name for each in caught.value.diagnostics] == ["E0601"]


def test_error_against_step(tmp_path: Path) -> None:
    """A central difference of a cubic is off by the square of the step, until rounding takes over."""
    report = checked(tmp_path, "param x: [N]\ninput a: [N]\nL = sum(x ** 3 * a)", seed=3)
    curve = dict(next(row.curve for row in report.rows if row.name == "dx"))
    assert [row.name for row in report.rows if row.curve] == ["dx"]
    steps = sorted(step for step in curve if 1e-4 < step < 0.1)
    for narrow, wide in itertools.pairwise(steps):
        assert curve[wide] / curve[narrow] == pytest.approx((wide / narrow) ** 2, rel=0.05)
    assert curve[min(curve)] > 1e-6 > min(curve.values())


def test_a_wrong_derivative_stays_wrong_at_every_step(tmp_path: Path) -> None:
    report = checked(tmp_path, "rule r(x) -> out\n    value  x ** 2\n    d/dx   x\nparam x: [N]\nL = sum(r(x))")
    curve = next(row.curve for row in report.rows if row.name == "dx")
    assert not report.ok and min(error for _, error in curve) > 0.1


def test_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loss.expr").write_text("param W: [N, K]\nparam b: [K]\nL = sum(tanh(W + b))", encoding="utf-8")
    shown = CliRunner().invoke(dsl.cli.main, ["check", "loss.expr", "--plot", "errors.svg"])
    assert shown.exit_code == 0 and shown.output == CliRunner().invoke(dsl.cli.main, ["check", "loss.expr"]).output
    root = ET.parse("errors.svg").getroot()
    lines = [each for each in root.iter("{http://www.w3.org/2000/svg}polyline")]
    names = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert len(lines) == 2 and {"dW", "db", "step", "relative error"} <= set(names)
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    points = [[float(each) for each in point.split(",")] for line in lines for point in line.get("points", "").split()]
    assert all(0 < x < width and 0 < y < height for x, y in points) and len(points) > 60
    assert CliRunner().invoke(dsl.cli.main, ["check", "loss.expr", "loss.expr", "--plot", "errors.svg"]).exit_code == 2
    assert CliRunner().invoke(dsl.cli.main, ["check", "loss.expr", "--plot", "loss.expr"]).exit_code == 2
    assert CliRunner().invoke(dsl.cli.main, ["check", "loss.expr", "--plot", "/dev/null/errors.svg"]).exit_code == 1


def test_plot_of_many_gradients_and_of_none() -> None:
    rows = tuple(Row(f"d{'weights' * 3}{i}", (2,), 0.0, 0.0, ((1e-3, 1e-8), (1e-6, 0.0))) for i in range(30))
    for report in (CheckReport("many.expr", {}, rows), CheckReport("none.expr", {}, ())):
        root = ET.fromstring(plotted(report))
        height = float(root.get("height", ""))
        texts = [each for each in root.iter("{http://www.w3.org/2000/svg}text")]
        assert all(0 <= float(each.get("y", "")) < height for each in texts)
        assert sum(each.tag.endswith("polyline") for each in root.iter()) == len(report.rows)


def test_a_large_value_leaves_few_digits_to_differences() -> None:
    """A mask of -1e9 that hits what is asked for makes the value as large, and its differences as inexact, while the gradient is right."""
    masked = "input X: [N, D]\nparam W: [D, D]\ns = X @ W @ X.T\nL = -mean(log_softmax(where(s < 1, -1e9, s), axis=1)[arange(N), arange(N)])\n"
    _, rows = check_compiled(compile_source(Source("masked.expr", masked), "masked", Options(format=False)), {}, 0)
    assert all(row.ok for row in rows) and "digits" in next(row for row in rows if row.name == "dW").verdict
    wrong = "param x: [N]\nrule bad(x) -> out\n    value x ** 2\n    d/dx 3 * x\nL = sum(bad(x)) + 1e7\n"
    _, rows = check_compiled(compile_source(Source("wrong.expr", wrong), "wrong", Options(format=False)), {}, 0)
    assert next(row for row in rows if row.name == "dx").verdict == "FAIL"
