"""Compiling takes as much longer as a program is longer, whatever it is long in. Calls of Python functions are counted, not seconds."""

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from dsl.api import compile_text

SHORT, TIMES = 24, 4
# less than twice what is linear: a part that is quadratic takes 16 times as many calls, not 4
MOST = 5.0


def _lines(*parts: str | list[str]) -> str:
    return "\n".join(line for part in parts for line in ([part] if isinstance(part, str) else part))


def _each(n: int, text: str, join: str = "\n", start: int = 0) -> str:
    """The text for every number from ``start``: ``#`` is the number, ``$`` the one before."""
    return join.join(text.replace("#", str(i)).replace("$", str(i - 1)) for i in range(start, n))


LONG: dict[str, Callable[[int], str]] = {
    "sum of inputs": lambda n: f"L = sum({_each(n, 'x#', ' + ')})",
    "sum of terms": lambda n: _lines("param x: [N]", f"L = sum({_each(n, 'tanh(#.5 * x)', ' + ')})"),
    "product of factors": lambda n: _lines("param x: [N]", f"L = sum({_each(n, 'tanh(#.5 * x)', ' * ')})"),
    "chain": lambda n: _lines("param x0: [N]", _each(2 * n, "x# = tanh(x$) + 0.1 * x$", start=1), f"L = sum(x{2 * n - 1})"),
    "independent statements": lambda n: _lines("param x: [N]", _each(n, "y# = sum(tanh(#.5 * x))")),
    "deep calls": lambda n: _lines("param x: [N]", f"L = sum({'tanh(' * 4 * n}x{')' * 4 * n})"),
    "deep brackets": lambda n: _lines("param x: [N]", f"L = sum({'(x * ' * 4 * n}x{')' * 4 * n})"),
    "product of matrices": lambda n: _lines("param x: [N, D]", _each(n, "param A#: [D, D]"), f"L = sum(x @ {_each(n, 'A#', ' @ ')})"),
    "layers": lambda n: _lines(
        "input h0: [N, D]", _each(n, "param A#: [D, D]\nparam b#: [D]", start=1), _each(n, "h# = relu(h$ @ A# + b#)", start=1), f"L = mean(h{n - 1} ** 2)"
    ),
    "loops in turn": lambda n: _lines(
        "param h0: [D]", "input X: [T, D]", "def step(h, x) = tanh(h + x)", _each(n, "h# = fold(step, h$, X)", start=1), f"L = sum(h{n - 1})"
    ),
    "loops apart": lambda n: _lines(
        "param w: [D]", "input X: [T, D]", "def step(h, x) = tanh(h * w + x)", f"L = {_each(n, 'sum(fold(step, w * #.5, X))', ' + ')}"
    ),
    "long turn": lambda n: _lines(
        "param w: [D]\ninput X: [T, D]", "def step(h0, x):", _each(n, "    h# = tanh(h$ * w + x)", start=1), f"    return h{n - 1}", "L = sum(fold(step, w, X))"
    ),
    "inputs": lambda n: _lines(_each(n, "param x#: [N#]"), f"L = {_each(n, 'sum(x# ** 2)', ' + ')}"),
    "outputs": lambda n: _lines("param z0: [N]", _each(n, "z# = sin(z$) * z0", start=1), f"output {_each(n, 'z#', ', ', start=1)}"),
    # what looks at so many terms of a sum does so of all of them only in a long one
    "entries": lambda n: _lines(f"param x: [{3 * n}]", f"L = {_each(3 * n, 'x[#] ** 2', ' + ')}"),
    "functions": lambda n: _lines("param h0: [N]", _each(n, "def f#(x) = tanh(#.5 * x)\nh# = f#(h$)", start=1), f"L = mean(h{n - 1})"),
}


def _calls(text: str) -> int:
    """How many Python functions are called to compile a text."""
    count = 0

    def seen(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        compile_text(text, format=False)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("kind", LONG)
def test_calls_grow_with_the_program(kind: str) -> None:
    compile_text(LONG[kind](6), format=False)  # what is read once, such as the library, is not counted
    short, long = _calls(LONG[kind](SHORT)), _calls(LONG[kind](TIMES * SHORT))
    assert long < MOST * short, f"{TIMES} times the program takes {long / short:.1f} times the calls"


def test_a_short_chain_is_tried_in_bounds() -> None:
    """What is tried for short programs only, such as to multiply out sums within sums, does not double with each statement."""
    assert _calls(LONG["chain"](12)) < 60_000 * 24
