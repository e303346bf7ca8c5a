"""The Jacobian of softmax."""

import numpy as np

EXPR = """
input x: [N]

J = jacobian(softmax(x), x)
"""
SIZES = {"tiny": dict(N=5), "medium": dict(N=100), "large": dict(N=1000)}


def inputs(rng, N):
    return (rng.normal(size=N),)


def by_hand(x):
    e = np.exp(x - x.max())
    p = e / e.sum()
    return np.diag(p) - np.outer(p, p)


def formula(xp, x):
    return xp.jacobian(xp.softmax)(x)
