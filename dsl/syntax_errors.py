"""What a wrong statement was meant to be: habits from Python, names that may not be used, and the parser's complaints in plain words."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import reduce
from typing import NamedTuple

from dsl import syntax
from dsl.diagnostics import Code, Diagnostic, Source, Span, nearest

STATEMENT_WORDS = ("input", "param", "const", "dim", "output", "rule")
GENERATED_NAMES = ("np", "tape", "Tape", "Gradients", "Outputs", "NamedTuple", "forward", "backward", "value", "value_and_grad")


def _table(*rows: tuple[str, str, str]) -> tuple[tuple[re.Pattern[str], str, str], ...]:
    return tuple((re.compile(pattern, re.MULTILINE), why, written) for pattern, why, written in rows)


# what is written in another way: the pattern, why, and what stands in its place
_SPELLINGS = _table(
    (r"\b(?:np|numpy|jnp|jax|torch|math|scipy)\.(?:(?:numpy|linalg|special|nn|functional|stats)\.)*(?=\w)", "functions have no prefix", ""),
    (r"^(\w+)[ \t]*([-+*/@%]|//|\*\*)=[ \t]*(\w+)[ \t]*$", "a name is assigned once", r"\1_next = \1 \2 \3"),
    (r"^(\w+)[ \t]*([-+*/@%]|//|\*\*)=[ \t]*(.*)$", "a name is assigned once", r"\1_next = \1 \2 (\3)"),
    (r"^(def\b[^\n]*\))[ \t]*:[ \t]*return[ \t]+", "a function of one line is written with `=`", r"\1 = "),
    (r"^(\w+)[ \t]*=[ \t]*lambda\b[ \t]*([^\n:]*):[ \t]*", "functions have names", r"def \1(\2) = "),
    (r"(?<=[^\s])[ \t]*\^[ \t]*", "a power is written `**`", " ** "),
    (r"(?<=[^\s])[ \t]*&&?[ \t]*", "conditions are joined by `and`", " and "),
    (r"(?:(?<=[(=+*/@,-])|(?<=[(=+*/@,-] ))\|[ \t]*([^|\n]+?)[ \t]*\|", "a magnitude is a function", r"abs(\1)"),
    (r"(?<=[^\s])[ \t]*\|\|?[ \t]*", "conditions are joined by `or`", " or "),
    (r"\b(\w+)\[[ \t]*[~!][ \t]*(\w+)[ \t]*\]", "a mask chooses by `where`", r"where(not \2, \1, 0)"),
    (r"[~!][ \t]*(?=[\w(])", "a condition is negated by `not`", "not "),
)
# what has no counterpart word for word: the pattern, why, and what to do
_HABITS = _table(
    (r"(\w+)[ \t]*:=", "a name is assigned in a statement of its own", r"give `\1` a line above: `\1 = …`"),
    (r"(?<![\w.])(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[jJ]\b", "there are no complex numbers", "write the real and the imaginary part as two names"),
    (r";", "a newline ends a statement", "write each statement on a line of its own"),
    (r"(?<=[=(,])[ \t]*\b(lambda\b[^\n]*)", "functions have names", "write `def f(x) = …` above, and pass `f`"),
    (r"^(?:import\b|from[ \t]+(?:numpy|jax|scipy|torch|math)\b)[^\n]*", "NumPy's functions are in scope", "leave the line out, and write `tanh(x)`"),
    (r"^[ \t]+(?:def|rule)\b[^\n]*", "a function may not stand in another", "move it out, above, and give it what it needs as arguments"),
    (r"^[ \t]*(?:for|while)\b[^\n]*:[ \t]*$", "loops are functions of the language", "write `h = fold(step, h0, X)`"),
    (r"\bfor\b[^\n]*\bin\b[^\n]*", "there are no comprehensions", "write `map(f, X)`, or the formula for all entries at once"),
    (r"^[ \t]*(?:if|elif|else)\b[^\n]*:[ \t]*$", "a choice is an expression", "write `y = a if c else b`"),
    (r"^return\b[^\n]*", "`return` stands in a function", "write `output L`"),
    (r"^print\b[^\n]*", "a program prints nothing", "write `output L`"),
    (r"[{}]", "there are no dictionaries and no sets", "write a tuple, `(a, b)`"),
)
# signs as they are pasted from a paper: what stands for what, in this order
_SIGNS = _table(
    (r"√[ \t]*(\w+|(?=\())", "", r"sqrt(\1)"),
    (r"sqrt\(\)(?=\()", "", "sqrt"),
    ("∑", "", "sum"),
    ("[−–]", "", "-"),
    ("[ \t]*[×·⋅∙][ \t]*", "", " * "),
    ("[ \t]*[÷∕][ \t]*", "", " / "),
    ("≤", "", "<="),
    ("≥", "", ">="),
    ("≠", "", "!="),
    ("²", "", " ** 2"),
    ("³", "", " ** 3"),
)
_STRINGS = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")
_BACKSLASH = re.compile(r"[ \t]*\\[ \t]*(?:\n[ \t]*|$)", re.MULTILINE)


def habits(source: Source, code: str, start: int, end: int) -> list[Diagnostic]:
    """What is Python's or NumPy's spelling in a statement, with the line as we write it."""
    text = code[start:end]
    bare = _STRINGS.sub(lambda match: " " * len(match[0]), text)

    def habit(match: re.Match[str], why: str, help: str) -> list[Diagnostic]:
        return [Diagnostic(Code.E0108, why, Span(source, start + match.start(), start + max(match.end(), match.start() + 1)), "", help)]

    if re.match(r"(rule|dim|input|param)\b", text):
        return []
    if match := _BACKSLASH.search(bare):
        name, _, value = _BACKSLASH.sub(" ", text).partition("=")
        return habit(match, "a line goes on inside brackets, not behind a backslash", f"write `{name.strip()} = ({value.strip()})`")
    # what is assigned to has a name, and no sign
    if match := next(filter(None, (pattern.search(bare, bare.find("=") + 1) for pattern, _, _ in _SIGNS)), None):
        line = reduce(lambda line, sign: sign[0].sub(sign[2], line), _SIGNS, _line_at(text, match))
        return habit(match, f"`{match[0].strip()}` is written in ASCII", f"write `{line.strip()}`")
    for pattern, why, written in _SPELLINGS:
        if match := pattern.search(bare):
            return habit(match, why, f"write `{pattern.sub(written, _line_at(text, match)).strip()}`")
    for pattern, why, help in _HABITS:
        if match := pattern.search(bare):
            return habit(match, why, match.expand(help))
    return []


def _line_at(text: str, match: re.Match[str]) -> str:
    """The line that a match begins in."""
    return text[text.rfind("\n", 0, match.start()) + 1 :].split("\n", 1)[0]


def _targets(statement: syntax.Statement) -> Iterator[syntax.Name]:
    if isinstance(statement, (syntax.Declare, syntax.DimDeclare)):
        yield from statement.names
    elif isinstance(statement, syntax.ConstDeclare):
        yield statement.name
    elif isinstance(statement, syntax.Assign):
        yield from statement.targets
    elif isinstance(statement, (syntax.Def, syntax.Rule)):
        yield statement.name
        yield from _parameters(statement.params)
        if isinstance(statement, syntax.Def):
            for inner in statement.body:
                yield from inner.targets
        else:
            yield statement.out


def _parameters(params: tuple[syntax.Param, ...]) -> Iterator[syntax.Name]:
    stack: list[syntax.Pattern] = [param.target for param in reversed(params)]
    while stack:
        each = stack.pop()
        if isinstance(each, syntax.Name):
            yield each
        else:
            stack += reversed(each)


def check_names(statement: syntax.Statement) -> list[Diagnostic]:
    """The names that a statement makes and may not."""
    found = [wrong for name in _targets(statement) if (wrong := check_name(name)) is not None]
    if isinstance(statement, (syntax.Def, syntax.Rule)):
        found += _named_twice(_parameters(statement.params))
    elif isinstance(statement, (syntax.Import, syntax.Output, syntax.Declare)):
        found += _named_twice(statement.names)
    elif isinstance(statement, syntax.Assign):
        found += _named_twice(statement.targets)
    if isinstance(statement, syntax.Rule):
        found += _repeated(statement)
    return found


def _named_twice(names: Iterable[syntax.Name]) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    seen: set[str] = set()
    for name in names:
        if name.id in seen:
            found.append(Diagnostic(Code.E0202, f"`{name.id}` stands here twice", name.span, "", "leave one of them out, or give it another name"))
        seen.add(name.id)
    return found


def _repeated(rule: syntax.Rule) -> list[Diagnostic]:
    """The lines of a rule that say again what a line above says: two values, two derivatives with respect to one argument."""
    found: list[Diagnostic] = []
    said: set[tuple[str, str]] = set()
    for line in rule.lines:
        what = ("derivative" if line.key in ("d", "vjp") else line.key, line.argument)
        if what in said:
            name = f"{what[0]} for `{line.argument}`" if line.argument else what[0]
            found.append(Diagnostic(Code.E0403, f"`{rule.name.id}` has a second {name}", line.span, "", "leave one of them out"))
        said.add(what)
    return found


def check_name(name: syntax.Name) -> Diagnostic | None:
    """Why a name may not be made, or None."""
    if name.id.startswith("_"):
        bare = name.id.strip("_") or "x"
        help = f"write `{bare}_`" if keyword.iskeyword(bare) or bare in (*STATEMENT_WORDS, *GENERATED_NAMES) else f"write `{bare}`"
        return Diagnostic(Code.E0203, f"`{name.id}` begins with an underscore", name.span, "reserved for generated names", help)
    if keyword.iskeyword(name.id):
        why = "is a keyword of Python"
    elif name.id in STATEMENT_WORDS:
        why = "is a word of the language"
    elif name.id in GENERATED_NAMES:
        why = "is a name of every generated module"
    else:
        return None
    return Diagnostic(Code.E0203, f"`{name.id}` {why}", name.span, "", f"write `{name.id}_`")


class Failure(NamedTuple):
    """Where the parser stopped in a statement's text: ``found`` is the token there, "" for the end or for what is no token."""

    at: int
    found: str
    expected: frozenset[str]


_KINDS = {
    "RETURN": "`return`",
    "ELSE": "`else`",
    "_ARROW": "`->`",
    "NAME": "a name",
    "NUMBER": "a number",
    "EQUAL": "`=`",
    "COLON": "`:`",
    "OPERATOR": "an operator",
    "RPAR": "`)`",
    "RSQB": "`]`",
    "COMMA": "`,`",
    "_INDENT": "indented lines",
    "_NEWLINE": "a new line",
}
# what the one next step is where one of these was expected
_STEPS = {
    "RETURN": "end the function with a line `return y`",
    "ELSE": "write `a if c else b`",
}
_FORMS = {
    "input": "write `input X: [N, D]`",
    "param": "write `param W: [D, K]`",
    "const": "write `const lam = 0.01`",
    "dim": "write `dim N`, `dim D = 64` or `dim N ~ 100_000`",
    "output": "write `output L, P`",
    "from": "write `from layers import dense`: a file beside this one, or in a folder below",
    "def": "write `def f(x) = EXPR`, or `def f(x):` above indented assignments and a `return`",
    "rule": "write `rule f(x) -> out` above indented lines such as `value  EXPR` and `d/dx  EXPR`",
}


def explain(failure: Failure, text: str, source: Source, base: int) -> Diagnostic:
    """A failure of the parser in plain words; ``text`` is the statement, which stands at ``base``."""
    at = base + failure.at
    before = text[: failure.at].strip()
    found = failure.found or text[failure.at : failure.at + 1]
    place = Span(source, at, at + max(1, len(found)))
    expected = failure.expected
    shown = [word for kind, word in _KINDS.items() if kind in expected]
    label = "expected " + " or ".join(shown[:3]) if shown else ""
    if before in STATEMENT_WORDS and found == "=":
        return Diagnostic(Code.E0203, f"`{before}` is a word of the language", Span(source, base, base + len(before)), "", f"write `{before}_`")
    if "EQUAL" in expected and (misspelt := _misspelt(text, failure.at, source, base)):
        return misspelt
    if "EQUAL" in expected and "=" not in before and not before.startswith(tuple(_FORMS)):
        other = Diagnostic(Code.E0105, f"unexpected `{found}`", place, label)
        return _unassigned(text, before, found, Span(source, base, at)) or other
    help = _next_step(text, before, found, expected)
    if found in ("", "\n"):
        return Diagnostic(Code.E0105, "the statement ends too early", Span(source, max(base, at - 1), at), label, help)
    if found in "'\"":
        return Diagnostic(Code.E0106, "a string is never closed", place, "opened here", f"close it with `{found}`")
    if found in keyword.kwlist or found in STATEMENT_WORDS:
        return Diagnostic(Code.E0203, f"`{found}` is a keyword", place, label, f"write `{found}_`")
    if "OPERATOR" in expected and re.match(r"[\w(\"']", found):
        return Diagnostic(Code.E0105, f"an operator is missing before `{found}`", place, label, "a product is written `a * b`")
    return Diagnostic(Code.E0105, f"unexpected `{found}`", place, label, help)


def _misspelt(text: str, at: int, source: Source, base: int) -> Diagnostic | None:
    """A line that begins with nearly a word of the language and another word."""
    start = text.rfind("\n", 0, at) + 1
    match = re.compile(r"[ \t]*([^\W\d]\w*)[ \t]+$").match(text, start, at)
    words = ("return",) if start else (*STATEMENT_WORDS, "from", "def")
    close = nearest(match[1], words) if match else None
    if match is None or close is None or not re.match(r"\w", text[at : at + 1]):
        return None
    place = Span(source, base + match.start(1), base + match.end(1))
    return Diagnostic(Code.E0105, f"no statement begins with `{match[1]}`", place, "", f"did you mean `{close}`?")


def _unassigned(text: str, before: str, found: str, place: Span) -> Diagnostic | None:
    """What is wrong with a statement that begins as an assignment and is none."""
    if found in ("", "\n", "("):
        line = text.partition("\n")[0].rstrip()
        return Diagnostic(Code.E0105, "a value without a name", replace(place, end=place.start + len(line)), "", f"write `y = {line}`")
    if found == "[":
        return Diagnostic(Code.E0105, "an array is not changed in place", place, "", f"write `y = {before}.at[…].set(…)`")
    return None


def _next_step(text: str, before: str, found: str, expected: frozenset[str]) -> str:
    """What to do about a text that is not of a statement's form."""
    step = next((step for kind, step in _STEPS.items() if kind in expected), "")
    if re.search(r"\bin\b[^:]*$", before) and "COLON" in expected:
        return "a domain has both ends: write `in 0:K`"
    if text.startswith("def ") and found == "*":
        return "leave the `*` out: any parameter may be given by its name"
    first = re.match(r"\w*", text)
    form = _FORMS.get(first[0] if first else "", "")
    if step or form:
        return step or form
    if "=" in before and "NAME" in expected:
        return f"put a value before `{found}`, or delete it" if found.strip() else "put a value behind it"
    return ""
