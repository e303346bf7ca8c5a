"""A block of an MLP mixer (Tolstikhin and others, 2021) that classifies images cut into patches: it mixes the patches, then the channels."""

import numpy as np

EXPR = """
input X: [N, P, C]             # images, patches, channels
input y: int[N] in 0:K
param A1: [P, S]
param A2: [S, P]
param B1: [C, H]
param B2: [H, C]
param V: [C, K]

def turned(x) = transpose(x, (0, 2, 1))

mixed = X + turned(gelu(turned(X) @ A1) @ A2)
out = mixed + gelu(mixed @ B1) @ B2
L = cross_entropy(mean(out, axis=1) @ V, y)
"""
SIZES = {
    "tiny": dict(N=2, P=3, C=4, S=5, H=6, K=3),
    "medium": dict(N=32, P=16, C=32, S=32, H=64, K=10),
    "large": dict(N=512, P=32, C=64, S=64, H=128, K=10),
}


def inputs(rng, N, P, C, S, H, K):
    weights = [rng.normal(size=(m, n)) / np.sqrt(m) for m, n in ((P, S), (S, P), (C, H), (H, C), (C, K))]
    return rng.normal(size=(N, P, C)), rng.integers(0, K, N), *weights


def gelu_and_slope(x):
    t = np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))
    return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 0.134145 * x * x)


def by_hand(X, y, A1, A2, B1, B2, V):
    N, P, C = X.shape
    turned = X.swapaxes(1, 2)
    one, slope = gelu_and_slope(turned @ A1)
    mixed = X + (one @ A2).swapaxes(1, 2)
    two, slope2 = gelu_and_slope(mixed @ B1)
    pooled = (mixed + two @ B2).mean(axis=1)
    logits = pooled @ V
    logits -= logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    g = np.exp(log_p)
    g[np.arange(N), y] -= 1
    g /= N
    dV = pooled.T @ g
    dout = np.repeat((g @ V.T / P)[:, None], P, axis=1)
    dtwo = (dout @ B2.T) * slope2
    dB2 = two.reshape(N * P, -1).T @ dout.reshape(N * P, C)
    dB1 = mixed.reshape(N * P, C).T @ dtwo.reshape(N * P, -1)
    dmixed = (dout + dtwo @ B1.T).swapaxes(1, 2)
    done = (dmixed @ A2.T) * slope
    dA2 = one.reshape(N * C, -1).T @ dmixed.reshape(N * C, P)
    dA1 = turned.reshape(N * C, P).T @ done.reshape(N * C, -1)
    return -log_p[np.arange(N), y].mean(), (dA1, dA2, dB1, dB2, dV)


def formula(xp, X, y, A1, A2, B1, B2, V):
    def gelu(x):
        return 0.5 * x * (1 + xp.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))

    mixed = X + xp.swapaxes(gelu(xp.swapaxes(X, 1, 2) @ A1) @ A2, 1, 2)
    out = mixed + gelu(mixed @ B1) @ B2
    return -xp.mean(xp.log_softmax(xp.mean(out, 1) @ V)[xp.arange(len(y)), y])
