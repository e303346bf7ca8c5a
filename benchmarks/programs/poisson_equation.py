"""A field under a known source, measured with noise: the five-point Laplacian should be the source, and the field near what was measured."""

EXPR = """
input source: [N, M]
input seen: [N, M]
param u: [N, M]
const lam = 0.1

inner = u[1:-1, 1:-1]
laplacian = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * inner
L = sum((laplacian - source[1:-1, 1:-1]) ** 2) / 2 + lam * sum((u - seen) ** 2) / 2
"""
SIZES = {"tiny": dict(N=5, M=4), "medium": dict(N=150, M=120), "large": dict(N=1_500, M=1_200)}


def inputs(rng, N, M):
    return rng.normal(size=(N, M)), rng.normal(size=(N, M)), rng.normal(size=(N, M))


def by_hand(source, seen, u, lam=0.1):
    residual = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1] - source[1:-1, 1:-1]
    off = u - seen
    L = (residual**2).sum() / 2 + lam * (off**2).sum() / 2
    du = lam * off
    du[2:, 1:-1] += residual
    du[:-2, 1:-1] += residual
    du[1:-1, 2:] += residual
    du[1:-1, :-2] += residual
    du[1:-1, 1:-1] -= 4 * residual
    return L, (du,)


def formula(xp, source, seen, u, lam=0.1):
    laplacian = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]
    return xp.sum((laplacian - source[1:-1, 1:-1]) ** 2) / 2 + lam * xp.sum((u - seen) ** 2) / 2


__all__ = ["EXPR", "SIZES", "by_hand", "formula", "inputs"]
