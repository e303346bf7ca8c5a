"""The Gaussian mixture of ADBench, with full covariances and a Wishart prior; at its medium size its own file gmm_d10_K25."""

import math
from pathlib import Path

import numpy as np
from scipy.special import multigammaln

ROOT = Path(__file__).resolve().parents[2]
EXPR = (ROOT / "examples" / "adbench_gmm.expr").read_text(encoding="utf-8")
SIZES = {"tiny": dict(N=6, D=3, K=2), "medium": dict(N=1000, D=10, K=25), "large": dict(N=20_000, D=10, K=25)}


def inputs(rng, N, D, K):
    """x, gamma, m, alpha, means, q and below: the file's where it has this size, else drawn as those that it was made of."""
    if (N, D, K) == (1000, 10, 25):
        return from_file(ROOT / "tests" / "data" / "adbench" / "gmm_d10_K25.txt")
    below = rng.normal(size=(K, D * (D - 1) // 2))
    return rng.normal(size=(N, D)), 1.0, 0.0, rng.normal(size=K), rng.uniform(size=(K, D)), rng.normal(size=(K, D)) / 2, below


def from_file(path):
    rows = [np.array(line.split(), float) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    D, K = (int(each) for each in rows[0][:2])
    alpha, means, roots = np.concatenate(rows[1 : K + 1]), np.array(rows[K + 1 : 2 * K + 1]), np.array(rows[2 * K + 1 : 3 * K + 1])
    gamma, m = rows[-1]
    return np.array(rows[3 * K + 1 : -1]), gamma, m, alpha, means, roots[:, :D], roots[:, D:]


def constant(N, D, K, gamma, m):
    """What depends on no parameter."""
    n = D + m + 1
    return -N * D / 2 * math.log(2 * math.pi) - K * (n * D * np.log(gamma / math.sqrt(2)) - multigammaln(n / 2, D))


def by_hand(x, gamma, m, alpha, means, q, below):
    (N, D), K = x.shape, len(alpha)
    column, row = np.triu_indices(D, 1)
    Q = np.zeros((K, D, D), x.dtype)
    Q[:, row, column] = below
    diagonal = np.exp(q)
    Q[:, np.arange(D), np.arange(D)] = diagonal
    centred = x[None] - means[:, None]  # [K, N, D]
    scaled = centred @ Q.transpose(0, 2, 1)
    joint = alpha + q.sum(axis=1) - (scaled**2).sum(axis=-1).T / 2
    top = joint.max(axis=1, keepdims=True)
    e = np.exp(joint - top)
    total = e.sum(axis=1, keepdims=True)
    prior = np.exp(alpha - alpha.max())
    fit = (np.log(total) + top).sum() - N * (np.log(prior.sum()) + alpha.max())
    L = fit + gamma**2 / 2 * ((diagonal**2).sum() + (below**2).sum()) - m * q.sum() + constant(N, D, K, gamma, m)
    R = e / total
    counts = R.sum(axis=0)
    dscaled = -R.T[:, :, None] * scaled
    dQ = dscaled.transpose(0, 2, 1) @ centred
    dmeans = -(dscaled @ Q).sum(axis=1)
    dq = counts[:, None] + dQ[:, np.arange(D), np.arange(D)] * diagonal + gamma**2 * diagonal**2 - m
    return L, (counts - N * prior / prior.sum(), dmeans, dq, dQ[:, row, column] + gamma**2 * below)


def formula(xp, x, gamma, m, alpha, means, q, below):
    (N, D), K = x.shape, len(alpha)
    place = np.full((D, D), below.shape[1])  # where in `below` an entry of the matrix is; the zero behind it elsewhere
    column, row = np.triu_indices(D, 1)
    place[row, column] = np.arange(below.shape[1])
    lower = xp.concatenate((below, 0 * below[:, :1]), 1)[:, place]
    centred = x[:, None, :] - means
    scaled = xp.exp(q) * centred + xp.einsum("kij,nkj->nki", lower, centred)
    joint = alpha + xp.sum(q, axis=1) - xp.sum(scaled**2, axis=-1) / 2
    fit = xp.sum(xp.logsumexp(joint)) - N * xp.logsumexp(alpha) - N * D / 2 * math.log(2 * math.pi)
    n = D + m + 1
    log_gamma = D * (D - 1) / 4 * math.log(math.pi) + sum(xp.gammaln((n - i) / 2) for i in range(D))
    shape = m * xp.sum(q) - gamma**2 / 2 * (xp.sum(xp.exp(q) ** 2) + xp.sum(below**2))
    return fit - K * (n * D * xp.log(gamma / math.sqrt(2)) - log_gamma) - shape
