"""The formatter: its output means the same, is its own output, and is what the examples are written in."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings

from dsl.diagnostics import DslError, Source
from dsl.format import WIDTH, format_source
from dsl.scan import read_source
from tests.syntax_trees import meaning, programs

ROOT = Path(__file__).parent.parent
PROGRAMS = sorted([*(ROOT / "examples").glob("*.expr"), *(ROOT / "tests" / "cases").glob("*.expr"), ROOT / "dsl" / "ops" / "library.expr"])


def formatted(text: str) -> str:
    return format_source(Source("program.expr", text))


@settings(max_examples=300, deadline=None)
@given(programs())
def test_random_programs_keep_their_meaning(text: str) -> None:
    once = formatted(text)
    assert meaning(once) == meaning(text)
    assert formatted(once) == once
    assert all(line == line.rstrip() and "\t" not in line for line in once.splitlines())


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_programs_keep_their_meaning(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    once = formatted(text)
    assert meaning(once) == meaning(text)
    assert formatted(once) == once
    assert formatted(re.sub(r"(?m)^(?=\w)(?!.*\\)([^#\n'\"]*)$", lambda match: match[1].replace(" = ", "="), text)) is not None


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.expr")), ids=lambda path: path.stem)
def test_examples_are_formatted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert formatted(text) == text


CASES = {
    "spaces": ("y=-x**-2+f(a ,axis = 0)[: ,None,::2 , a+1:] .T", "y = -x ** -2 + f(a, axis=0)[:, None, ::2, a + 1:].T\n"),
    "words": ("y=a if not(b)and c else(d)", "y = a if not (b) and c else (d)\n"),
    "types": ("input X,Y:int [N,2*K]in 0:K\nparam W\nparam S : [D,D]   spd", "input X, Y: int[N, 2 * K] in 0:K\nparam W\nparam S: [D, D] spd\n"),
    "sizes": ("dim N\ndim D=64\ndim K~1_000\nconst  lam=.01", "dim    N\ndim    D = 64\ndim    K ~ 1_000\nconst  lam = .01\n"),
    "declarations lined up": ("input  X: [N]\nparam W: [N]\noutput L", "input  X: [N]\nparam  W: [N]\noutput L\n"),
    "declarations apart": ("input X: [N]\n\nparam  W: [N]", "input X: [N]\n\nparam  W: [N]\n"),
    "names lined up": ("g  = x\nHv = y\nlong = z\n\nh  = x", "g    = x\nHv   = y\nlong = z\n\nh = x\n"),
    "comments lined up": ("a = 1 #one\nlonger = 2\nb, c = 3 # three", "a = 1     # one\nlonger = 2\nb, c = 3  # three\n"),
    "comments moved right": ("a = 1        # one\nb = 2 # two", "a = 1        # one\nb = 2        # two\n"),
    "blank lines": ("\n\na = 1\n\n\n\n\nb = 2\n\n\n", "a = 1\n\n\nb = 2\n"),
    "functions": ("def f( x,(h,c) ) :\n\n  # why\n  y=x\n\n\n  return y,h", "def f(x, (h, c)):\n    # why\n    y = x\n\n    return y, h\n"),
    "one-line functions": ("def f(x,axis = -1)=x", "def f(x, axis=-1) = x\n"),
    "imports": ("from  nn . layers import  dense,norm", "from nn.layers import dense, norm\n"),
    "rules": ("rule f(x)->out\n  value x\n  d/dx out/x # why\n  vjp  y :g\n  domain x:real", None),
    "long partials": ("rule f(rate)->out\n  value rate\n  d/drate 1", "rule f(rate) -> out\n    value    rate\n    d/drate  1\n"),
    "brackets joined": ("A = [[1,2],\n     [3,4]]", "A = [[1, 2], [3, 4]]\n"),
    "brackets with comments": ("A = [[1,2], # one\n# two\n [3,4]\n]", "A = [[1, 2],  # one\n    # two\n    [3, 4]\n]\n"),
    "empty": ("", ""),
    "blank": (" \n\n", ""),
    "comments alone": ("#a\n\n  #b", "# a\n\n# b\n"),
}
CASES["rules"] = (CASES["rules"][0], "rule f(x) -> out\n    value  x\n    d/dx   out / x  # why\n    vjp y: g\n    domain x: real\n")


@pytest.mark.parametrize("before, after", CASES.values(), ids=CASES)
def test_layout(before: str, after: str) -> None:
    assert formatted(before) == after


LONG = {
    "sum": (
        "loss = mean(some_function(inputs @ weights + offset, another_argument=value_of_it) ** 2) + penalty * sum(weights ** 2) + more",
        "loss = (\n    mean(some_function(inputs @ weights + offset, another_argument=value_of_it) ** 2)\n    + penalty * sum(weights ** 2)\n    + more\n)\n",
    ),
    "call": (
        "y = -some_function(first_argument_of_it + 1, second_argument_of_it + 2, third_argument_of_it + 3, fourth_argument_of_it + 4) / N",
        "y = -some_function(\n    first_argument_of_it + 1, second_argument_of_it + 2, third_argument_of_it + 3, fourth_argument_of_it + 4\n) / N\n",
    ),
}


@pytest.mark.parametrize("before, after", LONG.values(), ids=LONG)
def test_long_lines_are_broken(before: str, after: str) -> None:
    assert len(before) > WIDTH
    assert formatted(before) == after
    assert formatted(after) == after
    assert meaning(after) == meaning(before)


def test_deep_brackets() -> None:
    deep = "y = " + "f(" * 3000 + "x" + ")" * 3000 + "\n"
    assert formatted(formatted(deep)) == formatted(deep)
    assert len(formatted("y = " + "(a + " * 3000 + "x" + ")" * 3000)) < 30_000


def test_line_ends_and_byte_order_mark() -> None:
    assert format_source(read_source(b"\xef\xbb\xbfa=1\r\nb=2\rc=3", "program.expr")) == "a = 1\nb = 2\nc = 3\n"


def test_a_broken_program_is_refused() -> None:
    with pytest.raises(DslError, match="never closed"):
        formatted("y = (a")
