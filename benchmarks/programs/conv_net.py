"""A convolutional classifier: one layer of filters and a linear one."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

EXPR = """
input images: [N, 1, S, S]
input labels: int[N] in 0:K
param filters: [F, 1, P, P]
param bias: [F]
param W: [F * (S - P + 1) * (S - P + 1), K]

found = relu(conv2d(images, filters, bias))
L = cross_entropy(found.reshape(N, -1) @ W, labels)
"""
SIZES = {"tiny": dict(N=2, S=6, F=2, P=3, K=3), "medium": dict(N=64, S=28, F=8, P=5, K=10), "large": dict(N=512, S=28, F=8, P=5, K=10)}


def inputs(rng, N, S, F, P, K):
    features = F * (S - P + 1) ** 2
    weights = rng.normal(size=(F, 1, P, P)) / P, rng.normal(size=F) / 10, rng.normal(size=(features, K)) / np.sqrt(features)
    return rng.normal(size=(N, 1, S, S)), rng.integers(0, K, size=N), *weights


def by_hand(images, labels, filters, bias, W):
    N, F, P = len(labels), len(bias), filters.shape[-1]
    windows = sliding_window_view(images[:, 0], (P, P), axis=(1, 2))  # [N, R, R, P, P]
    A = np.tensordot(windows, filters[:, 0], axes=((3, 4), (1, 2))).transpose(0, 3, 1, 2) + bias[:, None, None]
    H = np.maximum(A, 0).reshape(N, -1)
    Z = H @ W
    Z -= Z.max(axis=1, keepdims=True)
    E = np.exp(Z)
    total = E.sum(axis=1, keepdims=True)
    L = (np.log(total[:, 0]) - Z[np.arange(N), labels]).mean()
    dZ = E / total
    dZ[np.arange(N), labels] -= 1
    dZ /= N
    dA = (dZ @ W.T).reshape(A.shape) * (A > 0)
    dfilters = np.tensordot(dA, windows, axes=((0, 2, 3), (0, 1, 2))).reshape(F, 1, P, P)
    return L, (dfilters, dA.sum(axis=(0, 2, 3)), H.T @ dZ)


def formula(xp, images, labels, filters, bias, W):
    found = xp.relu(xp.conv2d(images, filters) + bias[:, None, None])
    log_p = xp.log_softmax(found.reshape(len(labels), -1) @ W)
    return -xp.mean(log_p[xp.arange(len(labels)), labels])
