"""A mixture of K Gaussians with diagonal covariances: the mean negative log-likelihood."""

import math

import numpy as np

EXPR = """
input X: [N, D]
param weights: [K]             # logits of the mixing proportions
param mu: [K, D]
param log_sd: [K, D]

z = (X[:, None, :] - mu) / exp(log_sd)
log_density = -0.5 * sum(z ** 2, axis=-1) - sum(log_sd, axis=-1) - D / 2 * log(2 * pi)
L = -mean(logsumexp(log_softmax(weights) + log_density, axis=-1))
"""
SIZES = {"tiny": dict(N=10, D=2, K=3), "medium": dict(N=1000, D=10, K=25), "large": dict(N=10_000, D=20, K=50)}


def inputs(rng, N, D, K):
    return rng.normal(size=(N, D)), rng.normal(size=K), rng.normal(size=(K, D)), rng.normal(size=(K, D)) / 4


def by_hand(X, weights, mu, log_sd):
    N, D = X.shape
    inverse_sd = np.exp(-log_sd)
    z = (X[:, None, :] - mu) * inverse_sd
    p = np.exp(weights - weights.max())
    p /= p.sum()
    joint = np.log(p) - 0.5 * (z**2).sum(axis=-1) - log_sd.sum(axis=-1) - D / 2 * math.log(2 * math.pi)
    top = joint.max(axis=1, keepdims=True)
    e = np.exp(joint - top)
    total = e.sum(axis=1, keepdims=True)
    L = -(np.log(total) + top).mean()
    R = e / total / -N
    dmu = (R[:, :, None] * z).sum(axis=0) * inverse_sd
    counts = R.sum(axis=0)
    dlog_sd = (R[:, :, None] * z**2).sum(axis=0) - counts[:, None]
    return L, (counts - p * counts.sum(), dmu, dlog_sd)


def formula(xp, X, weights, mu, log_sd):
    z = (X[:, None, :] - mu) / xp.exp(log_sd)
    log_density = -0.5 * xp.sum(z**2, axis=-1) - xp.sum(log_sd, axis=-1) - X.shape[1] / 2 * math.log(2 * math.pi)
    return -xp.mean(xp.logsumexp(xp.log_softmax(weights) + log_density))
