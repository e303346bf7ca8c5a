"""Word vectors by skip-grams with negative sampling: rows of two tables are gathered, many of them again and again."""

import numpy as np

EXPR = """
input word: int[N] in 0:V
input beside: int[N] in 0:V
input other: int[N, M] in 0:V    # words that did not stand there
param inner: [V, D]
param outer_: [V, D]

u = inner[word]
near = sum(u * outer_[beside], axis=1)
far = sum(u[:, None] * outer_[other], axis=2)
L = -mean(log_sigmoid(near) + sum(log_sigmoid(-far), axis=1))
"""
SIZES = {"tiny": dict(N=6, M=2, V=8, D=3), "medium": dict(N=512, M=5, V=1000, D=32), "large": dict(N=20_000, M=5, V=10_000, D=64)}


def inputs(rng, N, M, V, D):
    def words(*shape):
        """A few are frequent."""
        return (V * rng.random(shape) ** 3).astype(int)

    return words(N), words(N), words(N, M), rng.normal(size=(V, D)) / np.sqrt(D), rng.normal(size=(V, D)) / np.sqrt(D)


def by_hand(word, beside, other, inner, outer):
    N = len(word)
    u, p, q = inner[word], outer[beside], outer[other]
    near = (u * p).sum(axis=1)
    far = (q @ u[:, :, None])[:, :, 0]
    L = (np.logaddexp(0, -near) + np.logaddexp(0, far).sum(axis=1)).mean()
    dnear = -1 / (1 + np.exp(near)) / N
    dfar = 1 / (1 + np.exp(-far)) / N
    dinner, douter = np.zeros_like(inner), np.zeros_like(outer)
    np.add.at(dinner, word, dnear[:, None] * p + (dfar[:, :, None] * q).sum(axis=1))
    np.add.at(douter, beside, dnear[:, None] * u)
    np.add.at(douter, other, dfar[:, :, None] * u[:, None])
    return L, (dinner, douter)


def formula(xp, word, beside, other, inner, outer):
    u = inner[word]
    near = xp.sum(u * outer[beside], axis=1)
    far = xp.sum(u[:, None] * outer[other], axis=2)
    return xp.mean(xp.softplus(-near) + xp.sum(xp.softplus(far), axis=1))
