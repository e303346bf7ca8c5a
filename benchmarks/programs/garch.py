"""The likelihood of returns whose variance follows a GARCH(1, 1) recursion."""

import numpy as np

EXPR = """
input r: [T]                             # returns
param omega, alpha, beta: [] positive

def step(v, x) = omega + alpha * x ** 2 + beta * v

v = scan(step, var(r), r)
L = sum(log(v[:-1]) + r[1:] ** 2 / v[:-1]) / 2
"""
SIZES = {"tiny": dict(T=6), "medium": dict(T=500), "large": dict(T=5000)}


def inputs(rng, T):
    return 0.1 * rng.normal(size=T), np.array(0.001), np.array(0.1), np.array(0.8)


def by_hand(r, omega, alpha, beta):
    squares, v = r**2, np.empty(len(r) + 1, r.dtype)
    v[0] = r.var()
    for t in range(len(r)):
        v[t + 1] = omega + alpha * squares[t] + beta * v[t]
    ratio = squares[1:] / v[1:-1]
    dv, d = np.zeros_like(r), r.dtype.type(0)
    dv[:-1] = (1 - ratio) / v[1:-1] / 2
    for t in reversed(range(len(r))):
        dv[t] = d = dv[t] + beta * d
    return (np.log(v[1:-1]) + ratio).sum() / 2, (dv.sum(), dv @ squares, dv @ v[:-1])


def formula(xp, r, omega, alpha, beta):
    def step(v, x):
        v = omega + alpha * x**2 + beta * v
        return v, v

    _, v = xp.scan(step, xp.var(r, correction=0) if hasattr(xp, "from_numpy") else xp.var(r), r)
    return xp.sum(xp.log(v[:-1]) + r[1:] ** 2 / v[:-1]) / 2
