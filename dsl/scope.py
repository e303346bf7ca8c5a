"""Names in sight, what they may stand for, and how they come to stand for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from dsl import syntax
from dsl.diagnostics import Code, Diagnostic, DslError, nearest
from dsl.nodes import Node
from dsl.ops import indexing
from dsl.ops.aliases import named
from dsl.ops.builtins import functions
from dsl.ops.core import shape_of
from dsl.ops.spec import Function, Op
from dsl.types import Dim, ShapeError

Value = Any
ABSENT = object()


@dataclass(frozen=True, eq=False)
class Closure:
    """A user's function with the scope it was defined in."""

    definition: syntax.Def
    scope: Scope


@dataclass(frozen=True, eq=False)
class RuleFunction:
    """A function that a ``rule`` declares, with the scope it was declared in. ``op`` marks its value in the graph: it carries the derivative."""

    rule: syntax.Rule
    scope: Scope
    op: Op


@dataclass(frozen=True, eq=False)
class Updater:
    """``x.at`` and ``x.at[index]``."""

    array: Node
    items: tuple[Any, ...] = ()
    arrays: tuple[Node, ...] = ()


@dataclass
class Scope:
    """Names in sight: values, and functions, which are a namespace of their own."""

    values: dict[str, Value] = field(default_factory=dict)
    functions: Mapping[str, Any] = field(default_factory=dict)
    parent: Scope | None = None

    def value(self, name: str) -> Value:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.parent
        return ABSENT

    def function(self, name: str) -> Any:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.functions:
                return scope.functions[name]
            if isinstance(scope.values.get(name), (Closure, RuleFunction, Function)):
                return scope.values[name]
            scope = scope.parent
        return functions().get(name)

    def known(self) -> list[str]:
        found: list[str] = []
        scope: Scope | None = self
        while scope is not None:
            found += [*scope.values, *scope.functions]
            scope = scope.parent
        return found


def bind(name: str, params: list[str], args: list[Value], keywords: Mapping[str, Value]) -> dict[int, Value]:
    """Arguments by the position of their parameter. Raises ShapeError."""
    takes = f"it takes ({', '.join(params)})"
    if len(args) > len(params):
        raise ShapeError(Code.E0204, f"`{name}` takes {len(params)} arguments, and {len(args)} are given", help=takes)
    bound: dict[int, Value] = dict(enumerate(args))
    for key, value in keywords.items():
        if key not in params:
            close = nearest(key, params)
            raise ShapeError(Code.E0204, f"`{name}` takes no argument `{key}`", help=f"did you mean `{close}`?" if close else takes)
        if params.index(key) in bound:
            raise ShapeError(Code.E0204, f"`{key}` of `{name}` is given twice", help=takes)
        bound[params.index(key)] = value
    return bound


def param_name(param: syntax.Param) -> str:
    return param.target.id if isinstance(param.target, syntax.Name) else "(…)"


def assign(scope: Scope, target: Any, value: Value) -> None:
    if isinstance(target, syntax.Name):
        scope.values[target.id] = value
        return
    if not isinstance(value, (tuple, list)) or len(value) != len(target):
        raise ShapeError(Code.E0204, f"a tuple of {len(target)} is needed")
    for one, each in zip(target, value, strict=True):
        assign(scope, one, each)


def assign_targets(scope: Scope, statement: syntax.Assign, value: Value) -> None:
    """Bind the targets of an assignment. Raises DslError for a second assignment or a tuple that does not fit."""
    for name in statement.targets:
        if name.id in scope.values:
            raise DslError(Diagnostic(Code.E0202, f"`{name.id}` is assigned twice", name.span, "the first one stands above", "use a new name"))
    if not statement.unpack:
        scope.values[statement.targets[0].id] = value
        return
    if isinstance(value, Node):
        size = shape_of(value)[0].constant if shape_of(value) else None
        value = tuple(indexing.index(value, (("int", Dim.number(i)),)) for i in range(size or 0))
    if not isinstance(value, (tuple, list)) or len(value) != len(statement.targets):
        found = len(value) if isinstance(value, (tuple, list)) else 1
        raise DslError(Diagnostic(Code.E0204, f"{len(statement.targets)} names for {found} values", statement.span))
    for name, each in zip(statement.targets, value, strict=True):
        scope.values[name.id] = each


DERIVATIVES = ("grad", "jacobian", "hessian", "jvp", "vjp", "hvp")


@cache
def derived_names(tree: syntax.Node | tuple[syntax.Node, ...]) -> frozenset[str]:
    """The names by which something below is differentiated."""
    found: set[str] = set()
    for each in syntax.walk(tree):
        if isinstance(each, syntax.Call) and isinstance(each.function, syntax.Name) and each.function.id in DERIVATIVES and len(each.args) > 1:
            found.update(one.id for one in syntax.walk(each.args[1]) if isinstance(one, syntax.Name))
    return frozenset(found)


def name_derived(scope: Scope, names: Iterable[str]) -> None:
    """Make nodes of their own of the values by which something is differentiated."""
    for name in names:
        if name in scope.values:
            scope.values[name] = named(scope.values[name])
