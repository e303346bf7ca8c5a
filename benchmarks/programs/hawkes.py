"""The likelihood of events that set off others: a Hawkes process with exponential decay (Ozaki, 1979)."""

import numpy as np

EXPR = """
input gaps: [N]                          # from each event to the next
param mu, alpha, beta: [] positive       # events of their own, events that each sets off, and how fast that fades

def step(A, gap) = exp(-beta * gap) * (1 + A)

A = scan(step, 0.0, gaps)
left = 1 - exp(-beta * (sum(gaps) - cumsum(gaps)))
L = mu * sum(gaps) + alpha * sum(left) - sum(log(mu + alpha * beta * A))
"""
SIZES = {"tiny": dict(N=6), "medium": dict(N=500), "large": dict(N=10000)}


def inputs(rng, N):
    return rng.exponential(size=N), np.array(0.5), np.array(0.4), np.array(1.5)


def by_hand(gaps, mu, alpha, beta):
    N, decay = len(gaps), np.exp(-beta * gaps)
    A = np.zeros(N + 1, gaps.dtype)
    for i in range(N):
        A[i + 1] = decay[i] * (1 + A[i])
    rest = gaps.sum() - np.cumsum(gaps)
    fade = np.exp(-beta * rest)
    rate = mu + alpha * beta * A[1:]
    L = mu * gaps.sum() + alpha * (1 - fade).sum() - np.log(rate).sum()
    dA, d = np.empty(N, gaps.dtype), gaps.dtype.type(0)
    direct = -alpha * beta / rate
    for i in reversed(range(N)):
        dA[i] = d = direct[i] + (decay[i + 1] * d if i < N - 1 else 0)
    dbeta = alpha * (rest * fade).sum() - (alpha * A[1:] / rate).sum() - dA @ (gaps * A[1:])
    return L, (gaps.sum() - (1 / rate).sum(), (1 - fade).sum() - (beta * A[1:] / rate).sum(), dbeta)


def formula(xp, gaps, mu, alpha, beta):
    def step(A, gap):
        A = xp.exp(-beta * gap) * (1 + A)
        return A, A

    _, A = xp.scan(step, 0 * gaps[0], gaps)
    left = 1 - xp.exp(-beta * (xp.sum(gaps) - xp.cumsum(gaps, 0)))
    return mu * xp.sum(gaps) + alpha * xp.sum(left) - xp.sum(xp.log(mu + alpha * beta * A))
