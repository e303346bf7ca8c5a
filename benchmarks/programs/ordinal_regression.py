"""Ordinal regression: grades of which each lies between two thresholds of a latent score."""

import numpy as np

EXPR = """
input X: [N, D]
input above: bool[N, K]        # whether a grade is above each threshold
param w: [D]
param cuts: [K]
const lam = 0.01

score = X @ w
logits = score[:, None] - cuts
L = -mean(sum(log(sigmoid(where(above, logits, -logits))), axis=1)) + lam * sum(w ** 2)
"""
SIZES = {"tiny": dict(N=6, D=3, K=2), "medium": dict(N=5_000, D=20, K=4), "large": dict(N=500_000, D=20, K=4)}


def inputs(rng, N, D, K):
    X, w, cuts = rng.normal(size=(N, D)), rng.normal(size=D) / np.sqrt(D), np.linspace(-1, 1, K)
    return X, (X @ w + rng.logistic(size=N))[:, None] > cuts, w, cuts


def by_hand(X, above, w, cuts, lam=0.01):
    N = len(X)
    logits = (X @ w)[:, None] - cuts
    signed = np.where(above, logits, -logits)
    L = np.logaddexp(0, -signed).sum(axis=1).mean() + lam * (w**2).sum()
    dsigned = -1 / (1 + np.exp(signed)) / N
    dlogits = np.where(above, dsigned, -dsigned)
    return L, (X.T @ dlogits.sum(axis=1) + 2 * lam * w, -dlogits.sum(axis=0))


def formula(xp, X, above, w, cuts, lam=0.01):
    logits = (X @ w)[:, None] - cuts
    return xp.mean(xp.sum(xp.softplus(xp.where(above, -logits, logits)), 1)) + lam * xp.sum(w**2)
