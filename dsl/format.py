"""``gradc fmt``: one layout for programs. Comments stay, and so does every token; only a long value may get brackets around it.

Where a person has lined up the ``=`` or the declared names of neighbouring lines, they are lined up; the lines of a rule, and comments behind
neighbouring lines, always are. A line that is too long is broken inside its widest bracket, or else before its loosest operators. A statement
with comments inside its brackets keeps its line breaks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from dsl.diagnostics import Source
from dsl.parse import parse
from dsl.scan import scan

WIDTH = 120
_INDENT = 4
_DEEPEST = 20  # levels of brackets that may be broken; what is nested deeper stays on one line

_TOKEN = re.compile(
    r"""(?P<number>(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?) | (?P<word>[^\W\d]\w*) | (?P<string>'[^'\n]*'|"[^"\n]*")
    | (?P<symbol>\.\.\.|->|\*\*|//|[<>=!]=|[^ \t])""",
    re.VERBOSE,
)
_DECLARATION = re.compile(r"(input|param|const|dim|output)\b([ \t]+)")
_TARGETS = re.compile(r"([^\W\d]\w*(?:[ \t]*,[ \t]*[^\W\d]\w*)*(?:[ \t]*,)?)([ \t]*)=(?!=)[ \t]*")
_RULE_LINE = re.compile(r"(d/d\w+|vjp[ \t]+\w+[ \t]*:|\w+)[ \t]*")
_RAW_KEYS = ("numpy", "latex", "doc", "family", "kind", "kink")
# the operators with two operands, loosest first: a long expression is broken before them
_LEVELS = (("if", "else"), ("or",), ("and",), ("<", "<=", ">", ">=", "==", "!="), ("+", "-"), ("*", "/", "//", "%", "@"))
_BINARY = {each for level in _LEVELS for each in level} | {"**", "->", "~"}
_KEYWORDS = {"and", "or", "not", "if", "else", "in", "return", "def", "rule", "from", "import"}


@dataclass(frozen=True, slots=True)
class Token:
    """``depth`` counts the brackets around it, ``space`` tells whether a space stands before it, ``row`` which line it was written on."""

    text: str
    depth: int
    space: bool
    binary: bool
    row: int


@dataclass
class Line:
    """A statement or a line of a block: ``head``, ``join`` and ``tokens`` make its code, the heads of a run being lined up where ``aligned``.
    A comment alone has no tokens. ``gap`` blank lines stand above it, ``comments`` behind it and, by row, inside it."""

    kind: str = ""
    indent: int = 0
    gap: int = 0
    head: str = ""
    join: str = ""
    aligned: bool = False
    tokens: tuple[Token, ...] = ()
    comments: dict[int, str] = field(default_factory=dict)
    column: int = 0
    rows: list[str] = field(default_factory=list)


def format_source(source: Source) -> str:
    """A program in the language's own layout. Raises DslError where it does not parse."""
    parse(source)
    lines = list(_lines(source))
    for run in _runs(lines, _line_up):
        _print(run)
    for run in _runs(lines, lambda above, line: line.gap == 0 and bool(line.tokens) and len(above.rows) == len(line.rows) == 1):
        _add_comments(run)
    return "".join(f"{row}\n" for line in lines for row in [""] * line.gap + line.rows)


def _lines(source: Source) -> Iterator[Line]:
    """The file's statements and comments, in order."""
    scanned = scan(source)
    comments = list(reversed(scanned.comments))
    block, gap, most = "", 0, 0
    for start, end in scanned.lines:
        text = scanned.code[start:end]
        line = Line()
        while comments and comments[-1].span.start < end:
            comment = comments.pop()
            line.column = comment.span.column - 1
            line.comments[source.text.count("\n", start, comment.span.start)] = re.sub(r"^#(?=\w)", "# ", comment.text.rstrip())
        if not text.strip() and not line.comments:
            gap += 1
            continue
        indented = source.text[start] in " \t"
        if text.strip() and not indented:
            block = text.split(None, 1)[0]
        line.indent = _INDENT if indented and block in ("def", "rule") else 0
        line.gap = min(gap, most, 1 if line.indent else 2)
        _fill(line, text, block == "rule" and indented)
        yield line
        gap, most = 0, 0 if line.kind == "block" else 2


def _fill(line: Line, text: str, in_rule: bool) -> None:
    """Say what kind of line it is, cut its head off and the rest into tokens."""
    stripped = text.lstrip()
    if not stripped:
        return
    if in_rule:
        match = _RULE_LINE.match(stripped)
        line.kind, line.join, line.aligned = "rule", " ", True
    elif match := _DECLARATION.match(stripped):
        line.kind, line.join, line.aligned = "declaration", " ", len(match[2]) > 1
    elif match := _TARGETS.match(stripped):
        line.kind, line.join, line.aligned = "assignment", " = ", len(match[2]) > 1
    else:
        line.kind = "block" if re.match(r"(?s)(rule\b|def\b.*:\s*$)", stripped) else "other"
        line.tokens = _tokens(stripped)
        return
    assert match is not None
    head, rest = match[1], stripped[match.end() :]
    line.head = re.sub(r"[ \t]+", " ", head).replace(" :", ":") if in_rule else _flat(_tokens(head))
    line.tokens = (Token(rest.strip(), 0, False, False, 0),) if in_rule and head in _RAW_KEYS else _tokens(rest)


def _tokens(text: str) -> tuple[Token, ...]:
    """The tokens of a line of code."""
    found: list[Token] = []
    opened: list[str] = []
    row, ranged = 0, False
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word == "\n":
            row += 1
            continue
        if word in (")", "]"):
            opened.pop()
        operand = bool(found) and _ends_operand(found[-1])
        binary = word in _BINARY and (operand or word not in ("+", "-"))
        space = bool(found) and _spaced(found[-1], word, operand, opened, ranged)
        found.append(Token(word, len(opened), space, binary, row))
        if word in ("(", "["):
            opened.append(word)
        ranged = ranged or word == "in"
    return tuple(found)


def _ends_operand(token: Token) -> bool:
    return token.text in (")", "]", "...") or (token.text not in _KEYWORDS and re.match(r"[\w'\"]|\.\d", token.text) is not None)


def _spaced(before: Token, word: str, operand: bool, opened: list[str], ranged: bool) -> bool:
    """Whether a space stands between two tokens. ``operand``: the first ends one. ``ranged``: a colon is of a range."""
    if word in (")", "]", ",") or before.text in ("(", "[", ".") or (word == ":" and before.text != ","):
        return False
    if word == ".":
        return before.text[0].isdigit()
    if before.text == ":":
        return not (opened or ranged)
    if "=" in (word, before.text):
        return not opened
    if before.text in ("+", "-") and not before.binary:
        return False
    return word not in ("(", "[") or not operand


def _flat(tokens: Sequence[Token]) -> str:
    return "".join(" " + each.text if each.space and i else each.text for i, each in enumerate(tokens))


def _runs(lines: list[Line], together: Callable[[Line, Line], bool]) -> Iterator[list[Line]]:
    """The lines in runs of neighbours that belong together."""
    start = 0
    for i in range(1, len(lines) + 1):
        if i == len(lines) or not together(lines[i - 1], lines[i]):
            yield lines[start:i]
            start = i


def _line_up(above: Line, line: Line) -> bool:
    return bool(line.head) and (line.kind, line.indent) == (above.kind, above.indent) and (line.gap == 0 or line.kind == "rule")


def _print(run: list[Line]) -> None:
    """The rows of lines whose heads are lined up when one of them was."""
    least = {"declaration": len("output"), "rule": len("domain")}.get(run[0].kind, 0)
    heads = [line.head + " " * line.head.startswith("d/d") for line in run]
    width = max(least, *map(len, heads)) if any(line.aligned for line in run) else 0
    for line in run:
        prefix = " " * line.indent + (line.head.ljust(width) + line.join if line.head else "")
        if not line.tokens:
            line.rows = [prefix + line.comments[0]]
        elif any(row < line.tokens[-1].row for row in line.comments):
            line.rows = _kept(line, prefix)
        else:
            line.rows = _laid_out(line, prefix)


def _add_comments(run: list[Line]) -> None:
    """Comments behind neighbouring lines stand in one column: where the first stood, or further right."""
    behind = [line for line in run if line.tokens and line.tokens[-1].row in line.comments]
    if not behind:
        return
    column = max(behind[0].column if len(run[0].rows) == 1 else 0, *(len(line.rows[-1]) + 2 for line in behind))
    for line in behind:
        line.rows[-1] = line.rows[-1].ljust(column) + line.comments[line.tokens[-1].row]


def _kept(line: Line, prefix: str) -> list[str]:
    """A statement in the rows that it was written in, each indented by the brackets around it."""
    rows: list[str] = []
    depth = 1
    for row in range(line.tokens[-1].row, -1, -1):
        tokens = [each for each in line.tokens if each.row == row]
        comment = line.comments.get(row, "") if row < line.tokens[-1].row else ""
        if tokens:
            depth = tokens[0].depth
        start = prefix if row == 0 else " " * (line.indent + _INDENT * (depth if tokens else max(depth, 1)))
        if tokens or comment:
            rows.append(start + "  ".join(part for part in (_flat(tokens), comment) if part))
    return rows[::-1]


def _laid_out(line: Line, prefix: str) -> list[str]:
    """The rows of a statement: one, or several where it is too long and has brackets, or a value that may get them."""
    tokens = line.tokens
    if len(prefix) + len(_flat(tokens)) <= WIDTH:
        return [prefix + _flat(tokens)]
    start = 0
    if line.kind not in ("assignment", "rule"):
        equals = [i for i, each in enumerate(tokens) if each.text in ("=", "return") and each.depth == 0]
        start = equals[0] + 1 if equals else len(tokens)
    value = tokens[start:]
    group = _widest(tokens)
    if group and (not value or _fills(tokens[group[0] : group[1] + 1], value)):
        return _broken(prefix, tokens, group, line.indent, 0)
    if len(_pieces(value)) > 1:
        head = prefix + _flat(tokens[:start]) + " " * bool(start)
        return [f"{head}(", *_fitted(value, line.indent + _INDENT, 0), " " * line.indent + ")"]
    return [prefix + _flat(tokens)]


def _fills(group: Sequence[Token], whole: Sequence[Token]) -> bool:
    """Whether a bracket is nearly all of what it stands in."""
    return 4 * len(_flat(group)) >= 3 * len(_flat(whole))


def _fitted(tokens: Sequence[Token], indent: int, level: int, inner: bool = False) -> list[str]:
    """The rows of what stands inside brackets. ``inner``: it is itself a piece between operators, so its own pieces are indented more."""
    row = " " * indent + _flat(tokens)
    pieces = _pieces(tokens)
    group = _widest(tokens)
    if len(row) <= WIDTH or level == _DEEPEST or (len(pieces) == 1 and group is None):
        return [row]
    if group and (len(pieces) == 1 or (pieces[0][-1].text != "," and _fills(tokens[group[0] : group[1] + 1], tokens))):
        return _broken(" " * indent, tokens, group, indent, level)
    more = _INDENT if inner else 0
    operators = pieces[0][-1].text != ","
    rows = _fitted(pieces[0], indent, level + 1, operators)
    return rows + [row for piece in pieces[1:] for row in _fitted(piece, indent + more, level + 1, operators)]


def _broken(prefix: str, tokens: Sequence[Token], group: tuple[int, int], indent: int, level: int) -> list[str]:
    """The rows with a bracket's contents on rows of their own."""
    start, end = group
    inside = _fitted(tokens[start + 1 : end], indent + _INDENT, level + 1)
    return [prefix + _flat(tokens[: start + 1]), *inside, " " * indent + _flat(tokens[end:])]


def _widest(tokens: Sequence[Token]) -> tuple[int, int] | None:
    """The first and last index of the widest outermost bracket that is not empty."""
    depth = min((each.depth for each in tokens), default=0)
    ends = [i for i, each in enumerate(tokens) if each.depth == depth and each.text in ("(", "[", ")", "]")]
    groups = [(first, last) for first, last in zip(ends[::2], ends[1::2], strict=True) if last > first + 1]
    return max(groups, key=lambda group: len(_flat(tokens[group[0] : group[1]])), default=None)


def _pieces(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """What stands between the outermost commas, or else between the loosest operators, which begin a piece."""
    depth = min((each.depth for each in tokens), default=0)
    outer = [i for i, each in enumerate(tokens) if each.depth == depth]
    cuts = [i + 1 for i in outer if tokens[i].text == "," and i + 1 < len(tokens)]
    for level in _LEVELS:
        cuts = cuts or [i for i in outer if i > 0 and tokens[i].binary and tokens[i].text in level]
    return [tokens[first:last] for first, last in pairwise([0, *cuts, len(tokens)])]
