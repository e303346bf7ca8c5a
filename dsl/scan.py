"""What is found before any parsing: encoding, brackets, comments, indentation, and where each top-level statement begins and ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dsl.diagnostics import Code, Diagnostic, Source, Span, error
from dsl.syntax import Comment

_RAW_LINE = r"^[ \t]+(?P<key>numpy|latex|doc|family|kind|kink)[ \t]+(?!=)[^\n]*"
_TOKEN = re.compile(rf"(?m)\\[ \t]*\n|{_RAW_LINE}|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|#[^\n]*|[()\[\]{{}}]|\n")
_BLOCK = re.compile(r"(?:def|rule)\b")
# a block of Python's within a function, which is told as such by its first line
_FOREIGN = re.compile(r"[ \t]+(?:def|for|while|if|elif|else|with)\b[^\n]*:[ \t]*$")
_OPENS = {"(": ")", "[": "]", "{": "}"}
# controls, other languages' line ends, lone surrogates, and what reorders text on a screen so that it reads as something else
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


@dataclass(frozen=True)
class Scan:
    """``code`` is the text with its comments blanked, so that every offset stays. ``lines`` are the bounds of its lines, where a newline inside
    brackets ends none; ``chunks`` those of the sound statements, each with the indented lines under it."""

    code: str
    lines: tuple[tuple[int, int], ...]
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
        found = f"byte {data[problem.start]:#04x} in line {line}"
        raise error(Code.E0102, f"{name} is not valid UTF-8: {found}", help="save the file as UTF-8") from None
    return Source(name, text.replace("\r\n", "\n").replace("\r", "\n"))


def scan(source: Source) -> Scan:
    """Cut a text into its statements. Brackets that do not match are among the problems, each where it stands. Raises DslError."""
    text = source.text
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        place = Span(source, forbidden.start(), forbidden.end())
        raise error(Code.E0103, f"a control character, U+{ord(forbidden[0]):04X}", place, "not text", "delete it")
    problems: list[Diagnostic] = []
    comments: list[Comment] = []
    opened: list[int] = []
    breaks: list[int] = []
    code: list[str] = []
    last = 0
    for at, token in _tokens(text, opened):
        if token == "\n" and not opened:
            breaks.append(at)
        elif token[0] == "#":
            own = not text[text.rfind("\n", 0, at) + 1 : at].strip()
            comments.append(Comment(Span(source, at, at + len(token)), token, own))
            code += [text[last:at], " " * len(token)]
            last = at + len(token)
        elif token in _OPENS:
            opened.append(at)
        elif token in ")]}":
            problems += _closed(source, at, opened)
    code.append(text[last:])
    problems += [_never_closed(source, at) for at in opened[:1]]
    end = opened[0] if opened else len(text)
    blank = "".join(code)
    breaks = [at for at in breaks if at < end]
    lines = tuple(zip([0, *(at + 1 for at in breaks)], [*breaks, len(text)], strict=True))
    chunks, wrong = _chunks(source, blank, lines)
    problems += wrong
    broken = [each.span.start for each in problems if each.span]
    sound = tuple((start, stop) for start, stop in chunks if not any(start <= at < stop for at in broken))
    return Scan(blank, lines, sound, tuple(comments), _docstring(text), tuple(problems))


def _tokens(text: str, opened: list[int]) -> Iterator[tuple[int, str]]:
    """Comments, brackets and newlines with their places. A rule's line of free text is skipped, but not inside ``opened`` brackets."""
    at = 0
    while match := _TOKEN.search(text, at):
        at = match.end()
        if match["key"] is None:
            yield match.start(), match[0]
        elif opened:
            at = match.end("key")


def _closed(source: Source, at: int, opened: list[int]) -> list[Diagnostic]:
    """What is wrong with a closing bracket, which leaves ``opened`` without the brackets that it ends."""
    found = source.text[at]
    if not opened:
        return [Diagnostic(Code.E0105, f"`{found}` closes no bracket", Span(source, at, at + 1), "nothing is open here", "delete it")]
    inner = opened.pop()
    if _OPENS[source.text[inner]] == found:
        return []
    if opened and _OPENS[source.text[opened[-1]]] == found:
        opened.pop()
    return [_never_closed(source, inner)]


def _never_closed(source: Source, at: int) -> Diagnostic:
    bracket = source.text[at]
    return Diagnostic(Code.E0106, f"`{bracket}` is never closed", Span(source, at, at + 1), "opened here", f"close it with `{_OPENS[bracket]}`")


def _chunks(source: Source, code: str, lines: tuple[tuple[int, int], ...]) -> tuple[list[tuple[int, int]], list[Diagnostic]]:
    """The bounds of each statement with the indented lines under it; lines that are indented wrongly are problems."""
    chunks: list[tuple[int, int]] = []
    problems: list[Diagnostic] = []
    margin = ""
    foreign = False
    for start, stop in lines:
        line = code[start:stop]
        stripped = line.lstrip(" \t")
        if not stripped.strip():
            continue
        indent = line[: len(line) - len(stripped)]
        if not indent:
            chunks.append((start, stop))
            margin = ""
            continue
        inside = bool(chunks) and _BLOCK.match(code, chunks[-1][0]) is not None
        margin = margin or indent
        foreign = bool(_FOREIGN.match(line)) or (foreign and len(indent) > len(margin))
        why, help = _indentation(indent, margin, inside)
        if why and not (foreign and inside):
            problems.append(Diagnostic(Code.E0107, why, Span(source, start, start + len(indent)), "", help))
        if inside:
            chunks[-1] = (chunks[-1][0], stop)
    return chunks, problems


def _indentation(indent: str, margin: str, inside: bool) -> tuple[str, str]:
    """What is wrong with a line's indentation, and what to do; empty where nothing is."""
    if "\t" in indent:
        return "a tab in the indentation", "indent with four spaces"
    if not inside:
        return "an indented line that belongs to no `def` or `rule`", "begin the line at its left edge"
    if indent != margin:
        return f"a line indented by {len(indent)}, under lines indented by {len(margin)}", f"indent it by {len(margin)} spaces too"
    return "", ""


def _docstring(text: str) -> str:
    """The first block of comments, when it comes before any statement."""
    lines: list[str] = []
    for line in text.split("\n"):
        if line.lstrip().startswith("#"):
            lines.append(line.lstrip()[1:].removeprefix(" ").rstrip())
        elif lines or line.strip():
            break
    return "\n".join(lines).strip()
