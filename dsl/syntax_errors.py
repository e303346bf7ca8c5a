"""What a wrong statement was meant to be: habits from Python, names that may not be used, and the parser's complaints in plain words."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from typing import Any

from dsl import syntax
from dsl.diagnostics import Code, Diagnostic, Source, Span

STATEMENT_WORDS = ("input", "param", "const", "dim", "output", "rule")
GENERATED_NAMES = ("np", "tape", "Tape", "Gradients", "Outputs", "NamedTuple", "forward", "backward", "value", "value_and_grad")

_HABITS = (
    (re.compile(r"\b(?:np|numpy|jnp|torch|math)\.(?:(?:linalg|special|nn)\.)?(\w+)"), "functions have no prefix", r"\1"),
    (re.compile(r"^(\w+)[ \t]*([-+*/@%]|//|\*\*)=[ \t]*(.*)$", re.M), "a name is assigned once", r"\1_next = \1 \2 (\3)"),
    (re.compile(r"\\[ \t]*$", re.M), "a line goes on inside brackets, not behind a backslash", "( … )"),
    (re.compile(r"(\w+[\])]*)[ \t]*\^[ \t]*(\w+)"), "a power is written `**`", r"\1 ** \2"),
    (re.compile(r"(\w+[\])]*)[ \t]*&&?[ \t]*(\w+)"), "conditions are joined by `and`", r"\1 and \2"),
    (re.compile(r"(\w+[\])]*)[ \t]*\|\|?[ \t]*(\w+)"), "conditions are joined by `or`", r"\1 or \2"),
    (re.compile(r"~[ \t]*(\w+)(?![^\n]*\d_)"), "a condition is negated by `not`", r"not \1"),
    (re.compile(r"(\w+)[ \t]*:=[ \t]*"), "a name is assigned in a statement of its own", r"\1 = …"),
    (re.compile(r";[ \t]*"), "a newline ends a statement", "two lines"),
    (re.compile(r"\blambda\b[^\n]*"), "functions have names", "def f(x) = …"),
    (re.compile(r"^import\b[^\n]*", re.M), "nothing needs to be imported: NumPy's functions are in scope", "tanh(x)"),
    (re.compile(r"^(?:for|while)\b[^\n]*", re.M), "loops are functions of the language", "fold(step, h0, X)"),
    (re.compile(r"^if\b[^\n]*", re.M), "a choice is an expression", "a if c else b"),
)


def habits(source: Source, code: str, start: int, end: int) -> list[Diagnostic]:
    """What is Python's or NumPy's spelling in a statement, each with the line as we write it."""
    text = code[start:end]
    if re.match(r"rule\b|dim\b", text):
        return []
    bare = re.sub(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"", lambda match: " " * len(match[0]), text)
    for pattern, why, written in _HABITS:
        match = pattern.search(bare)
        if match:
            place = Span(source, start + match.start(), start + max(match.end(), match.start() + 1))
            return [Diagnostic(Code.E0108, why, place, "", f"write `{match.expand(written)}`")]
    return []


def _targets(statement: syntax.Statement) -> Iterator[syntax.Name]:
    if isinstance(statement, (syntax.Declare, syntax.DimDeclare)):
        yield from statement.names
    elif isinstance(statement, syntax.ConstDeclare):
        yield statement.name
    elif isinstance(statement, syntax.Assign):
        yield from statement.targets
    elif isinstance(statement, (syntax.Def, syntax.Rule)):
        yield statement.name
        stack: list[Any] = [param.target for param in reversed(statement.params)]
        while stack:
            each = stack.pop()
            if isinstance(each, syntax.Name):
                yield each
            else:
                stack += reversed(each)
        if isinstance(statement, syntax.Def):
            for inner in statement.body:
                yield from inner.targets
        else:
            yield statement.out


def check_names(statement: syntax.Statement) -> list[Diagnostic]:
    """The names that a statement makes and may not."""
    return [found for name in _targets(statement) if (found := check_name(name)) is not None]


def check_name(name: syntax.Name) -> Diagnostic | None:
    """Why a name may not be made, or None."""
    if name.id.startswith("_"):
        return Diagnostic(Code.E0203, f"`{name.id}` begins with an underscore", name.span, "reserved for generated names", f"write `{name.id.strip('_') or 'x'}`")
    if keyword.iskeyword(name.id):
        return Diagnostic(Code.E0203, f"`{name.id}` is a keyword of Python", name.span, "", f"write `{name.id}_`")
    if name.id in STATEMENT_WORDS:
        return Diagnostic(Code.E0203, f"`{name.id}` is a word of the language", name.span, "", f"write `{name.id}_`")
    if name.id in GENERATED_NAMES:
        return Diagnostic(Code.E0203, f"`{name.id}` is a name of every generated module", name.span, "", f"write `{name.id}_`")
    return None


_KINDS = {"NAME": "a name", "NUMBER": "a number", "STRING": "a string", "EQUAL": "`=`", "_NL": "a new line", "$END": "the end", "RPAR": "`)`", "RSQB": "`]`"}


def explain(failure: Any, source: Source, start: int, end: int) -> Diagnostic:
    """A failure of the parser in plain words."""
    offset = getattr(failure, "pos_in_stream", None)
    token = getattr(failure, "token", None)
    at = end if offset is None or (token is not None and token.type == "$END") else min(start + offset, end)
    if token is not None and token.type in ("_NL", "_INDENT", "_DEDENT"):
        at = min(start + (token.start_pos or 0), end)
    found = source.text[at : at + 1]
    width = len(token) if token is not None and token.type not in ("$END", "_NL", "_INDENT", "_DEDENT") else 1
    expected = sorted(set(getattr(failure, "accepts", None) or getattr(failure, "expected", None) or getattr(failure, "allowed", None) or ()))
    shown = [_KINDS[each] for each in expected if each in _KINDS]
    label = "expected " + " or ".join(shown[:4]) if shown else ""
    text = source.text[at : at + width].strip()
    word = source.text[start:at].strip()
    if word in STATEMENT_WORDS and text.startswith("="):
        place = Span(source, start, start + len(word))
        return Diagnostic(Code.E0203, f"`{word}` is a word of the language", place, "", f"write `{word}_`")
    if text in keyword.kwlist:
        return Diagnostic(Code.E0203, f"`{text}` is a keyword", Span(source, at, at + width), label, "use another name")
    if found in ("", "\n"):
        return Diagnostic(Code.E0105, "the statement ends too early", Span(source, max(start, at - 1), at), label or "something is missing behind this", "finish it")
    if text in ('"', "'"):
        return Diagnostic(Code.E0106, "a string is never closed", Span(source, at, at + 1), "opened here", f"close it with {text}")
    return Diagnostic(Code.E0105, f"unexpected `{text or found}`", Span(source, at, at + width), label, "see the language reference for the form of a statement")
