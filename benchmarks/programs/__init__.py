"""The programs, one a file.

Each has its text in the language (``EXPR``), its ``SIZES``, ``inputs(rng, **size)`` in the order of the arguments, the same value and
gradients ``by_hand`` in straightforward NumPy, and the value as a ``formula`` over a library under NumPy's names (``benchmarks/peers.py``), from which
autograd, PyTorch and JAX take the gradients. What the first of these has no scalar value is a Hessian or a Jacobian, and is timed as it is.
A new file here is a new benchmark, and is tested because it is here.
"""
