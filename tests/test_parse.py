"""Text to tree: what is read, spans, the grammar's methods, and the parser's tables between runs."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dsl import syntax
from dsl.diagnostics import DslError, Source
from dsl.parse import Builder, parse, parse_expression
from tests.syntax_trees import plain

ROOT = Path(__file__).parent.parent


def statement(text: str) -> syntax.Statement:
    (found,) = parse(Source("program.expr", text)).statements
    return found


@pytest.mark.parametrize(
    "text, same",
    [
        ("a + b * c", "a + (b * c)"),
        ("a - b - c", "(a - b) - c"),
        ("a / b @ c", "(a / b) @ c"),
        ("-a ** -b ** c", "-(a ** (-(b ** c)))"),
        ("-a @ b", "(-a) @ b"),
        ("not a == b and c or d", "((not (a == b)) and c) or d"),
        ("a if b else c if d else e", "a if b else (c if d else e)"),
        ("a if b or c else d", "a if (b or c) else d"),
        ("a.T @ b[0].T", "(a.T) @ ((b[0]).T)"),
        ("f(a)(b)[c]", "((f(a))(b))[c]"),
        ("1_000.5e-3", "1000.5e-3"),
        ("x[1:, ::2, None, ...]", "x[(1):, ::(2), None, ...]"),
        ("f(a, axis=-1,)", "f((a), axis=(-1))"),
        ("ﬁ", "fi"),
    ],
)
def test_precedence_is_pythons(text: str, same: str) -> None:
    assert plain(parse_expression(Source("a.expr", text))) == plain(parse_expression(Source("b.expr", same)))


@pytest.mark.parametrize(
    "text",
    [
        "y = (a + b)",
        "h, c = (\n    f(x)\n)",
        "input x, y: int[N] in 0:K",
        "def f((a, b), axis=-1):\n    y = a\n    return (y)",
        "rule f(x) -> out\n    value  x\n    d/dx   1",
        "from nn.layers import dense, norm",
    ],
)
def test_a_span_is_the_whole_statement(text: str) -> None:
    assert statement(f"{text}   # behind\n\n").span.text == text


def test_unpacking_is_told_from_assigning() -> None:
    assert [getattr(statement(text), "unpack", None) for text in ("a = x", "a, = x", "a, b = x", "a, b, = x")] == [False, True, True, True]


def test_statements() -> None:
    module = parse(Source("a.expr", "# What it is,\n# in two lines.\n\n# more\nx = 1  # behind\n"))
    assert module.docstring == "What it is,\nin two lines."
    assert [(each.text, each.own_line) for each in module.comments] == [
        ("# What it is,", True),
        ("# in two lines.", True),
        ("# more", True),
        ("# behind", False),
    ]


def test_a_line_in_brackets_may_begin_with_a_word_of_rules() -> None:
    assert plain(statement("y = (a +\n    kind * 2)")) == plain(statement("y = (a + kind * 2)"))


def test_each_rule_of_the_grammar_has_its_method() -> None:
    grammar = (ROOT / "grammar" / "expr.lark").read_text(encoding="utf-8")
    aliases = set(re.findall(r"-> (\w+)", grammar))
    rules = set(re.findall(r"^([a-z]\w*):", grammar, re.MULTILINE))
    methods = {name for name in vars(Builder) if not name.startswith("_")} - {"build"}
    assert methods == aliases | rules


DEPTH = 10_000
DEEP = {
    "brackets": "y = " + "(" * DEPTH + "x" + ")" * DEPTH,
    "signs": "y = " + "-" * DEPTH + "x",
    "powers": "y = " + "x ** " * DEPTH + "x",
    "calls": "y = " + "tanh(" * DEPTH + "x" + ")" * DEPTH,
    "sums": "y = " + "x + " * DEPTH + "x",
    "lists": "y = " + "[" * DEPTH + "x" + "]" * DEPTH,
    "indexes": "y = " + "x[" * DEPTH + "0" + "]" * DEPTH,
    "choices": "y = " + "x if x else " * DEPTH + "x",
    "attributes": "y = x" + ".T" * DEPTH,
    "patterns": "def f(" + "(" * DEPTH + "x" + ",)" * DEPTH + ") = x",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_depth_costs_no_recursion(text: str) -> None:
    parse(Source("deep.expr", text))
    with pytest.raises(DslError):
        parse(Source("deep.expr", text + " +"))


def test_threads() -> None:
    texts = [f"y{i} = f((x[{i}], [{i}, (1 +\n 2)]), axis=({i}))" for i in range(20)]
    expected = [plain(statement(text)) for text in texts]
    found: dict[int, object] = {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: plain(statement(texts[i]))})) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[i] for i in range(20)] == expected


PARSES = "from dsl.parse import parse; from dsl.diagnostics import Source; print(len(parse(Source('a', 'y = x + 1')).statements))"


def start(home: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(home)}
    return subprocess.Popen([sys.executable, "-c", PARSES], env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_tables_are_kept_whole(tmp_path: Path) -> None:
    runs = [start(tmp_path) for _ in range(4)]
    assert [run.communicate() for run in runs] == [("1\n", "")] * 4
    (tables,) = (tmp_path / "gradc").iterdir()
    good = tables.read_bytes()
    for bad in (b"", good[: len(good) // 2], b"nonsense", good.split(b"\n", 1)[0] + b"\nnonsense"):
        tables.write_bytes(bad)
        assert start(tmp_path).communicate() == ("1\n", "")


def test_tables_are_not_needed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        assert start(home).communicate() == ("1\n", "")
    (tmp_path / "gradc").write_text("in the way")
    assert start(tmp_path).communicate() == ("1\n", "")
