"""Text as HTML with the steps marked in it: nested spans over a source, whole lines of a module."""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from collections.abc import Iterable, Mapping
from html import escape

from dsl.diagnostics import Source
from dsl.views.steps import Composition

Spans = Mapping[tuple[int, int], Iterable[int]]


def places(composition: Composition, source: Source) -> dict[tuple[int, int], tuple[int, ...]]:
    """Where the steps stand in a file, the calls of functions with all that these do."""
    found: dict[tuple[int, int], dict[int, None]] = {}
    for step in composition.steps:
        for span in (*step.spans, *(call.span for call in step.calls)):
            if span.source.name == source.name:
                found.setdefault((span.start, span.end), {})[step.number] = None
    return {place: tuple(sorted(steps)) for place, steps in found.items()}


def marked(text: str, spans: Spans) -> str:
    """A text in which each span is an element with its steps; comments are marked as such."""
    opening: dict[int, list[tuple[int, str]]] = {}
    for (start, end), steps in spans.items():
        opening.setdefault(start, []).append((end, step_attributes(steps)))
    for match in re.finditer(r"#[^\n]*", text):
        if not any(start < match.start() < end for start, end in spans):
            opening.setdefault(match.start(), []).append((match.end(), 'class="comment"'))
    out: list[str] = []
    ends: list[int] = []
    for i in range(len(text) + 1):
        while ends and ends[-1] <= i:
            ends.pop()
            out.append("</span>")
        for end, attributes in sorted(opening.get(i, []), key=lambda each: -each[0]):
            if not ends or end <= ends[-1]:
                out.append(f"<span {attributes}>")
                ends.append(end)
        out.append(escape(text[i : i + 1], quote=False))
    return "".join(out)


def step_attributes(steps: Iterable[int]) -> str:
    """What makes an element a place of some steps: it can be reached by keyboard."""
    return f'class="step" data-step="{" ".join(map(str, steps))}" tabindex="0"'


def python(lines: list[str], steps: Mapping[int, Iterable[int]], first: int = 1) -> str:
    """Lines of Python, each an element with its steps; ``first`` is the number of the first."""
    painted = _painted(lines)
    return "".join(
        f"<span {step_attributes(steps[number])}>{line}</span>\n" if number in steps else f"{line}\n" for number, line in enumerate(painted, first)
    )


def _painted(lines: list[str]) -> list[str]:
    """Lines as HTML, with keywords, comments, numbers and strings in classes."""
    found = [""] * len(lines)
    column = [0] * len(lines)

    def add(row: int, start: int, end: int, kind: str) -> None:
        line = lines[row]
        found[row] += escape(line[column[row] : start], quote=False) + f'<i class="{kind}">{escape(line[start:end], quote=False)}</i>'
        column[row] = end

    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
        kind = {tokenize.COMMENT: "comment", tokenize.NUMBER: "number", tokenize.STRING: "string"}.get(token.type, "")
        if token.type == tokenize.NAME and keyword.iskeyword(token.string):
            kind = "keyword"
        if kind:
            (top, left), (bottom, right) = token.start, token.end
            for row in range(top - 1, bottom):
                add(row, left if row == top - 1 else 0, right if row == bottom - 1 else len(lines[row]), kind)
    return [done + escape(line[at:], quote=False) for done, line, at in zip(found, lines, column, strict=True)]


__all__ = ["marked", "places", "python", "step_attributes"]
