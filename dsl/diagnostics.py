"""What a person is told: places in the source, codes, and one rendered form for all of them."""

from __future__ import annotations

import difflib
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import accumulate
from pathlib import PurePath


@dataclass(frozen=True)
class Source:
    """A text and the name it is reported under; ``ours`` is no user's."""

    name: str
    text: str
    ours: bool = False

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The text's lines, without their newlines."""
        return tuple(self.text.split("\n"))

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        return (0, *accumulate(len(line) + 1 for line in self.lines))

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of a character offset, both counted from 1."""
        line = bisect_right(self._starts, offset, hi=len(self.lines))
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line counted from 1, without its newline."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


@dataclass(frozen=True)
class Span:
    """The characters ``start:end`` of a source."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.start)[1]

    @property
    def stop(self) -> tuple[int, int]:
        """Line and column of the first character behind it."""
        return self.source.position(self.end)

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]


class Code(Enum):
    """Every kind of message: its code is the member's name. ``example`` is a program that gets it, or the command that does; ``step`` is what
    to do where a message has nothing closer to say."""

    E0101 = ("the file cannot be read", "$ gradc compile missing.expr", "check the name and its permissions")
    E0102 = ("the text is not valid UTF-8", "$ gradc compile latin.expr", "save the file as UTF-8")
    E0103 = ("the text holds a character that no program may hold", "y = x\x00", "delete it")
    E0104 = ("the program is empty", "# no line of code", "write a line such as `L = sum(x ** 2)`")
    E0105 = ("unexpected text", "y = x +", "a statement is `NAME = EXPR`")
    E0106 = ("a bracket is never closed", "y = sum((x)", "close it")
    E0107 = ("wrong indentation", "  y = x", "begin the line at its left edge")
    E0108 = ("this is Python's or NumPy's spelling, not the language's", "y = np.tanh(x)", "see the language reference")
    E0109 = ("a number is out of range", "y = 1e999 * x", "write a smaller number")
    E0201 = ("unknown name", "y = tahn(x)", "check its spelling, or declare it")
    E0202 = ("a name is assigned twice", "y = x\ny = 2 * x", "use a new name")
    E0203 = ("a name may not be used", "class = x", "use another name")
    E0204 = ("wrong arguments", "y = maximum(x)", "`gradc ops NAME` shows what a function takes")
    E0205 = ("a definition calls itself", "def f(x) = f(x)\ny = f(x)", "write a loop: `h = fold(step, h0, X)`")
    E0206 = ("an import cannot be followed", "from missing import f", "an import names a file beside this one, without .expr")
    E0207 = ("a name is used before it is made", "y = z\nz = x", "move its line up")
    E0301 = ("shapes do not broadcast", "input x: [N]\ninput y: [D]\nz = x + y", "align the axes with `[:, None]` or `.T`")
    E0302 = ("wrong rank", "input x: [N]\ny = x[0, 0]", "declare as many axes as are used")
    E0303 = ("an axis is out of range", "input x: [N]\ny = sum(x, axis=1)", "count axes from 0, or from -1 backwards")
    E0304 = ("inner dimensions differ", "input X: [N, D]\nY = X @ X", "transpose one of them with `.T`")
    E0305 = ("a shape does not fit", "input x: [N]\ny = reshape(x, 3)", "compare the two shapes, dimension by dimension")
    E0306 = ("the rank is not known", "y = cumsum(x, axis=0) + mean(x[0])", "declare it: `input x: [N, D]`")
    E0307 = ("wrong kind of number", "input x: [N]\ny = x[x]", "declare the kind: `input i: int[N]`")
    E0308 = ("an index is out of range", "input x: [3]\ny = x[3]", "count from 0, or from -1 backwards")
    E0309 = ("a constant cannot be computed", "y = 1 / 0 + x", "write a number, or an expression of numbers")
    E0401 = ("there is no derivative", "rule f(x) -> out\n    value  x\ny = f(x)", "put it inside `stop_gradient(…)`")
    E0402 = ("nothing to differentiate", "input n: int[N]\ny = sum(n)", "name a float with `output`")
    E0403 = ("a derivative rule is wrong", "rule f(x) -> out\n    value  x\n    d/dy   1\ny = sum(x)", "correct the rule")
    E0501 = ("a file cannot be written", "$ gradc compile loss.expr -o /dev/null/modules", "choose another folder with -o")
    E0502 = ("the target was not generated by gradc", "$ gradc compile edited.expr", "move it, or overwrite it with --force")
    E0503 = ("a diagram cannot be drawn", "$ gradc graph wide.expr --elements --dims N=1000", "leave --elements out")
    E0601 = ("a gradient cannot be checked", "$ gradc check int.expr", "check another output, with other --dims")
    E0901 = ("the compiler failed", "", "this is a bug in gradc: please report it, with the program")
    W0101 = ("a gradient is zero", "param x: [N]\nparam z: [N]\ny = sum(x * floor(z))", "leave it out, or use it")
    W0102 = ("a name is never used", "input x: [N]\ninput z: [N]\ny = sum(x)", "leave it out, or use it")
    N0101 = ("nothing to compile", "def f(x) = x", "import it in another file")

    def __init__(self, title: str, example: str, step: str) -> None:
        self.title, self.example, self.step = title, example, step


@dataclass(frozen=True)
class Diagnostic:
    """One message: what is wrong, where, what was found there, and one next step."""

    code: Code
    message: str
    span: Span | None = None
    label: str = ""
    help: str = ""

    @property
    def severity(self) -> str:
        return {"E": "error", "W": "warning", "N": "note"}[self.code.name[0]]

    @property
    def next_step(self) -> str:
        return self.help or self.code.step

    def record(self, file: str = "") -> dict[str, str | int | None]:
        """What ``--format json`` prints; ``file`` is named where there is no span, and the places are None then."""
        line, column = self.span.source.position(self.span.start) if self.span else (None, None)
        end_line, end_column = self.span.stop if self.span else (None, None)
        place = {"file": self.span.source.name if self.span else file, "line": line, "column": column, "end_line": end_line, "end_column": end_column}
        return {"code": self.code.name, "severity": self.severity, **place, "message": self.message, "label": self.label, "help": self.next_step}


class DslError(Exception):
    """A user's mistake, or several: carries every diagnostic that was found."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("\n\n".join(render(each) for each in diagnostics))
        self.diagnostics = diagnostics

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the messages, and no traceback, for the mistake is in the program."""
        return str(self).splitlines()


class InternalError(Exception):
    """A mistake of the compiler's own. ``span`` is the place in the program that it was at, where that is known."""

    def __init__(self, message: str, span: Span | None = None) -> None:
        super().__init__(message)
        self.span = span

    @property
    def diagnostic(self) -> Diagnostic:
        """What a person is told of it."""
        return Diagnostic(Code.E0901, f"the compiler failed: {self}", self.span)


def failed(problem: Exception) -> Diagnostic:
    """What a person is told of an exception that nobody foresaw."""
    if isinstance(problem, InternalError):
        return problem.diagnostic
    where = problem.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f" ({PurePath(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno})" if where else ""
    return InternalError(f"{type(problem).__name__}: {problem}{place}").diagnostic


def error(code: Code, message: str, span: Span | None = None, label: str = "", help: str = "") -> DslError:
    """A ``DslError`` of one diagnostic."""
    return DslError(Diagnostic(code, message, span, label, help))


def counted(number: int, what: str, several: str = "") -> str:
    """``1 argument``, ``2 arguments``."""
    return f"{number} {what if number == 1 else several or what + 's'}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like a misspelt one, if any is like it."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


LONGEST = 160


def render(diagnostic: Diagnostic, file: str = "") -> str:
    """A diagnostic as plain text: title, place, the source line with carets, help. ``file`` is named where there is no place."""
    lines = [f"{diagnostic.severity}[{diagnostic.code.name}]: {printable(diagnostic.message)}"]
    span = diagnostic.span
    gutter = " "
    if span is not None:
        line, column = span.source.position(span.start)
        text = span.source.line(line)
        marked = text[column - 1 : column - 1 + max(1, span.end - span.start)]
        before, marked, after = _window(text[: column - 1], marked, text[column - 1 + len(marked) :])
        gutter = " " * len(str(line))
        carets = "^" * max(1, _width(marked))
        lines += [
            f"{gutter} --> {printable(span.source.name)}:{line}:{column}",
            f"{gutter} |",
            f"{line} | {printable(before + marked + after)}".rstrip(),
            f"{gutter} | {' ' * _width(before)}{carets} {printable(diagnostic.label)}".rstrip(),
        ]
    elif file:
        lines.append(f"{gutter} --> {printable(file)}")
    lines.append(f"{gutter} = help: {printable(diagnostic.next_step)}")
    return "\n".join(lines)


def _window(before: str, marked: str, after: str) -> tuple[str, str, str]:
    """The part of a long line that is worth showing: what is marked, and something on both sides."""
    if len(before) + len(marked) + len(after) <= LONGEST:
        return before, marked, after
    if len(before) > LONGEST // 4:
        before = "…" + before[-LONGEST // 4 :]
    if len(marked) > LONGEST // 2:
        return before, marked[: LONGEST // 2], "…"
    room = LONGEST - len(before) - len(marked)
    return before, marked, after if len(after) <= room else after[:room] + "…"


def printable(text: str) -> str:
    """A text on one line and without characters that a terminal would obey."""
    return "".join(" " if char == "\t" else char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    wide = {"W": 2, "F": 2}
    return sum(0 if unicodedata.combining(char) else wide.get(unicodedata.east_asian_width(char), 1) for char in text)
