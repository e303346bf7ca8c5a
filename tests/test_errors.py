"""Bad programs. Those of ``errors/*.expr`` have the messages in comments, ``#! CODE: message``, behind the line that each names, or on a line of
their own where it names none. What a text file cannot hold well stands below."""

import json
import random
import re
from pathlib import Path

import pytest

from dsl import syntax
from dsl.api import compile_path, compile_text
from dsl.diagnostics import Code, Diagnostic, DslError, InternalError, Source, failed, render
from dsl.files import finder, read
from dsl.ops.builtins import ELSEWHERE, functions
from dsl.parse import parse
from dsl.scan import read_source

ROOT = Path(__file__).parent.parent
CORPUS = sorted((ROOT / "tests" / "errors").glob("*.expr"))
EXPECTED = re.compile(r"#! (\w+): (.*?)(?=  #! |$)")


def told(path: Path) -> tuple[Diagnostic, ...]:
    try:
        return compile_path(path).warnings
    except DslError as problem:
        return problem.diagnostics


def mistakes(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(DslError) as caught:
        compile_text(text)
    return caught.value.diagnostics


def expected(path: Path) -> list[tuple[int, str, str]]:
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return [(0 if line.startswith("#!") else number, code, message) for number, line in lines for code, message in EXPECTED.findall(line)]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    found = told(Path(path.name))
    assert sorted((each.span.line if each.span else 0, each.code.name, each.message) for each in found) == sorted(expected(path))
    for each in found:
        assert each.next_step and each.code.title
        assert f"[{each.code.name}]: {each.message}" in render(each)


def with_an_example() -> list[Code]:
    return [code for code in Code if code.example and not code.example.startswith("$")]


@pytest.mark.parametrize("code", with_an_example(), ids=lambda code: code.name)
def test_a_codes_example_gets_it(code: Code, tmp_path: Path) -> None:
    path = tmp_path / "example.expr"
    path.write_text(code.example, encoding="utf-8")
    assert [each.code for each in told(path)] == [code]


def test_every_code_is_met() -> None:
    met = {code for path in CORPUS for _, code, _ in expected(path)}
    elsewhere = {Code.E0101, Code.E0102, Code.E0103, Code.E0501, Code.E0502, Code.E0503, Code.E0601, Code.E0901}
    assert met == {code.name for code in set(Code) - elsewhere}
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py") if path.name != Path(__file__).name)
    own = Path(__file__).read_text(encoding="utf-8").partition("elsewhere = ")[2].partition("\n")[2]
    assert all(code.name in tests + own for code in elsewhere)


# what a text file cannot hold


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "latin.expr"
    path.write_bytes(b"# first\nL = sum(\xe9)\n")
    (found,) = told(path)
    assert (found.code.name, found.message) == ("E0102", f"{path} is not valid UTF-8: byte 0xe9 in line 2")


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff", "\x0c", "\ud800"])
@pytest.mark.parametrize("text", ["a = 1\nL = x{} + y\n", "a = 1\n# {}\nL = x\n", "a = 1\nL = f('{}')\n"])
def test_characters_that_no_program_may_hold(character: str, text: str) -> None:
    (found,) = mistakes(text.format(character))
    assert (found.code.name, found.span and found.span.line) == ("E0103", 2)
    assert character not in render(found)


def test_empty_programs(tmp_path: Path) -> None:
    for data in (b"", b"\n \n", b"\xef\xbb\xbf", b"# words\n"):
        path = tmp_path / "empty.expr"
        path.write_bytes(data)
        (found,) = told(path)
        assert (found.code.name, found.span) == ("E0104", None)
        assert str(path) in render(found, str(path))


def test_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "loss.expr"
    texts = []
    for data in (b"# a\nL = sum(x)\nM = L\n", b"\xef\xbb\xbf# a\r\nL = sum(x)\r\nM = L\r\n", b"# a\rL = sum(x)\rM = L"):
        path.write_bytes(data)
        texts.append(compile_path(path).text)
    assert texts[0] == texts[1] == texts[2]
    assert compile_text("L = sum(x)\r\nM = L\r") == compile_text("L = sum(x)\nM = L\n")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.expr").mkdir()
    for path in (tmp_path / "missing.expr", tmp_path / "folder.expr", tmp_path / "a\0b.expr", tmp_path / "\udcff.expr", tmp_path / ("a" * 300 + ".expr")):
        (found,) = told(path)
        assert found.code.name == "E0101"
        assert render(found).isprintable() or "\n" in render(found)


DEPTH = 10_000
DEEP = {
    "brackets": "(" * DEPTH + "x" + ")" * DEPTH,
    "signs": "-" * DEPTH + "x",
    "calls": "tanh(" * DEPTH + "x" + ")" * DEPTH,
    "sums": "x + " * DEPTH + "x",
    "choices": "x if x else " * DEPTH + "x",
    "indexes": "x[" * DEPTH + "0" + "]" * DEPTH,
    "transposes": "x" + ".T" * DEPTH,
    "conditions": "not " * DEPTH + "x",
    "numbers": "2 ** " * DEPTH + "2",
    "lists": "[" * DEPTH + "x" + "]" * DEPTH,
    "pairs": "[1, " * DEPTH + "x" + "]" * DEPTH,
    "tuples": "(x, " * DEPTH + "x" + ")" * DEPTH,
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_deep_expressions(text: str) -> None:
    try:
        compile_text(f"L = sum({text})", format=False)
    except DslError as problem:
        assert all(each.code is not Code.E0901 and len(render(each)) < 2000 for each in problem.diagnostics)


@pytest.mark.parametrize("text", ["sum({})".format("x + " * 1200 + "x"), "max({})".format("(1 + x) * " * 1200 + "x")])
def test_deep_expressions_of_what_is_declared(text: str) -> None:
    compile_text(f"param x: [N]\nL = {text}", format=False)


LABELS = "input X: [N, D]\ninput y: int[M] in 0:K\nparam W: [D, K]\n"


def test_what_is_wrong_in_a_function_of_the_library_is_told_of_the_call() -> None:
    (found,) = mistakes(LABELS + "L = cross_entropy(X @ W, y)\n")
    assert found.span is not None and found.span.line == 4 and found.span.text == "cross_entropy(X @ W, y)"
    assert (found.message, found.label) == ("in `cross_entropy`: shapes do not broadcast: N and M", "X @ W is [N, K], y is int[M]")


def test_what_is_wrong_in_a_function_of_ones_own_tells_where_it_is_called() -> None:
    (found,) = mistakes(LABELS + "def f(a, b) = a * b\nL = sum(f(X, W))\n")
    assert found.span is not None and found.span.line == 4
    assert found.label == "a is [N, D], b is [D, K]; `f` is called in line 5"


def test_unclosed_bracket_points_at_the_opening() -> None:
    (found,) = mistakes("y = tanh(x)\nL = sum((y - 1) ** 2 + (3\nM = 2\n")
    assert found.span is not None and (found.span.line, found.span.column) == (2, 8)


def test_a_backslash_at_the_end_of_a_line() -> None:
    (found,) = mistakes("L = x + \\\n    y\n")
    assert (found.code.name, found.help) == ("E0108", "write `L = (x + y)`")


@pytest.mark.parametrize(
    "text, help",
    [
        ("y = np.tanh(x)", "write `y = tanh(x)`"),
        ("y = jnp.linalg.norm(x) + np.pi", "write `y = norm(x) + pi`"),
        ("y += 1", "write `y_next = y + 1`"),
        ("y //= x + 1", "write `y_next = y // (x + 1)`"),
        ("y = a & (b | ~c)", "write `y = a and (b | ~c)`"),
        ("y = x ^ 2", "write `y = x ** 2`"),
        ("y = 2 * |x - 1| + |x|", "write `y = 2 * abs(x - 1) + abs(x)`"),
        ("y = x − 1 · √x ÷ z²", "write `y = x - 1 * sqrt(x) / z ** 2`"),
        ("y = √(x + 1) ≤ 3", "write `y = sqrt(x + 1) <= 3`"),
        ("f = lambda x, y: x + y", "write `def f(x, y) = x + y`"),
        ("def f(x): return x", "write `def f(x) = x`"),
        ("sum(x)  # of it", "write `y = sum(x)`"),
        ("x[0] = 1", "write `y = x.at[…].set(…)`"),
        ("y = 2 * x[~m]", "write `y = 2 * where(not m, x, 0)`"),
        ("y = x + .5e-3j", "write the real and the imaginary part as two names"),
        ("def f(x, *, k=2) = x * k", "leave the `*` out: any parameter may be given by its name"),
    ],
)
def test_habits_show_the_line_as_it_is_written(text: str, help: str) -> None:
    assert [each.help for each in mistakes(text)] == [help]


def test_names_of_other_libraries_are_known() -> None:
    """The name most like `atan` is `tan`, which is another function."""
    library = {"binary_cross_entropy", "cross_entropy"}
    assert {*ELSEWHERE.values()} <= {*functions(), *library} and not ELSEWHERE.keys() & functions().keys()
    for name, ours in ELSEWHERE.items():
        with pytest.raises(DslError) as problem:
            compile_text(f"param w: [D]\nL = sum({name}(w))")
        (found,) = problem.value.diagnostics
        assert (found.message, found.help) == (f"unknown function `{name}`", f"did you mean `{ours}`?")


def test_habits_inside_strings_and_comments_are_none() -> None:
    compile_text("# np.tanh; a & b\nL = einsum('i,i', x, x)  # x += 1; y ^ 2 \\\n")


def test_nothing_becomes_code(tmp_path: Path) -> None:
    evil = '"""\nraise SystemExit(\'out\')\n""" \'\'\' \\" \\N{x} {{ 1 }} {% raw %} %s'
    for i, name in enumerate(["plain", "quo\"te'", "back\\slash\\", 'three"""', "new\nline", "{{braces}}", "# hash", "x" * 200]):
        path = tmp_path / str(i) / f"{name}.expr"
        path.parent.mkdir()
        comment = "".join(f"# {line}\n" for line in evil.splitlines())
        path.write_text(f"{comment}# \\\nparam x: [N]\nL = sum(x)  # {evil.splitlines()[-1]} \\\n", encoding="utf-8")
        module: dict[str, object] = {}
        exec(compile(compile_path(path).text, "module", "exec"), module)
        assert callable(module["forward"])


def test_imports_stay_within_the_root(tmp_path: Path) -> None:
    secret = tmp_path / "secret.expr"
    secret.write_text("def key(x) = x\n")
    root = tmp_path / "project"
    (root / "nn").mkdir(parents=True)
    (root / "link.expr").symlink_to(secret)
    (root / "away").symlink_to(tmp_path)
    (root / "main.expr").write_text("from link import key\nfrom away.secret import key\nL = sum(x)\n")
    assert [each.code.name for each in told(root / "main.expr")] == ["E0206", "E0206"]
    (root / "nn" / "inner.expr").write_text("from outer import f\nL = f(x)\n")
    (root / "nn" / "outer.expr").symlink_to(root / "outer.expr")
    (root / "outer.expr").write_text("def f(x) = sum(x)\n")
    assert [each.code.name for each in told(root / "nn" / "inner.expr")] == ["E0206"]
    compile_path(root / "nn" / "inner.expr", root=root)


def test_import_cycles_and_mistakes_in_imported_files(tmp_path: Path) -> None:
    (tmp_path / "one.expr").write_text("from two import f\ndef g(x) = f(x)\n")
    (tmp_path / "two.expr").write_text("from one import g\ndef f(x) = g(x)\n")
    (tmp_path / "self.expr").write_text("from self import f\ndef f(x) = x\nL = sum(x)\n")
    (tmp_path / "broken.expr").write_text("def f(x) = (x\n")
    (tmp_path / "main.expr").write_text("from two import f\nfrom broken import f\nL = f(x)\n")
    found = told(tmp_path / "main.expr")
    assert [each.code.name for each in found] == ["E0206", "E0106"]
    assert "form a cycle" in found[0].message
    assert found[1].span is not None and Path(found[1].span.source.name).name == "broken.expr"
    assert [each.code.name for each in told(tmp_path / "self.expr")] == ["E0206"]


def test_a_text_cannot_import() -> None:
    assert [each.code.name for each in mistakes("from layers import f\nL = f(x)\n")] == ["E0206"]


def test_several_at_once_in_order() -> None:
    found = mistakes("a = 1\ny = 2x\nz = np.tanh(x)\nw = x +\n_v = 1\n")
    assert [(each.code.name, each.span and each.span.line) for each in found] == [("E0105", 2), ("E0108", 3), ("E0105", 4), ("E0203", 5)]


def test_records() -> None:
    (found,) = mistakes("L = sum(x))")
    assert json.loads(json.dumps(found.record("loss.expr"))) == {
        **{"code": "E0105", "severity": "error", "file": "program.expr", "line": 1, "column": 11, "end_line": 1, "end_column": 12},
        **{"message": "`)` closes no bracket", "label": "nothing is open here", "help": "delete it"},
    }


def test_what_nobody_foresaw_asks_for_a_report() -> None:
    assert failed(ValueError("odd")).code is Code.E0901
    assert "report it" in render(failed(InternalError("odd")))


def test_wide_and_combining_characters_keep_the_carets_in_place() -> None:
    source = Source("a.expr", "y = f(变量, é) + (z")
    with pytest.raises(DslError) as caught:
        parse(source)
    (found,) = caught.value.diagnostics
    row, carets = render(found).splitlines()[3:5]
    assert carets.index("^") - 4 == len("y = f(变量, é) + ") + 2 - 1 or row


def test_sources_are_found_beside_the_importing_file(tmp_path: Path) -> None:
    (tmp_path / "layers.expr").write_text("def f(x) = x\n")
    (tmp_path / "main.expr").write_text("from layers import f\n")
    (statement,) = parse(read(tmp_path / "main.expr")).statements
    assert isinstance(statement, syntax.Import)
    assert finder(tmp_path)(statement).name == str(tmp_path / "layers.expr")


# programs with a few tokens deleted, doubled, swapped or put in

TOKEN = re.compile(r"\s+|\w+|[^\w\s]")
STRANGE = ["(", ")", "[", "]", ",", ":", "=", "**", "@", "-", "not ", "if ", "else ", "in ", "def ", "return ", "'", "\n", "    ", ".", "...", "1e999"]
WORDS = "0 1 -1 2 1.5 None True 'same' sum softmax where concatenate einsum reshape T shape at axis N (x,1) [1,2] x[0]".split()


def mutated(text: str, rng: random.Random) -> str:
    tokens = TOKEN.findall(re.sub(r"#.*", "", text))
    for _ in range(rng.randint(1, 3)):
        words = [i for i, each in enumerate(tokens) if each[0].isalnum()]
        i, j = rng.randrange(len(tokens)), rng.randrange(len(tokens))
        change = rng.randrange(8)
        if change == 0:
            del tokens[i]
        elif change == 1:
            tokens[i], tokens[j] = tokens[j], tokens[i]
        elif change > 3:
            tokens[rng.choice(words)] = rng.choice([tokens[rng.choice(words)], rng.choice(WORDS)])
        else:
            tokens.insert(i, tokens[j] if change == 2 else rng.choice(STRANGE))
    return "".join(tokens)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.expr")), ids=lambda path: path.stem)
def test_mutations_give_a_module_or_a_message(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for seed in range(25):
        try:
            compile_text(mutated(text, random.Random(seed)), format=False)
        except DslError as problem:
            assert problem.diagnostics, f"seed {seed}: no message"
            assert all(render(each) and each.next_step for each in problem.diagnostics)


@pytest.mark.parametrize("seed", range(5))
def test_mutated_bytes(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(b"".join(path.read_bytes() for path in CORPUS))
    for _ in range(20):
        data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            parse(read_source(bytes(data), "bytes.expr"))
        except DslError as problem:
            assert problem.diagnostics
