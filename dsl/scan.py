"""What is found before any parsing: encoding, brackets, comments, indentation, and where each top-level statement begins and ends."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dsl.diagnostics import Code, Diagnostic, Source, Span, error
from dsl.syntax import Comment

_RAW_LINE = r"^[ \t]+(?:numpy|latex|doc|family|kind|kink)[ \t]+(?!=)[^\n]*"
_TOKEN = re.compile(rf"(?m){_RAW_LINE}|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|#[^\n]*|[()\[\]{{}}]|\n")
_CLOSES = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True)
class Scan:
    """``code`` is the text with its comments blanked, so that every offset stays; ``chunks`` are the statements' bounds."""

    code: str
    chunks: tuple[tuple[int, int], ...]
    comments: tuple[Comment, ...]
    docstring: str
    problems: tuple[Diagnostic, ...]


def read_source(data: bytes, name: str) -> Source:
    """Bytes of a file as a source: a byte-order mark is dropped, line ends become newlines. Raises DslError."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data[: problem.start].count(b"\n") + 1
        raise error(
            Code.E0102, f"{name} is not valid UTF-8: byte {data[problem.start]:#04x} in line {line}", help="save the file as UTF-8"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    source = Source(name, text)
    for at, character in enumerate(text):
        if (character < " " and character not in "\n\t\f") or character in "\x7f\u2028\u2029\x85":
            raise error(Code.E0103, f"a control character, U+{ord(character):04X}", Span(source, at, at + 1), "not text", "delete it")
    return source


def scan(source: Source) -> Scan:
    """Cut a text into its statements. Brackets that do not match are among the problems, each where it stands."""
    text = source.text
    problems: list[Diagnostic] = []
    comments: list[Comment] = []
    opened: list[int] = []
    breaks: list[int] = []
    code: list[str] = []
    last = 0
    for match in _TOKEN.finditer(text):
        token, at = match[0], match.start()
        if token == "\n":
            if not opened:
                breaks.append(at)
        elif token[0] == "#":
            own = not text[text.rfind("\n", 0, at) + 1 : at].strip()
            comments.append(Comment(Span(source, at, match.end()), token, own))
            code += [text[last:at], " " * len(token)]
            last = match.end()
        elif token in "([{":
            opened.append(at)
        elif token in ")]}":
            if not opened:
                problems.append(Diagnostic(Code.E0105, f"`{token}` closes no bracket", Span(source, at, at + 1), "nothing is open here", "delete it"))
            elif text[opened[-1]] != _CLOSES[token]:
                wrong = opened.pop()
                if opened and text[opened[-1]] == _CLOSES[token]:
                    opened.pop()
                problems.append(_never_closed(source, wrong))
            else:
                opened.pop()
    code.append(text[last:])
    for at in opened[:1]:
        problems.append(_never_closed(source, at))
    if opened:
        breaks = [at for at in breaks if at < opened[0]]
    blank = "".join(code)
    chunks, wrong = _chunks(source, blank, breaks, opened[0] if opened else len(text))
    return Scan(blank, chunks, tuple(comments), _docstring(text), tuple(problems + wrong))


def _never_closed(source: Source, at: int) -> Diagnostic:
    closing = {"(": ")", "[": "]", "{": "}"}[source.text[at]]
    return Diagnostic(Code.E0106, f"`{source.text[at]}` is never closed", Span(source, at, at + 1), "opened here", f"close it with `{closing}`")


def _chunks(source: Source, code: str, breaks: list[int], end: int) -> tuple[tuple[tuple[int, int], ...], list[Diagnostic]]:
    """The bounds of each statement with the indented lines under it; lines that are indented wrongly are problems."""
    chunks: list[tuple[int, int]] = []
    problems: list[Diagnostic] = []
    starts = [0, *(at + 1 for at in breaks)]
    ends = [*breaks, len(code)]
    for start, stop in zip(starts, ends, strict=True):
        line = code[start:stop]
        stripped = line.lstrip(" \t\f")
        if not stripped.strip() or start > end or (stop > end and end < len(code)):
            continue
        indent = line[: len(line) - len(stripped)]
        place = Span(source, start, start + max(1, len(indent)))
        if "\t" in indent:
            problems.append(Diagnostic(Code.E0107, "a tab in the indentation", place, "", "indent with four spaces"))
        elif not indent:
            chunks.append((start, stop))
        elif chunks and re.match(r"(def|rule)\b", code[chunks[-1][0] : chunks[-1][1]]):
            chunks[-1] = (chunks[-1][0], stop)
        else:
            problems.append(Diagnostic(Code.E0107, "an indented line that belongs to no `def` or `rule`", place, "", "begin the line at its left edge"))
    return tuple(chunks), problems


def _docstring(text: str) -> str:
    """The first block of comments, when it comes before any statement."""
    lines: list[str] = []
    for line in text.split("\n"):
        if line.startswith("#"):
            lines.append(line[1:].removeprefix(" ").rstrip())
        elif lines or line.strip():
            break
    return "\n".join(lines).strip()
