"""A document as text for a terminal, as Markdown, and as LaTeX."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from unicodedata import east_asian_width

from dsl.emit.latex import escaped
from dsl.views.document import Block, Display, Heading, Inline, Paragraph, Table

WIDTH = 100


# text ----------------------------------------------------------------------------------------------------------------


def text(blocks: Iterable[Block]) -> str:
    """For a terminal: formulas as NumPy."""
    lines: list[str] = []
    for each in blocks:
        if isinstance(each, Heading):
            shown = _plain(each.words)
            lines += ["", shown, *(["=-"[each.level - 1] * _width(shown)] if each.level < 3 else []), *([""] if each.level < 3 else [])]
        elif isinstance(each, Display):
            after = f"    ({each.after})" if each.after else ""
            parts = [each.plain] if len(each.plain) < WIDTH else [f"{sign:2}{part.plain}" if sign else part.plain for sign, part in each.parts]
            lines += [f"{'      ' if i else '  '}{part}{after if i == len(parts) - 1 else ''}" for i, part in enumerate(parts)]
        elif isinstance(each, Paragraph):
            lead = f"    {each.label.lower()}: " if each.label else "    " if each.step else ""
            lines += textwrap.wrap(lead + _plain(each.words), WIDTH, subsequent_indent=" " * len(lead), break_long_words=False, break_on_hyphens=False)
        elif isinstance(each, Table):
            rows = [[_plain(cell) for cell in row] for row in each.rows]
            widths = [max((_width(row[i]) for row in rows), default=0) for i in range(len(each.head))]
            lines += ["", *("  " + "  ".join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows), ""]
        else:
            lines += ["", *("  " + line if line else "" for line in each.lines), ""] if each.step is None else [f"    code: {line}" for line in each.lines]
    return _squeezed(lines)


def _plain(words: Sequence[Inline]) -> str:
    return "".join(each if isinstance(each, str) else each.plain for each in words)


def _width(text: str) -> int:
    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _squeezed(lines: Iterable[str]) -> str:
    """The lines with no two empty ones together."""
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip("\n") + "\n"


# Markdown ------------------------------------------------------------------------------------------------------------


def markdown(blocks: Iterable[Block]) -> str:
    """With formulas between dollar signs, as GitHub and notebooks show them."""
    lines: list[str] = []
    for each in blocks:
        if isinstance(each, Heading):
            lines += ["#" * each.level + " " + _marked(each.words), ""]
        elif isinstance(each, Display):
            lines += ["$$", each.latex + (rf" \qquad \text{{{escaped(each.after)}}}" if each.after else ""), "$$", ""]
        elif isinstance(each, Paragraph):
            lines += [f"- *{each.label}:* {_marked(each.words)}" if each.label else _marked(each.words), ""]
        elif isinstance(each, Table):
            lines += [f"| {' | '.join(each.head)} |", f"|{' --- |' * len(each.head)}"]
            lines += [f"| {' | '.join(_marked(cell).replace('|', chr(92) + 'vert ') for cell in row)} |" for row in each.rows]
            lines.append("")
        else:
            lines += [f"```{each.language}", *each.lines, "```", ""]
    return _squeezed(lines)


def _marked(words: Sequence[Inline]) -> str:
    return "".join(_unmarked(each) if isinstance(each, str) else f"${each.latex}$" for each in words)


def _unmarked(text: str) -> str:
    """Words as Markdown shows them."""
    return "".join(f"\\{sign}" if sign in "\\`*_#|<>[]$" else sign for sign in text)


# LaTeX ---------------------------------------------------------------------------------------------------------------

_HEAD = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage{amsmath,amssymb}
\usepackage[margin=2.5cm]{geometry}
\setlength{\parindent}{0pt}
\setlength{\parskip}{4pt}
\allowdisplaybreaks
\begin{document}
"""
_UNICODE = {
    **{"×": r"\ensuremath{\times}", "·": r"\ensuremath{\cdot}", "∂": r"\ensuremath{\partial}", "→": r"\ensuremath{\to}"},
    **{"²": r"\ensuremath{^2}", "−": "-", "–": "--"},
    **{"ᵀ": r"\ensuremath{^\top}", "≥": r"\ensuremath{\ge}", "≤": r"\ensuremath{\le}", "°": r"\textdegree{}", "’": "'", "“": "``", "”": "''", "…": r"\dots{}"},
}
_WORDS = ["section*", "subsection*", "subsubsection*"]


def latex_document(blocks: Iterable[Block]) -> str:
    """An article that pdflatex compiles."""
    lines: list[str] = []
    for each in blocks:
        if isinstance(each, Heading):
            lines += ["", rf"\{_WORDS[each.level - 1]}{{{_typeset(each.words)}}}"]
        elif isinstance(each, Display):
            (_, left), *right = each.parts
            rows = [f"{left.latex} & {right[0][0]} {right[0][1].latex}" if right else f"&{left.latex}", *(f"& {sign} {part.latex}" for sign, part in right[1:])]
            after = rf" \qquad \text{{{_shown(each.after)}}}" if each.after else ""
            lines += [r"\begin{align*}", " \\\\\n".join(rows) + after, r"\end{align*}"]
        elif isinstance(each, Paragraph):
            lines += [(rf"\textit{{{each.label}:}} " if each.label else "") + _typeset(each.words), ""]
        elif isinstance(each, Table):
            rows = [" & ".join(map(_typeset, row)) + r" \\" for row in each.rows]
            lines += ["", rf"\begin{{tabular}}{{{'l' * len(each.head)}}}", *rows, r"\end{tabular}", ""]
        else:
            shown = (line.encode("ascii", "replace").decode() if not line.isascii() else line for line in each.lines)
            lines += [r"{\footnotesize\begin{verbatim}", *shown, r"\end{verbatim}}"]
    return _HEAD + _squeezed(lines) + "\\end{document}\n"


def _typeset(words: Sequence[Inline]) -> str:
    return "".join(_shown(each) if isinstance(each, str) else f"${each.latex}$" for each in words)


def _shown(text: str) -> str:
    return "".join(_UNICODE.get(sign, sign) if not sign.isascii() else escaped(sign) for sign in text)


__all__ = ["latex_document", "markdown", "text"]
