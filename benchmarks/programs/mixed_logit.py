"""A mixed logit (Train, Discrete Choice Methods with Simulation, ch. 6): choices of people whose tastes differ, by simulated likelihood."""

import numpy as np

EXPR = """
input X: [N, J, D]             # what each of J alternatives offers
input y: int[N] in 0:J         # the one that was chosen
input draws: [R, D]            # of a standard normal distribution
param mu, log_sd: [D]

tastes = mu + exp(log_sd) * draws
p = log_softmax(X @ tastes.T, axis=1)[arange(N), y]
L = -mean(logsumexp(p, axis=1) - log(R))
"""
SIZES = {"tiny": dict(N=6, J=3, D=2, R=4), "medium": dict(N=500, J=4, D=6, R=50), "large": dict(N=5_000, J=5, D=8, R=200)}


def inputs(rng, N, J, D, R):
    return rng.normal(size=(N, J, D)), rng.integers(J, size=N), rng.normal(size=(R, D)), rng.normal(size=D), 0.3 * rng.normal(size=D)


def by_hand(X, y, draws, mu, log_sd):
    N, R = len(y), len(draws)
    sd = np.exp(log_sd)
    tastes = mu + sd * draws
    U = X @ tastes.T
    U -= U.max(axis=1, keepdims=True)
    chances = np.exp(U)
    chances /= chances.sum(axis=1, keepdims=True)
    chosen = np.arange(N), y
    p = chances[chosen]
    total = p.sum(axis=1)
    weight = p / total[:, None] / -N
    dU = -weight[:, None, :] * chances
    dU[chosen] += weight
    dtastes = np.tensordot(dU, X, ((0, 1), (0, 1)))
    return -np.log(total / R).mean(), (dtastes.sum(axis=0), (dtastes * draws).sum(axis=0) * sd)


def formula(xp, X, y, draws, mu, log_sd):
    tastes = mu + xp.exp(log_sd) * draws
    U = X @ tastes.T
    chosen = xp.where(y[:, None] == xp.arange(X.shape[1]), 1.0, 0.0)
    p = xp.sum(U * chosen[:, :, None], 1) - xp.logsumexp(xp.swapaxes(U, 1, 2))
    return -xp.mean(xp.logsumexp(p) - np.log(draws.shape[0]))


__all__ = ["EXPR", "SIZES", "by_hand", "formula", "inputs"]
