"""Black and Scholes' prices of European calls, summed, with the Greeks of each."""

import numpy as np
from scipy.special import erf

EXPR = """
param S: [N] positive          # price of the stock now
input X: [N] positive          # strike
param T: [N] positive          # years to expiry
param r: [N]                   # riskless rate
param sigma: [N] positive      # volatility

def Phi(x) = (1 + erf(x / sqrt(2))) / 2

d1 = (log(S / X) + (r + sigma ** 2 / 2) * T) / (sigma * sqrt(T))
d2 = d1 - sigma * sqrt(T)
L = sum(S * Phi(d1) - X * exp(-r * T) * Phi(d2))
"""
SIZES = {"tiny": dict(N=4), "medium": dict(N=10_000), "large": dict(N=1_000_000)}


def inputs(rng, N):
    return tuple(rng.uniform(low, high, size=N) for low, high in ((50, 150), (50, 150), (0.1, 2), (0, 0.1), (0.1, 0.5)))


def by_hand(S, X, T, r, sigma):
    spread = sigma * np.sqrt(T)
    d1 = (np.log(S / X) + (r + sigma**2 / 2) * T) / spread
    d2 = d1 - spread
    below1, below2 = (1 + erf(d1 / 2**0.5)) / 2, (1 + erf(d2 / 2**0.5)) / 2
    discounted = X * np.exp(-r * T)
    density = S * np.exp(-(d1**2) / 2) / (2 * np.pi) ** 0.5
    vega = density * np.sqrt(T)
    theta = density * sigma / (2 * np.sqrt(T)) + r * discounted * below2
    return (S * below1 - discounted * below2).sum(), (below1, theta, T * discounted * below2, vega)


def formula(xp, S, X, T, r, sigma):
    d1 = (xp.log(S / X) + (r + sigma**2 / 2) * T) / (sigma * xp.sqrt(T))
    d2 = d1 - sigma * xp.sqrt(T)
    below1, below2 = (1 + xp.erf(d1 / 2**0.5)) / 2, (1 + xp.erf(d2 / 2**0.5)) / 2
    return xp.sum(S * below1 - X * xp.exp(-r * T) * below2)
