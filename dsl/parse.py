"""Text to syntax tree. The only importer of lark.

A file is cut into its top-level statements first and each is parsed by itself: an error in one does not hide the errors of the next.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import unicodedata
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import lark
from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken
from lark.indenter import PythonIndenter
from lark.tree import Meta

from dsl import syntax
from dsl.diagnostics import Code, DslError, Source, Span, error, nearest
from dsl.scan import scan
from dsl.syntax_errors import Failure, check_name, check_names, explain, habits

LARGEST_INTEGER = 2**63 - 1
_WORDS = {"True": True, "False": False, "None": None, "...": ...}
_LAYOUT = ("_NEWLINE", "_INDENT", "_DEDENT")
_LOCK = Lock()


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
            statement = _run(source, scanned.code[start:end].rstrip() + "\n", start, "statement")
        except DslError as failure:
            problems += failure.diagnostics
            continue
        assert isinstance(statement, syntax.Statement)
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
    expression = _run(source, scanned.code.rstrip(), 0, "expr")
    assert isinstance(expression, syntax.Expr)
    return expression


def _run(source: Source, text: str, base: int, start: str) -> syntax.Node:
    """A text that stands at ``base`` of the source, read as a statement or an expression."""
    try:
        with _LOCK:  # the indenter counts brackets
            tree = _parser().parse(text, start=start)
    except UnexpectedInput as problem:
        raise DslError(explain(_failure(problem, len(text.rstrip())), text, source, base)) from None
    return Builder(source, base).build(tree)


def _failure(problem: UnexpectedInput, end: int) -> Failure:
    """Lark's exception as plain data."""
    if isinstance(problem, UnexpectedToken):
        token = problem.token
        at = end if token.type in ("$END", *_LAYOUT) else token.start_pos or 0
        return Failure(at, "" if at >= end else str(token), frozenset(problem.accepts or problem.expected))
    return Failure(end if problem.pos_in_stream is None else problem.pos_in_stream, "", frozenset())


@cache
def _parser() -> Lark:
    """The parser of the grammar. Making its tables takes a quarter of a compilation, so they are kept between runs, under a name that tells
    what they were made from; a file that appears in one step is never half written."""
    grammar = _grammar()
    options: dict[str, Any] = {"parser": "lalr", "start": ["statement", "expr"], "propagate_positions": True, "postlex": PythonIndenter()}
    home = _cache_home()
    if home is None:
        return Lark(grammar, **options)
    tables = home / f"{sha256(f'{lark.__version__} {sys.implementation.cache_tag} {grammar}'.encode()).hexdigest()[:16]}.tables"
    if tables.is_file():
        return Lark(grammar, cache=str(tables), **options)
    try:
        with tempfile.TemporaryDirectory(dir=home) as folder:
            made = Lark(grammar, cache=str(Path(folder) / tables.name), **options)
            os.replace(Path(folder) / tables.name, tables)
        return made
    except OSError:
        return Lark(grammar, **options)


def _grammar() -> str:
    """The grammar's text: inside the package once installed, beside it in a checkout."""
    installed = files("dsl").joinpath("grammar", "expr.lark")
    if installed.is_file():
        return installed.read_text(encoding="utf-8")
    return (Path(__file__).parent.parent / "grammar" / "expr.lark").read_text(encoding="utf-8")


def _cache_home() -> Path | None:
    """The person's folder for what can be made again; None where nothing can be written."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradc"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return home if os.access(home, os.W_OK) else None


class Domain(NamedTuple):
    """``spd``, ``real in 0:K``: what stands behind the dimensions of a type."""

    names: tuple[syntax.Name, ...] = ()
    low: syntax.Expr | None = None
    high: syntax.Expr | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Raises DslError for a word that no domain has."""
        for name in self.names:
            if name.id not in syntax.DOMAINS:
                close = nearest(name.id, syntax.DOMAINS)
                help = f"did you mean `{close}`?" if close else f"a shape is `[{name.id}]`; a domain is one of {', '.join(syntax.DOMAINS)}, or `in a:b`"
                raise error(Code.E0203, f"`{name.id}` is no domain", name.span, "", help)
        return tuple(name.id for name in self.names)


class Body(NamedTuple):
    """The indented lines of a function."""

    assigned: tuple[syntax.Assign, ...]
    result: syntax.Expr


Params = tuple[syntax.Param, ...]


class Keyword(NamedTuple):
    """``axis=0`` among the arguments of a call."""

    name: str
    value: syntax.Expr


class Builder:
    """Makes the tree from the bottom up, without recursion. A method stands for each rule of the grammar, and takes the rule's parts by position."""

    def __init__(self, source: Source, base: int) -> None:
        self._source, self._base = source, base

    def build(self, tree: Tree[Token]) -> syntax.Node:
        """What Lark read, as the language's own tree. Raises DslError."""
        made: dict[int, Any] = {}
        for each in tree.iter_subtrees():
            parts = [made[id(child)] if isinstance(child, Tree) else child for child in each.children]
            made[id(each)] = getattr(self, each.data)(each.meta, *parts)
        root: syntax.Node = made[id(tree)]
        return root

    def _span(self, meta: Meta) -> Span:
        return Span(self._source, self._base + meta.start_pos, self._base + meta.end_pos)

    def _until(self, meta: Meta, last: syntax.Node) -> Span:
        """From a rule's first token to a node: a block ends before the newline and the dedent behind it."""
        return Span(self._source, self._base + meta.start_pos, last.span.end)

    # expressions

    def name(self, meta: Meta, token: Token) -> syntax.Name:
        span = self._span(meta)
        wrong = next((i for i in range(len(token)) if not f"x{token[i]}".isidentifier()), None)
        if wrong is not None:
            place = Span(self._source, span.start + wrong, span.start + wrong + 1)
            raise error(Code.E0105, f"`{token[wrong]}` cannot stand in a name", place, "", "write letters, digits and `_`")
        return syntax.Name(span, unicodedata.normalize("NFKC", str(token)))

    def variable(self, meta: Meta, token: Token) -> syntax.Name:
        name = self.name(meta, token)
        wrong = check_name(name)
        if wrong:
            raise DslError(wrong)
        return name

    def number(self, meta: Meta, token: Token) -> syntax.Literal:
        span = self._span(meta)
        return syntax.Literal(span, _number(str(token), span))

    def string(self, meta: Meta, token: Token) -> syntax.Literal:
        if "\\" in token:
            raise error(Code.E0105, "a string holds a backslash", self._span(meta), "", "write it without: strings are options, such as `'same'`")
        return syntax.Literal(self._span(meta), str(token[1:-1]))

    def word(self, meta: Meta, token: Token) -> syntax.Literal:
        return syntax.Literal(self._span(meta), _WORDS[token])

    def group(self, meta: Meta, inner: syntax.Expr) -> syntax.Expr:
        return syntax.spanning(inner, self._span(meta))

    def tuple_expr(self, meta: Meta, *items: syntax.Expr) -> syntax.TupleExpr:
        return syntax.TupleExpr(self._span(meta), items)

    def list_expr(self, meta: Meta, items: tuple[syntax.Expr, ...] | None) -> syntax.ListExpr:
        return syntax.ListExpr(self._span(meta), items or ())

    def elements(self, meta: Meta, *items: syntax.Expr) -> tuple[syntax.Expr, ...]:
        return items

    def unary(self, meta: Meta, op: Token, operand: syntax.Expr) -> syntax.Unary:
        return syntax.Unary(self._span(meta), str(op), operand)

    def binary(self, meta: Meta, left: syntax.Expr, op: Token, right: syntax.Expr) -> syntax.Binary:
        return syntax.Binary(self._span(meta), str(op), left, right)

    def compare(self, meta: Meta, *parts: syntax.Expr | Token) -> syntax.Compare:
        ops = tuple(str(each) for each in parts if isinstance(each, Token))
        return syntax.Compare(self._span(meta), ops, tuple(each for each in parts if isinstance(each, syntax.Expr)))

    def if_else(self, meta: Meta, then: syntax.Expr, condition: syntax.Expr, other: syntax.Expr) -> syntax.IfElse:
        return syntax.IfElse(self._span(meta), condition, then, other)

    def attribute(self, meta: Meta, value: syntax.Expr, name: syntax.Name) -> syntax.Attribute:
        return syntax.Attribute(self._span(meta), value, name.id)

    def keyword(self, meta: Meta, name: syntax.Name, value: syntax.Expr) -> Keyword:
        return Keyword(name.id, value)

    def arguments(self, meta: Meta, *items: syntax.Expr | Keyword) -> tuple[syntax.Expr | Keyword, ...]:
        return items

    def call(self, meta: Meta, function: syntax.Expr, items: tuple[syntax.Expr | Keyword, ...] | None) -> syntax.Call:
        args: list[syntax.Expr] = []
        keywords: dict[str, syntax.Expr] = {}
        for each in items or ():
            if isinstance(each, Keyword):
                if each.name in keywords:
                    raise error(Code.E0204, f"`{each.name}` is given twice", each.value.span, "", "leave one of them out")
                keywords[each.name] = each.value
            elif keywords:
                raise error(Code.E0204, "a positional argument follows a keyword one", each.span, "", "put it first, or name it")
            else:
                args.append(each)
        return syntax.Call(self._span(meta), function, tuple(args), tuple(keywords.items()))

    def slice_item(self, meta: Meta, start: syntax.Expr | None, stop: syntax.Expr | None, step: syntax.Expr | None) -> syntax.Slice:
        return syntax.Slice(self._span(meta), start, stop, step)

    def items(self, meta: Meta, *items: syntax.Expr) -> tuple[syntax.Expr, ...]:
        return items

    def index(self, meta: Meta, value: syntax.Expr, items: tuple[syntax.Expr, ...]) -> syntax.Index:
        return syntax.Index(self._span(meta), value, items)

    # statements

    def names(self, meta: Meta, *names: syntax.Name) -> tuple[syntax.Name, ...]:
        return names

    def dotted(self, meta: Meta, *names: syntax.Name) -> str:
        return ".".join(name.id for name in names)

    def declare(self, meta: Meta, kind: Token, names: tuple[syntax.Name, ...], type: syntax.TypeExpr | None) -> syntax.Declare:
        return syntax.Declare(self._span(meta), str(kind), names, type)

    def const(self, meta: Meta, name: syntax.Name, value: syntax.Expr) -> syntax.ConstDeclare:
        return syntax.ConstDeclare(self._span(meta), name, value)

    def dim(self, meta: Meta, names: tuple[syntax.Name, ...]) -> syntax.DimDeclare:
        return syntax.DimDeclare(self._span(meta), names, None, None)

    def dim_fixed(self, meta: Meta, names: tuple[syntax.Name, ...], size: syntax.Expr) -> syntax.DimDeclare:
        return syntax.DimDeclare(self._span(meta), names, size, None)

    def dim_hint(self, meta: Meta, names: tuple[syntax.Name, ...], size: syntax.Expr) -> syntax.DimDeclare:
        return syntax.DimDeclare(self._span(meta), names, None, size)

    def output(self, meta: Meta, names: tuple[syntax.Name, ...]) -> syntax.Output:
        return syntax.Output(self._span(meta), names)

    def imports(self, meta: Meta, module: str, names: tuple[syntax.Name, ...]) -> syntax.Import:
        return syntax.Import(self._span(meta), module, names)

    def assign(self, meta: Meta, target: syntax.Name, value: syntax.Expr) -> syntax.Assign:
        return syntax.Assign(self._span(meta), target, value)

    def unpack(self, meta: Meta, targets: tuple[syntax.Pattern, ...], value: syntax.Expr) -> syntax.Assign:
        return syntax.Assign(self._span(meta), targets, value)

    def targets(self, meta: Meta, *parts: syntax.Pattern) -> tuple[syntax.Pattern, ...]:
        return parts

    def pattern_tuple(self, meta: Meta, *parts: syntax.Pattern) -> tuple[syntax.Pattern, ...]:
        return parts

    def param(self, meta: Meta, target: syntax.Pattern, default: syntax.Expr | None) -> syntax.Param:
        return syntax.Param(self._span(meta), target, default)

    def params(self, meta: Meta, *params: syntax.Param) -> Params:
        return params

    def one_line(self, meta: Meta, name: syntax.Name, params: Params | None, result: syntax.Expr) -> syntax.Def:
        return syntax.Def(self._span(meta), name, params or (), (), result, True)

    def body(self, meta: Meta, *lines: syntax.Assign | syntax.Expr) -> Body:
        (result,) = (each for each in lines if isinstance(each, syntax.Expr))
        return Body(tuple(each for each in lines if isinstance(each, syntax.Assign)), result)

    def function(self, meta: Meta, name: syntax.Name, params: Params | None, body: Body) -> syntax.Def:
        return syntax.Def(self._until(meta, body.result), name, params or (), body.assigned, body.result, False)

    def rule(self, meta: Meta, name: syntax.Name, params: Params | None, out: syntax.Name, *lines: syntax.RuleLine) -> syntax.Rule:
        return syntax.Rule(self._until(meta, lines[-1]), name, params or (), out, lines)

    def rule_value(self, meta: Meta, value: syntax.Expr) -> syntax.RuleLine:
        return syntax.RuleLine(self._span(meta), "value", "", value)

    def rule_partial(self, meta: Meta, partial: Token, value: syntax.Expr) -> syntax.RuleLine:
        return syntax.RuleLine(self._span(meta), "d", unicodedata.normalize("NFKC", partial.removeprefix("d/d")), value)

    def rule_vjp(self, meta: Meta, name: syntax.Name, value: syntax.Expr) -> syntax.RuleLine:
        return syntax.RuleLine(self._span(meta), "vjp", name.id, value)

    def rule_domain(self, meta: Meta, name: syntax.Name, domain: Domain) -> syntax.RuleLine:
        span = self._span(meta)
        return syntax.RuleLine(span, "domain", name.id, syntax.TypeExpr(span, "float", (), domain.words, domain.low, domain.high))

    def rule_raw(self, meta: Meta, line: Token) -> syntax.RuleLine:
        key, text = line.split(None, 1)
        return syntax.RuleLine(self._span(meta), key, "", text.strip().strip('"'))

    # types

    def range(self, meta: Meta, low: syntax.Expr, high: syntax.Expr) -> tuple[syntax.Expr, syntax.Expr]:
        return low, high

    def names_of_domain(self, meta: Meta, *names: syntax.Name) -> tuple[syntax.Name, ...]:
        return names

    def domain(self, meta: Meta, names: tuple[syntax.Name, ...], bounds: tuple[syntax.Expr, syntax.Expr] | None) -> Domain:
        return Domain(names, *bounds or ())

    def interval(self, meta: Meta, bounds: tuple[syntax.Expr, syntax.Expr]) -> Domain:
        return Domain((), *bounds)

    def type(self, meta: Meta, kind: syntax.Name | None, dims: tuple[syntax.Expr, ...] | None, domain: Domain | None) -> syntax.TypeExpr:
        words, low, high = (domain.words, domain.low, domain.high) if domain else ((), None, None)
        if kind is not None and kind.id not in syntax.KINDS:
            close = nearest(kind.id, syntax.KINDS)
            help = f"did you mean `{close}`?" if close else "write `float`, `int` or `bool`"
            raise error(Code.E0307, f"`{kind.id}` is no kind of number", kind.span, "", help)
        return syntax.TypeExpr(self._span(meta), kind.id if kind else "float", dims or (), words, low, high)

    def scalar_type(self, meta: Meta, domain: Domain) -> syntax.TypeExpr:
        kind, names = "float", domain.names
        if names and names[0].id in syntax.KINDS:
            kind, names = names[0].id, names[1:]
        return syntax.TypeExpr(self._span(meta), kind, (), domain._replace(names=names).words, domain.low, domain.high)


def _number(text: str, span: Span) -> int | float:
    digits = text.replace("_", "")
    if digits.isdecimal():
        if digits[0] == "0" and digits.strip("0"):
            raise error(Code.E0109, "an integer begins with 0", span, "", f"write {digits.lstrip('0')}")
        if len(digits) > 19 or int(digits) > LARGEST_INTEGER:
            raise error(Code.E0109, "an integer does not fit into 64 bits", span, f"at most {LARGEST_INTEGER}", "write it as a float, such as 1e20")
        return int(digits)
    value = float(digits)
    if math.isinf(value):
        raise error(Code.E0109, "a number is too large for double precision", span, "at most about 1.8e308", "write `inf`")
    return value
