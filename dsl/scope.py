"""Names in sight, what they may stand for, and how they come to stand for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from dsl import syntax
from dsl.diagnostics import Code, Diagnostic, DslError, Span, counted, nearest
from dsl.nodes import Apply, Input, Line, Node, put_on_line
from dsl.ops import indexing
from dsl.ops.aliases import named
from dsl.ops.builtins import functions
from dsl.ops.core import shape_of
from dsl.ops.spec import Function, Op
from dsl.types import ONE, Dim, ShapeError

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
    """``x.at``, which has no items, and ``x.at[index]``."""

    array: Node
    items: tuple[Any, ...] | None = None
    arrays: tuple[Node, ...] = ()


@dataclass
class Scope:
    """Names in sight: values, and functions, which are a namespace of their own. ``made`` says where values got their names."""

    values: dict[str, Value] = field(default_factory=dict)
    functions: Mapping[str, Any] = field(default_factory=dict)
    parent: Scope | None = None
    made: dict[str, Span] = field(default_factory=dict)

    def make(self, name: syntax.Name, value: Value) -> None:
        self.values[name.id] = value
        self.made[name.id] = name.span

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


@dataclass(eq=False)
class Told:
    """What the statements of one function made, when it was last written out: their names, and the lines of all."""

    definition: syntax.Def | None = None
    names: dict[Node, str] = field(default_factory=dict)
    lines: dict[Node, Line] = field(default_factory=dict)

    def take(self, span: Span, value: Value, names: Mapping[Node, str]) -> None:
        """A statement of the function, what it came to, and what is named by it."""
        stack, line = [value], Line.of(span)
        while stack:
            each = stack.pop()
            if isinstance(each, (tuple, list)):
                stack += reversed(each)
            elif isinstance(each, Node):
                put_on_line(each, line, self.lines)
        self.names = {**names, **self.names}


def bind(name: str, params: list[str], args: list[Value], keywords: Mapping[str, Value]) -> dict[int, Value]:
    """Arguments by the position of their parameter. Raises ShapeError."""
    takes = f"it takes ({', '.join(params)})"
    if len(args) > len(params):
        given = f"{len(args)} {'is' if len(args) == 1 else 'are'} given"
        raise ShapeError(Code.E0204, f"`{name}` takes {counted(len(params), 'argument')}, and {given}", help=takes)
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
    """A parameter's name; of a tuple of names, its text."""
    return param.target.id if isinstance(param.target, syntax.Name) else param.span.text.partition("=")[0].strip()


def check_closed(rule: syntax.Rule, body: syntax.Expr, value: Node, params: list[Node]) -> None:
    """A rule has derivatives with respect to its parameters only, so its value may not depend on another float. Raises DslError."""
    stack, seen = [value], set(params)
    while stack:
        node = stack.pop()
        if node in seen or node.type.dtype != "float":
            continue
        seen.add(node)
        if isinstance(node, Input) and node.role != "const":
            message = f"the value of `{rule.name.id}` depends on `{node.name}`, which is no parameter"
            raise DslError(Diagnostic(Code.E0403, message, body.span, "", f"make it one, and add a line `d/d{node.name}  EXPR`"))
        if isinstance(node, Apply) and node.op.name != "stop_gradient":
            stack += node.args


def _written(target: Any) -> str:
    """A tuple of names as it is written."""
    if isinstance(target, syntax.Name):
        return target.id
    return f"({', '.join(map(_written, target))}{',' * (len(target) == 1)})"


def assign(scope: Scope, target: Any, value: Value) -> None:
    if isinstance(target, syntax.Name):
        scope.make(target, value)
        return
    if not isinstance(value, (tuple, list)) or len(value) != len(target):
        found = f"a tuple of {len(value)}" if isinstance(value, (tuple, list)) else f"an array {value.type}" if isinstance(value, Node) else "a number"
        message = f"`{_written(target)}` needs a tuple of {len(target)}, not {found}"
        raise ShapeError(Code.E0204, message, help=f"write `{_written(target)}` in its place, a value for each name")
    for one, each in zip(target, value, strict=True):
        assign(scope, one, each)


def assign_targets(scope: Scope, statement: syntax.Assign, value: Value) -> None:
    """Bind the targets of an assignment. Raises DslError for a second assignment or a tuple that does not fit."""
    for name in statement.targets:
        if name.id in scope.values:
            raise twice(scope, name, "assigned")
    stack: list[tuple[syntax.Pattern, Value]] = [(statement.pattern, value)]
    while stack:
        target, each = stack.pop()
        if isinstance(target, syntax.Name):
            scope.make(target, each)
        else:
            stack += reversed(list(zip(target, _unpacked(each, target, statement), strict=True)))


def twice(scope: Scope, name: syntax.Name, how: str, dimension: bool = False) -> DslError:
    """What to say of a name that is made again, now as a dimension or not."""
    value, label = scope.values[name.id], first_line(scope.made.get(name.id))
    if (value == Dim.symbol(name.id) and not dimension) or (isinstance(value, Node) and dimension):
        message = f"`{name.id}` is {'an array' if dimension else 'a dimension'} already"
        return DslError(Diagnostic(Code.E0203, message, name.span, label, "use another name for one of the two"))
    return DslError(Diagnostic(Code.E0202, f"`{name.id}` is {how} twice", name.span, label, "use a new name"))


def first_line(made: Span | None) -> str:
    return f"the first one stands in line {made.line}" if made else ""


def _unpacked(value: Value, targets: Sequence[syntax.Pattern], statement: syntax.Assign) -> Sequence[Value]:
    """The parts of a value, as many as an assignment has names. Raises DslError."""
    count = len(targets)
    found = "a scalar"
    if isinstance(value, (tuple, list)):
        if len(value) == count:
            return value
        found = counted(len(value), "value")
    elif isinstance(value, Node) and shape_of(value):
        if shape_of(value)[0].constant == count:
            return tuple(indexing.index(value, (("int", Dim.number(i)),)) for i in range(count))
        size = shape_of(value)[0]
        found = f"{size} value{'s' * (size != ONE)}"
    raise DslError(Diagnostic(Code.E0204, f"{counted(count, 'name')} for {found}", statement.span, help="write a name for each value"))


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
