"""Cox's proportional hazards: the partial likelihood of who was next, of those still at risk. Rows are sorted, the longest times first."""

import numpy as np

EXPR = """
input X: [N, D]
input event: [N]               # 1 where it was seen, 0 where the time was cut off
param w: [D]
const lam = 0.01

eta = X @ w
at_risk = cumsum(exp(eta))
L = -sum(event * (eta - log(at_risk))) / N + lam * sum(w ** 2)
"""
SIZES = {"tiny": dict(N=8, D=3), "medium": dict(N=5_000, D=20), "large": dict(N=300_000, D=20)}


def inputs(rng, N, D):
    return rng.normal(size=(N, D)), (rng.uniform(size=N) < 0.6).astype(float), rng.normal(size=D) / D


def by_hand(X, event, w, lam=0.01):
    eta = X @ w
    hazard = np.exp(eta)
    at_risk = hazard.cumsum()
    L = -(event * (eta - np.log(at_risk))).sum() / len(event) + lam * w @ w
    deta = (hazard * (event / at_risk)[::-1].cumsum()[::-1] - event) / len(event)
    return L, (deta @ X + 2 * lam * w,)


def formula(xp, X, event, w, lam=0.01):
    eta = X @ w
    return -xp.sum(event * (eta - xp.log(xp.cumsum(xp.exp(eta), 0)))) / X.shape[0] + lam * xp.sum(w**2)


__all__ = ["EXPR", "SIZES", "by_hand", "formula", "inputs"]
