"""The likelihood of a linear dynamical system by the Kalman filter."""

import math

import numpy as np

EXPR = """
input y: [T, M]                          # measurements
input start: [D]
input spread: [D, D] spd
param A: [D, D]                          # next state = A @ state + noise of covariance Q
param H: [M, D]                          # measurement = H @ state + noise of covariance R
param Q: [D, D] spd
param R: [M, M] spd

def moment((mean, P, log_likelihood), y):
    ahead = A @ mean
    P_ahead = A @ P @ A.T + Q
    surprise = y - H @ ahead
    S = H @ P_ahead @ H.T + R
    gain = solve(S, H @ P_ahead).T
    fit = -(M * log(2 * pi) + logdet(S) + surprise @ solve(S, surprise)) / 2
    return ahead + gain @ surprise, P_ahead - gain @ H @ P_ahead, log_likelihood + fit

mean, P, log_likelihood = fold(moment, (start, spread, 0.0), y)
L = -log_likelihood
"""
SIZES = {"tiny": dict(T=4, D=2, M=1), "medium": dict(T=100, D=4, M=2), "large": dict(T=1000, D=8, M=4)}


def inputs(rng, T, D, M):
    A = 0.9 * np.linalg.qr(rng.normal(size=(D, D)))[0]
    return rng.normal(size=(T, M)), rng.normal(size=D), np.eye(D), A, rng.normal(size=(M, D)), 0.1 * np.eye(D), 0.5 * np.eye(M)


def by_hand(y, start, spread, A, H, Q, R):
    T, M = y.shape
    m, P, L, kept = start, spread, T * M / 2 * math.log(2 * math.pi), []
    for t in range(T):
        ahead, P_ahead = A @ m, A @ P @ A.T + Q
        surprise = y[t] - H @ ahead
        S = H @ P_ahead @ H.T + R
        S_inv = np.linalg.inv(S)
        gain = (S_inv @ H @ P_ahead).T
        u = S_inv @ surprise
        L = L + (np.linalg.slogdet(S)[1] + surprise @ u) / 2
        kept.append((m, P, ahead, P_ahead, surprise, S_inv, gain, u))
        m, P = ahead + gain @ surprise, P_ahead - gain @ H @ P_ahead
    dA, dH, dQ, dR = (np.zeros_like(each) for each in (A, H, Q, R))
    dm, dP = np.zeros_like(m), np.zeros_like(P)
    for m, P, ahead, P_ahead, surprise, S_inv, gain, u in reversed(kept):
        dgain = np.outer(dm, surprise) - dP @ P_ahead @ H.T
        dsurprise = gain.T @ dm + u
        dP_ahead = dP - H.T @ gain.T @ dP
        dcross = S_inv @ dgain.T  # of H @ P_ahead
        dS = (S_inv - np.outer(u, u)) / 2 - dcross @ gain
        dR += dS
        dH += dcross @ P_ahead - gain.T @ dP @ P_ahead + (dS + dS.T) @ H @ P_ahead - np.outer(dsurprise, ahead)
        dP_ahead = dP_ahead + H.T @ dcross + H.T @ dS @ H
        dahead = dm - H.T @ dsurprise
        dQ += dP_ahead
        dA += (dP_ahead + dP_ahead.T) @ A @ P + np.outer(dahead, m)
        dm, dP = A.T @ dahead, A.T @ dP_ahead @ A
    return L, (dA, dH, dQ, dR)


def formula(xp, y, start, spread, A, H, Q, R):
    def moment(carry, y):
        mean, P, log_likelihood = carry
        ahead, P_ahead = A @ mean, A @ P @ A.T + Q
        surprise = y - H @ ahead
        S = H @ P_ahead @ H.T + R
        gain = xp.linalg.solve(S, H @ P_ahead).T
        fit = -(len(y) * math.log(2 * math.pi) + xp.linalg.slogdet(S)[1] + surprise @ xp.linalg.solve(S, surprise)) / 2
        return (ahead + gain @ surprise, P_ahead - gain @ H @ P_ahead, log_likelihood + fit), None

    (_, _, log_likelihood), _ = xp.scan(moment, (start, spread, 0 * y[0, 0]), y)
    return -log_likelihood
