"""Programs that people really differentiate: each example against published answers, or against code that was written without gradc."""

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise, product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import block_diag
from scipy.signal import correlate2d
from scipy.special import expit, log_softmax, logsumexp, multigammaln, softmax
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from tests.numeric import Arrays, running
from tests.test_golden import ROOT

DATA = Path(__file__).parent / "data" / "adbench"
EXPECTED = json.loads((DATA / "expected.json").read_text())


def example(name: str, **sizes: int) -> tuple[ModuleType, Arrays]:
    """An example's module, and arguments of these sizes for it."""
    found = running(ROOT / "examples" / f"{name}.expr")
    return found.module, found.arguments(np.random.default_rng(0), sizes)


def assert_published(name: str, value: Any, gradient: Any) -> None:
    """Hold a value and its gradient to ADBench's answers, by its own rule."""
    found, expected = np.append(gradient, value), np.append(EXPECTED[name]["gradient"], EXPECTED[name]["value"])
    assert found.shape == expected.shape
    assert (abs(found - expected) / np.maximum(1, abs(found) + abs(expected)) < 1e-8).all()


def mixture(name: str) -> tuple[Any, ...]:
    """The arguments of adbench_gmm.expr in a file of ADBench's."""
    (first, *lines) = ([float(each) for each in line.split()] for line in (DATA / name).read_text().splitlines() if line.strip())
    D, K, _ = (int(each) for each in first)
    alpha, means, roots, x = np.ravel(lines[:K]), *(np.array(lines[i:j]) for i, j in ((K, 2 * K), (2 * K, 3 * K), (3 * K, -1)))
    gamma, m = lines[-1]
    return x, gamma, m, alpha, means, roots[:, :D], roots[:, D:]


def test_adbench_gmm() -> None:
    module, _ = example("adbench_gmm")
    value, gradients = module.value_and_grad(*mixture("gmm_test.txt"))
    of_roots = np.hstack([gradients.q, gradients.below])
    assert_published("gmm_test.txt", value, np.concatenate([gradients.alpha, gradients.means.ravel(), of_roots.ravel()]))


def test_adbench_gmm_of_25_components() -> None:
    """Its gradient in ten dimensions along random directions, against central differences."""
    module, _ = example("adbench_gmm")
    arguments = mixture("gmm_d10_K25.txt")
    assert [np.shape(each) for each in arguments] == [(1000, 10), (), (), (25,), (25, 10), (25, 10), (25, 45)]
    gradients = module.value_and_grad(*arguments)[1]
    rng = np.random.default_rng(0)
    for i, gradient in enumerate(gradients, start=3):
        for _ in range(5):
            direction = rng.normal(size=gradient.shape)
            ends = [module.value(*arguments[:i], arguments[i] + s * direction, *arguments[i + 1 :]) for s in (1e-5, -1e-5)]
            np.testing.assert_allclose(np.sum(gradient * direction), (ends[0] - ends[1]) / 2e-5, rtol=1e-7, atol=1e-4)


def test_mixture_by_its_definition() -> None:
    """In three dimensions, where the order below the diagonal matters: SciPy's densities, and the prior as ADBench writes it."""
    module, given = example("adbench_gmm", N=6, D=3, K=2)
    x, gamma, m, alpha, means, q, below = given.values()
    roots = np.array([np.diag(np.exp(each)) for each in q])
    roots[:, 1:, 0], roots[:, 2, 1] = below[:, :2], below[:, 2]
    densities = [multivariate_normal(mean, np.linalg.inv(Q.T @ Q)).logpdf(x) for mean, Q in zip(means, roots, strict=True)]
    fit = logsumexp(log_softmax(alpha) + np.transpose(densities), axis=1).sum()
    n = 3 + m + 1
    prior = gamma**2 / 2 * np.sum(roots**2) - m * q.sum() - 2 * (n * 3 * np.log(gamma / np.sqrt(2)) - multigammaln(n / 2, 3))
    np.testing.assert_allclose(module.value(**given), fit + prior, rtol=1e-10)


def test_adbench_lstm() -> None:
    module, _ = example("adbench_lstm")
    sizes, *blocks = re.split(r"\n\s*\n", (DATA / "lstm_l2_c1024.txt").read_text().strip())
    M, T, B = (int(each) for each in sizes.split())
    main, extra, state, x = (np.array([line.split() for line in block.splitlines()], float) for block in blocks)
    W, bias = main.reshape(M, 2, 4, B).swapaxes(0, 1)
    hidden, memory = state[::2], state[1::2]
    assert x.shape == (T, B)
    value, gradients = module.value_and_grad(x, hidden, memory, W, bias, *extra)
    of_main = np.stack([gradients.W, gradients.bias], axis=1)
    assert_published("lstm_l2_c1024.txt", value, np.concatenate([of_main.ravel(), *gradients[2:]]))


def test_kalman_filter() -> None:
    """All measurements together have a normal distribution, and the last state has one given them."""
    module, given = example("kalman", T=4, D=3, M=2)
    y, start, spread, A, H, Q, R = given.values()
    # every state is a linear function of the first one and of the noises since
    powers = [np.linalg.matrix_power(A, t) for t in range(5)]
    moves = np.block([[powers[t - s] if s <= t else np.zeros((3, 3)) for s in range(5)] for t in range(1, 5)])
    covariance = moves @ block_diag(spread, Q, Q, Q, Q) @ moves.T
    means = np.concatenate([powers[t] @ start for t in range(1, 5)])
    seen = np.kron(np.eye(4), H)
    S = seen @ covariance @ seen.T + np.kron(np.eye(4), R)
    found = module.value(**given)
    np.testing.assert_allclose(found.L, -multivariate_normal(seen @ means, S).logpdf(y.ravel()), rtol=1e-9)
    posterior = means + covariance @ seen.T @ np.linalg.solve(S, y.ravel() - seen @ means)
    np.testing.assert_allclose(found.mean, posterior[-3:], rtol=1e-9)


def test_hidden_markov_model() -> None:
    """The sum over every path of states, one by one."""
    module, given = example("hidden_markov", T=5, S=3, V=4)
    seen = given["seen"]
    start, move, show = (softmax(given[name], axis=-1) for name in ("start", "move", "show"))
    total = 0.0
    for path in product(range(3), repeat=5):
        steps = [move[a, b] for a, b in pairwise(path)]
        total += start[path[0]] * np.prod(steps) * np.prod(show[list(path), seen])
    np.testing.assert_allclose(module.value(**given), -np.log(total), rtol=1e-12)


def test_gaussian_process() -> None:
    """Value and gradients as scikit-learn's, whose parameters are the logarithms of variances."""
    module, given = example("gaussian_process", N=12, D=3)
    X, y, log_length, log_signal, log_noise = given.values()
    kernel = ConstantKernel(np.exp(2 * log_signal)) * RBF(np.exp(log_length)) + WhiteKernel(np.exp(2 * log_noise))
    process = GaussianProcessRegressor(kernel, alpha=0.0, optimizer=None).fit(X, y)
    value, slopes = process.log_marginal_likelihood(process.kernel_.theta, eval_gradient=True)
    found, gradients = module.value_and_grad(**given)
    np.testing.assert_allclose(found, -value, rtol=1e-9)
    np.testing.assert_allclose(gradients.log_length, -slopes[1:-1], rtol=1e-7)
    np.testing.assert_allclose([gradients.log_signal, gradients.log_noise], -2 * slopes[[0, -1]], rtol=1e-7)


def test_recurrent_network() -> None:
    module, given = example("rnn", T=6, B=3, V=5, D=4, H=2)
    text, E, Wx, Wh, b, Wo, c = given.values()
    losses = []
    for sentence in text.T:
        h = np.zeros(2)
        for symbol, after in pairwise(sentence):
            h = np.tanh(E[symbol] @ Wx + h @ Wh + b)
            losses.append(-log_softmax(h @ Wo + c)[after])
    np.testing.assert_allclose(module.value(**given), np.mean(losses), rtol=1e-12)


def test_differential_equation() -> None:
    """As SciPy integrates it, with an error of the order of the step's fourth power."""
    module, given = example("lotka_volterra", T=12)
    birth, hunt, feed, death = (float(given[name]) for name in ("birth", "hunt", "feed", "death"))

    def slope(_: float, u: Any) -> Any:
        return [(birth - hunt * u[1]) * u[0], (feed * u[0] - death) * u[1]]

    exact = solve_ivp(slope, (0, 6), given["start"], t_eval=np.arange(1.0, 7.0), rtol=1e-12, atol=1e-12).y.T
    far = abs(module.value(**{**given, "seen": given["seen"][:6]}).U - exact).max()
    near = abs(module.value(**given, dt=0.05).U[1::2] - exact).max()
    assert near < far / 12 < 1e-5


def convolved(images: Any, filters: Any, bias: Any) -> Any:
    """Every filter over every image, with zeros around it, then a rectifier and the largest of every two by two."""
    maps = np.array([[sum(map(correlate2d, image, each, ["same"] * len(image))) for each in filters] for image in images])
    maps = np.maximum(maps + bias[:, None, None], 0)
    rows, columns = (size // 2 * 2 for size in maps.shape[2:])
    return np.max([maps[:, :, i:rows:2, j:columns:2] for i, j in product((0, 1), repeat=2)], axis=0)


def test_convolutional_network() -> None:
    module, given = example("digits", N=3, C=2, H=9, W=8, F=3, G=4, K=5)
    images, labels, filters1, bias1, filters2, bias2, weights, bias = given.values()
    logits = convolved(convolved(images, filters1, bias1), filters2, bias2).reshape(3, -1) @ weights + bias
    found = module.value(**given)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.L, -log_softmax(logits, axis=1)[range(3), labels].mean(), rtol=1e-9)


def script(name: str, program: str, argument: str, place: Path) -> str:
    """What a script of the examples shows, beside nothing but the module that it uses."""
    for package in ("examples", "generated"):
        (place / package).mkdir()
        (place / package / "__init__.py").touch()
    shutil.copy(ROOT / "examples" / f"{name}.py", place / "examples")
    subprocess.run([sys.executable, "-m", "dsl", "compile", f"examples/{program}.expr", "-o", str(place / "generated")], check=True, cwd=ROOT)
    command = [sys.executable, "-m", f"examples.{name}", argument]
    return subprocess.run(command, check=True, cwd=place, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""}).stdout


def test_learning_to_read_digits(tmp_path: Path) -> None:
    shown = script("train_digits", "digits", "8", tmp_path)
    losses, accuracies = (np.array(re.findall(rf"{word} (\S+)", shown), float) for word in ("loss", "accuracy"))
    assert len(losses) == 8 and (np.diff(losses) < 0).all()
    assert accuracies[-1] > 0.95


def test_long_short_term_memory() -> None:
    """One text and one gate at a time."""
    module, given = example("lstm", T=6, B=3, V=5, D=4, H=2)
    text, E, Wx, Wh, b, Wo, c = given.values()
    losses = []
    for sentence in text.T:
        h, memory = np.zeros(2), np.zeros(2)
        for symbol, after in pairwise(sentence):
            write, forget, expose, candidate = (E[symbol] @ Wx[:, gate] + h @ Wh[:, gate] + b[gate] for gate in map(slice, (0, 2, 4, 6), (2, 4, 6, 8)))
            memory = expit(forget) * memory + expit(write) * np.tanh(candidate)
            h = expit(expose) * np.tanh(memory)
            losses.append(-log_softmax(h @ Wo + c)[after])
    np.testing.assert_allclose(module.value(**given), np.mean(losses), rtol=1e-12)


def test_multi_head_attention() -> None:
    module, given = example("multi_head_attention", B=2, T=4, D=5, H=3, K=2)
    X, Wq, Wk, Wv, Wo = given.values()
    expected = np.zeros_like(X)
    for b, t, h in product(range(2), range(4), range(3)):
        past = X[b, : t + 1]
        weights = softmax(past @ Wk[:, h] @ (X[b, t] @ Wq[:, h]) / np.sqrt(2))
        expected[b, t] += weights @ past @ Wv[:, h] @ Wo[h]
    np.testing.assert_allclose(module.value(**given), expected, rtol=1e-12)


def test_variational_autoencoder() -> None:
    """The bound by definition: the pixels' Bernoulli likelihood, and the divergence as an integral over each code."""
    module, given = example("autoencoder", N=4, D=5, Z=2, H=3)
    X, noise, W1, b1, W_mean, W_log_var, b_mean, b_log_var, W2, b2, W3, b3 = given.values()
    h = np.tanh(X @ W1 + b1)
    mean, deviation = h @ W_mean + b_mean, np.exp((h @ W_log_var + b_log_var) / 2)
    p = expit(np.tanh((mean + deviation * noise) @ W2 + b2) @ W3 + b3)
    likelihood = np.sum(X * np.log(p) + (1 - X) * np.log(1 - p))
    # Gauss-Hermite quadrature is exact for log q(z) - log p(z), which is of second degree
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    z = mean[..., None] + deviation[..., None] * nodes
    divergence = np.sum((-np.log(deviation)[..., None] - nodes**2 / 2 + z**2 / 2) * weights / weights.sum())
    np.testing.assert_allclose(module.value(**given), (divergence - likelihood) / 4, rtol=1e-10)


def test_the_picture_of_denoising(tmp_path: Path) -> None:
    noisy, found = (float(each) for each in re.findall(r"error (\S+)", script("denoise", "total_variation", "out.png", tmp_path)))
    assert found < noisy / 4
    written, kept = (path.read_bytes() for path in (tmp_path / "out.png", ROOT / "docs" / "total_variation.png"))
    # a signature, a header with both sizes: rounding may change a grey level
    assert written[:33] == kept[:33]


def test_total_variation_denoising() -> None:
    """A square on a plain ground, with noise: gradient descent brings the image nearer to what it was."""
    module, _ = example("total_variation")
    rng = np.random.default_rng(0)
    clean = np.zeros((16, 16))
    clean[4:12, 4:12] = 1
    noisy = clean + 0.2 * rng.normal(size=clean.shape)
    pixels = product(range(15), repeat=2)
    variation = sum(np.sqrt((noisy[i + 1, j] - noisy[i, j]) ** 2 + (noisy[i, j + 1] - noisy[i, j]) ** 2 + 1e-6) for i, j in pixels)
    np.testing.assert_allclose(module.value(noisy, noisy, weight=0.3), 0.3 * variation, rtol=1e-12)
    image = noisy.copy()
    values = []
    for _ in range(300):
        value, gradients = module.value_and_grad(noisy, image, weight=0.2, eps=0.01)
        image -= 0.01 * gradients.image
        values.append(value)
    assert (np.diff(values) < 0).all()
    assert np.mean((image - clean) ** 2) < np.mean((noisy - clean) ** 2) / 4
