"""Text to syntax tree. The only importer of lark.

A file is cut into its top-level statements first and each is parsed by itself: an error in one does not hide the errors of the next.
"""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsl import syntax
from dsl.diagnostics import Code, Diagnostic, DslError, Source, Span
from dsl.scan import Scan, scan
from dsl.syntax_errors import check_names, explain, habits

if TYPE_CHECKING:
    from lark import Lark

_WORDS = {"True": True, "False": False, "None": None, "...": ...}
LARGEST_INTEGER = 2**63 - 1


def parse(source: Source) -> syntax.Module:
    """The syntax tree of a file. Raises DslError with every error that was found."""
    scanned = scan(source)
    problems = list(scanned.problems)
    statements: list[syntax.Statement] = []
    for start, end in scanned.chunks:
        found = habits(source, scanned.code, start, end)
        if found:
            problems += found
            continue
        try:
            statement = _run(source, scanned, start, end, "statement")
        except DslError as failure:
            problems += failure.diagnostics
            continue
        statements.append(statement)
        problems += check_names(statement)
    if problems:
        raise DslError(*sorted(problems, key=lambda each: each.span.start if each.span else 0))
    return syntax.Module(source, scanned.docstring, tuple(statements), scanned.comments)


def parse_expression(source: Source) -> syntax.Expr:
    """The tree of one expression. Raises DslError."""
    scanned = scan(source)
    if scanned.problems:
        raise DslError(*scanned.problems)
    expression: syntax.Expr = _run(source, scanned, 0, len(source.text), "expr")
    return expression


def _run(source: Source, scanned: Scan, start: int, end: int, rule: str) -> Any:
    from lark.exceptions import UnexpectedInput, VisitError

    builder = _builder()
    builder.source, builder.base = source, start
    text = scanned.code[start:end].rstrip()
    try:
        return _parser().parse(text + "\n" if rule == "statement" else text, start=rule)
    except VisitError as failure:
        raise failure.orig_exc from None
    except UnexpectedInput as failure:
        raise DslError(explain(failure, source, start, start + len(text))) from None


@cache
def _parser() -> Lark:
    from lark import Lark
    from lark.indenter import Indenter

    class Indents(Indenter):
        NL_type = "_NL"
        OPEN_PAREN_types = ["LPAR", "LSQB"]  # noqa: RUF012
        CLOSE_PAREN_types = ["RPAR", "RSQB"]  # noqa: RUF012
        INDENT_type = "_INDENT"
        DEDENT_type = "_DEDENT"
        tab_len = 8

    options: dict[str, Any] = {
        "parser": "lalr",
        "lexer": "contextual",
        "start": ["statement", "expr"],
        "postlex": Indents(),
        "keep_all_tokens": True,
        "maybe_placeholders": False,
        "transformer": _builder(),
    }
    grammar = _grammar()
    table = _cache_file()
    return Lark(grammar, cache=str(table), **options) if table else Lark(grammar, **options)


def _grammar() -> str:
    """The grammar's text: inside the package once installed, beside it in a checkout."""
    installed = files("dsl").joinpath("grammar", "expr.lark")
    if installed.is_file():
        return installed.read_text(encoding="utf-8")
    return (Path(__file__).parent.parent / "grammar" / "expr.lark").read_text(encoding="utf-8")


def _cache_file() -> Path | None:
    """Where the parser's tables are kept between runs; None where nothing can be written."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradc"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return home / "expr.tables" if os.access(home, os.W_OK) else None


@cache
def _builder() -> Any:
    from lark import Token, Transformer

    class Builder(Transformer[Token, Any]):
        """Makes the tree as the parser reduces, so that depth costs no recursion. A method stands for each grammar rule."""

        source: Source
        base: int

        def _place(self, item: Any) -> tuple[int, int]:
            if isinstance(item, Token):
                return self.base + (item.start_pos or 0), self.base + (item.end_pos or 0)
            if isinstance(item, list):
                return self._place(item[0])[0], self._place(item[-1])[1]
            return item.span.start, item.span.end

        def _span(self, children: Sequence[Any]) -> Span:
            solid = [each for each in children if not (isinstance(each, Token) and each.type in ("_NL", "_INDENT", "_DEDENT"))]
            return Span(self.source, self._place(solid[0])[0], self._place(solid[-1])[1])

        def _name(self, token: Any) -> syntax.Name:
            return syntax.Name(self._span([token]), unicodedata.normalize("NFKC", str(token)))

        def _nodes(self, children: Sequence[Any]) -> tuple[Any, ...]:
            return tuple(each for each in children if not isinstance(each, (Token, list)))

        # expressions

        def name(self, c: list[Any]) -> syntax.Expr:
            return self._name(c[0])

        def number(self, c: list[Any]) -> syntax.Expr:
            span = self._span(c)
            return syntax.Literal(span, _number(str(c[0]), span))

        def string(self, c: list[Any]) -> syntax.Expr:
            import ast

            return syntax.Literal(self._span(c), ast.literal_eval(str(c[0])))

        def word(self, c: list[Any]) -> syntax.Expr:
            return syntax.Literal(self._span(c), _WORDS[str(c[0])])

        def group(self, c: list[Any]) -> syntax.Expr:
            expression: syntax.Expr = c[1]
            return expression

        def tuple(self, c: list[Any]) -> syntax.Expr:
            return syntax.TupleExpr(self._span(c), self._nodes(c))

        def bare_tuple(self, c: list[Any]) -> syntax.Expr:
            return syntax.TupleExpr(self._span(c), self._nodes(c))

        def list(self, c: list[Any]) -> syntax.Expr:
            return syntax.ListExpr(self._span(c), self._nodes(c))

        def unary(self, c: list[Any]) -> syntax.Expr:
            return syntax.Unary(self._span(c), str(c[0]), c[1])

        def binary(self, c: list[Any]) -> syntax.Expr:
            return syntax.Binary(self._span(c), str(c[1]), c[0], c[2])

        def compare(self, c: list[Any]) -> syntax.Expr:
            return syntax.Compare(self._span(c), tuple(str(each) for each in c[1::2]), tuple(c[::2]))

        def if_else(self, c: list[Any]) -> syntax.Expr:
            return syntax.IfElse(self._span(c), c[2], c[0], c[4])

        def attribute(self, c: list[Any]) -> syntax.Expr:
            return syntax.Attribute(self._span(c), c[0], self._name(c[2]).id)

        def keyword(self, c: list[Any]) -> Any:
            return [c[0], c[2]]

        def arguments(self, c: list[Any]) -> Any:
            return c

        def call(self, c: list[Any]) -> syntax.Expr:
            args: list[syntax.Expr] = []
            keywords: list[tuple[str, syntax.Expr]] = []
            for each in c[2] if isinstance(c[2], list) else ():
                if isinstance(each, list):
                    keywords.append((self._name(each[0]).id, each[1]))
                elif not isinstance(each, Token):
                    if keywords:
                        raise DslError(
                            Diagnostic(Code.E0204, "a positional argument follows a keyword one", each.span, "", "put it first, or name it")
                        )
                    args.append(each)
            return syntax.Call(self._span(c), c[0], tuple(args), tuple(keywords))

        def slice(self, c: list[Any]) -> syntax.Expr:
            parts: list[syntax.Expr | None] = [None, None, None]
            at = 0
            for each in c:
                if isinstance(each, Token):
                    at += 1
                else:
                    parts[at] = each
            return syntax.Slice(self._span(c), *parts)

        def items(self, c: list[Any]) -> Any:
            return c

        def index(self, c: list[Any]) -> syntax.Expr:
            return syntax.Index(self._span(c), c[0], self._nodes(c[2]))

        # statements

        def statement(self, c: list[Any]) -> syntax.Statement:
            found: syntax.Statement = c[0]
            return found

        def names(self, c: list[Any]) -> Any:
            return [self._name(each) for each in c if each.type == "NAME"]

        targets = names
        dotted = names

        def declare(self, c: list[Any]) -> syntax.Statement:
            return syntax.Declare(self._span(c), str(c[0]), tuple(c[1]), c[3] if len(c) > 3 else None)

        def const(self, c: list[Any]) -> syntax.Statement:
            return syntax.ConstDeclare(self._span(c), self._name(c[1]), c[3])

        def dim(self, c: list[Any]) -> syntax.Statement:
            exact = len(c) > 2 and str(c[2]) == "="
            return syntax.DimDeclare(self._span(c), tuple(c[1]), c[3] if exact else None, c[3] if len(c) > 2 and not exact else None)

        def output(self, c: list[Any]) -> syntax.Statement:
            return syntax.Output(self._span(c), tuple(c[1]))

        def import_(self, c: list[Any]) -> syntax.Statement:
            return syntax.Import(self._span(c), ".".join(each.id for each in c[1]), tuple(c[3]))

        def targets_of(self, c: list[Any]) -> Any:
            return c

        def assign(self, c: list[Any]) -> syntax.Statement:
            first = self._place(c[0])[1]
            comma = "," in self.source.text[first : self._place(c[1])[0]]
            return syntax.Assign(self._span(c), tuple(c[0]), c[2], len(c[0]) > 1 or comma)

        def pattern_tuple(self, c: list[Any]) -> Any:
            return [c[0], *(self._pattern(each) for each in c[1:-1] if not (isinstance(each, Token) and each.type == "COMMA")), c[-1]]

        def _pattern(self, item: Any) -> Any:
            if isinstance(item, list):
                return tuple(each for each in item if not isinstance(each, Token))
            return self._name(item) if isinstance(item, Token) else item

        def param(self, c: list[Any]) -> syntax.Param:
            return syntax.Param(self._span(c), self._pattern(c[0]), c[2] if len(c) > 1 else None)

        def params(self, c: list[Any]) -> Any:
            return c

        def body(self, c: list[Any]) -> Any:
            return c

        def function(self, c: list[Any]) -> syntax.Statement:
            params = self._nodes(c[3]) if isinstance(c[3], list) else ()
            name = self._name(c[1])
            if isinstance(c[-1], list):
                inner = [each for each in c[-1] if not isinstance(each, Token)]
                return syntax.Def(self._span([*c[:-1], inner[-1]]), name, params, tuple(inner[:-1]), inner[-1], False)
            return syntax.Def(self._span(c), name, params, (), c[-1], True)

        def rule(self, c: list[Any]) -> syntax.Statement:
            params = self._nodes(c[3]) if isinstance(c[3], list) else ()
            lines = tuple(each for each in c if isinstance(each, syntax.RuleLine))
            arrow = next(i for i, each in enumerate(c) if isinstance(each, Token) and str(each) == "->")
            return syntax.Rule(self._span(c), self._name(c[1]), params, self._name(c[arrow + 1]), lines)

        def rule_value(self, c: list[Any]) -> syntax.RuleLine:
            return syntax.RuleLine(self._span(c), "value", "", c[1])

        def rule_partial(self, c: list[Any]) -> syntax.RuleLine:
            return syntax.RuleLine(self._span(c), "d", str(c[0])[3:], c[1])

        def rule_vjp(self, c: list[Any]) -> syntax.RuleLine:
            return syntax.RuleLine(self._span(c), "vjp", self._name(c[1]).id, c[3])

        def rule_domain(self, c: list[Any]) -> syntax.RuleLine:
            words, low, high = c[3]
            return syntax.RuleLine(self._span(c[:3]), "domain", self._name(c[1]).id, syntax.TypeExpr(self._span(c[:3]), "float", (), words, low, high))

        def rule_raw(self, c: list[Any]) -> syntax.RuleLine:
            key, _, text = str(c[0]).partition(" ")
            return syntax.RuleLine(self._span(c), key.strip(), "", text.strip().strip('"'))

        def words(self, c: list[Any]) -> Any:
            return c

        def range(self, c: list[Any]) -> Any:
            return c

        def domain(self, c: list[Any]) -> Any:
            """``(words, low, high)``."""
            bounds = next((each for each in c if each[0] == "in"), None)
            words = tuple(str(word) for word in c[0]) if c[0] is not bounds else ()
            return words, bounds[1] if bounds else None, bounds[3] if bounds else None

        def dims(self, c: list[Any]) -> Any:
            return c

        def type(self, c: list[Any]) -> syntax.TypeExpr:
            place = [each for each in c if not isinstance(each, tuple)] or None
            words, low, high = next((each for each in c if isinstance(each, tuple)), ((), None, None))
            dtype = str(c[0]) if isinstance(c[0], Token) and c[0].type == "NAME" else "float"
            if place is None and words[:1] and words[0] in ("float", "int", "bool"):
                dtype, words = words[0], words[1:]
            shape = next((self._nodes(each) for each in c if isinstance(each, list)), ())
            span = self._span(place) if place else Span(self.source, self.base, self.base)
            return syntax.TypeExpr(span, dtype, shape, words, low, high)

    setattr(Builder, "import", Builder.import_)
    return Builder()


def _number(text: str, span: Span) -> int | float:
    digits = text.replace("_", "")
    if digits.isdigit():
        if len(digits) > 19 or int(digits) > LARGEST_INTEGER:
            raise DslError(
                Diagnostic(Code.E0109, "an integer does not fit into 64 bits", span, f"at most {LARGEST_INTEGER}", "write it as a float, such as 1e20")
            )
        return int(digits)
    value = float(digits)
    if math.isinf(value):
        raise DslError(Diagnostic(Code.E0109, "a number is too large for double precision", span, "at most about 1.8e308", "write `inf`"))
    return value
