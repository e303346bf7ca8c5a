"""Expressions to graph: names are looked up, functions inlined, types proved. Depth costs no recursion: each step is a generator that
yields the subexpressions it needs, and ``run`` keeps the stack."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dsl import syntax
from dsl.diagnostics import Code, Diagnostic, DslError, nearest
from dsl.nodes import Apply, Node, apply, topological
from dsl.ops import indexing, making
from dsl.ops.arguments import arguments
from dsl.ops.builtins import ELSEWHERE, functions, transpose
from dsl.ops.core import Undecided, shape_of
from dsl.ops.elementwise import cast, ew
from dsl.ops.spec import REQUIRED, Function
from dsl.scope import (
    ABSENT,
    Closure,
    RuleFunction,
    Scope,
    Told,
    Updater,
    Value,
    assign,
    assign_targets,
    bind,
    check_closed,
    derived_names,
    name_derived,
    param_name,
)
from dsl.static import by_zero, compared, computed, entry, is_static, plain
from dsl.types import Dim, ShapeError, product
from dsl.values import array, depth, index_items, updated

Steps = Generator[Any, Any, Value]

OPERATORS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "//": "floor_divide", "%": "mod", "**": "power"}
COMPARISONS = {"<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal", "==": "equal", "!=": "not_equal"}
MOST_AXES = 64  # NumPy's limit
HABITS = {"len": "write `x.shape[0]`", "array": "a list is an array: `[1, 2]`", "asarray": "a list is an array: `[1, 2]`"}
CONSTANTS = {"pi": math.pi, "inf": math.inf, "newaxis": None, "float": "float", "int": "int", "bool": "bool"}


def run(steps: Steps) -> Value:
    """Drive a computation that yields computations."""
    stack = [steps]
    value: Value = None
    failure: BaseException | None = None
    while stack:
        try:
            found = stack[-1].throw(failure) if failure else stack[-1].send(value)
            failure, value = None, None
            stack.append(found)
        except StopIteration as done:
            stack.pop()
            value, failure = done.value, None
        except Exception as problem:
            stack.pop()
            failure, value = problem, None
    if failure:
        raise failure
    return value


class Elaborator:
    """Turns expressions into nodes. ``lookup`` is asked for names that no scope holds, ``placed`` is told of every expression and its value,
    and of functions in ``failed`` nothing more is said. ``calls`` are the definitions being written out, each with its call, ``told`` is of
    the function whose calls are turns of a loop, ``values`` and ``applied_by`` what an expression came to and what a call called, when that was last."""

    def __init__(
        self, lookup: Callable[[syntax.Name, Scope], Value], placed: Callable[[syntax.Expr, Value], None] | None = None, failed: Container[str] = ()
    ) -> None:
        self.lookup = lookup
        self.operators: Mapping[str, Function] = {}
        self.warnings: list[Diagnostic] = []
        self.names: dict[Node, str] = {}
        self.told = Told()
        self.placed = placed
        self.failed = failed
        self.calls: list[tuple[syntax.Def | syntax.Rule, syntax.Call]] = []
        self.values: dict[syntax.Expr, Value] = {}
        self.applied_by: dict[syntax.Expr, Value] = {}

    def expression(self, expr: syntax.Expr, scope: Scope) -> Value:
        return run(self.steps(expr, scope))

    def steps(self, expr: syntax.Expr, scope: Scope) -> Steps:
        method: Callable[[Any, Scope], Steps] = getattr(self, "_" + type(expr).__name__.lower())
        with self.at(expr):
            value = yield method(expr, scope)
        if self.placed is not None:
            self.values[expr] = value
            self.placed(expr, value)
        return value

    @contextmanager
    def at(self, expr: syntax.Expr) -> Iterator[None]:
        """Gives what is refused a place: the expression that it is about. Raises DslError."""
        try:
            yield
        except ShapeError as problem:
            raise DslError(self._diagnostic(problem, expr)) from None
        except Undecided as need:
            need.span = need.span or expr.span
            raise

    def _diagnostic(self, problem: ShapeError, expr: syntax.Expr) -> Diagnostic:
        texts = [each.span.text for each in syntax.operands(expr)]
        texts += ["this"] * 8

        def fill(text: str) -> str:
            for i, each in enumerate(texts):
                text = text.replace(f"{{{i}}}", each if len(each) < 40 else "this")
            return text

        return Diagnostic(problem.code, problem.message, expr.span, fill(problem.label), fill(problem.help))

    # leaves

    def _literal(self, expr: syntax.Literal, scope: Scope) -> Steps:
        return expr.value
        yield

    def _name(self, expr: syntax.Name, scope: Scope) -> Steps:
        found = scope.value(expr.id)
        if found is not ABSENT:
            return found
        function = scope.function(expr.id)
        if function is not None:
            return function
        if expr.id in CONSTANTS:
            return CONSTANTS[expr.id]
        return self.lookup(expr, scope)
        yield

    def _each(self, exprs: Iterable[syntax.Expr | None], scope: Scope) -> Steps:
        """The values of several expressions, as a list; None for an expression that is left out."""
        values = []
        for each in exprs:
            values.append(None if each is None else (yield self.steps(each, scope)))
        return values

    def _listexpr(self, expr: syntax.ListExpr, scope: Scope) -> Steps:
        items = yield self._each(expr.items, scope)
        if depth(items) > MOST_AXES:
            raise ShapeError(Code.E0302, f"an array has at most {MOST_AXES} axes", help="write fewer brackets")
        return items

    def _tupleexpr(self, expr: syntax.TupleExpr, scope: Scope) -> Steps:
        items = yield self._each(expr.items, scope)
        return tuple(items)

    # operators

    def _unary(self, expr: syntax.Unary, scope: Scope) -> Steps:
        value = yield self.steps(expr.operand, scope)
        if expr.op == "not":
            return not value if isinstance(value, bool) else ew("logical_not", array(value))
        if expr.op == "+":
            return value
        if isinstance(value, (int, float, Dim)) and not isinstance(value, bool):
            return -value
        node = array(value)
        if node.type.dtype == "bool":
            raise ShapeError(Code.E0307, "a truth value has no negative", f"{{0}} is {node.type}", "write `not {0}`, or `1 - {0}`")
        return ew("negative", node)

    def _binary(self, expr: syntax.Binary, scope: Scope) -> Steps:
        left = yield self.steps(expr.left, scope)
        if isinstance(left, bool) and (expr.op, left) in (("and", False), ("or", True)):
            return left
        right = yield self.steps(expr.right, scope)
        static = computed(expr.op, left, right)
        if static is not None:
            return static
        x, y = array(left), array(right)
        if expr.op == "@":
            return functions()["matmul"].build(x, y)
        if expr.op in ("/", "//", "%") and isinstance(right, (int, float)) and right == 0:
            raise by_zero()
        if expr.op == "**" and x.type.dtype == "int" and isinstance(right, int) and right < 0:
            raise ShapeError(Code.E0307, "integers have no negative integer powers", f"{{0}} is {x.type}", f"write `{right}.0`")
        if expr.op in ("and", "or"):
            return ew(f"logical_{expr.op}", x, y)
        return ew(OPERATORS[expr.op], x, y)

    def _compare(self, expr: syntax.Compare, scope: Scope) -> Steps:
        values = yield self._each(expr.operands, scope)
        result: Value = None
        for op, left, right in zip(expr.ops, values, values[1:], strict=False):
            static = compared(op, left, right)
            one = ew(COMPARISONS[op], array(left), array(right)) if static is None else static
            result = one if result is None else self._both(result, one)
        return result

    @staticmethod
    def _both(left: Value, right: Value) -> Value:
        if isinstance(left, bool) and isinstance(right, bool):
            return left and right
        return ew("logical_and", array(left), array(right))

    def _ifelse(self, expr: syntax.IfElse, scope: Scope) -> Steps:
        condition = yield self.steps(expr.condition, scope)
        if isinstance(condition, bool):
            return (yield self.steps(expr.then if condition else expr.other, scope))
        then = yield self.steps(expr.then, scope)
        other = yield self.steps(expr.other, scope)
        return ew("where", array(condition), array(then), array(other))

    # attributes, calls

    def _attribute(self, expr: syntax.Attribute, scope: Scope) -> Steps:
        value = yield self.steps(expr.value, scope)
        if expr.name == "at":
            return Updater(array(value))
        node = array(value)
        if expr.name == "T":
            return transpose(node)
        if expr.name == "shape":
            return tuple(plain(dim) for dim in shape_of(node))
        if expr.name == "ndim":
            return len(shape_of(node))
        if expr.name == "size":
            return making.size_of(node, None) if node.type.shape is None else plain(product(node.type.shape))
        if expr.name in functions():
            raise ShapeError(Code.E0204, f"`{expr.name}` is a function, and is not called", help=f"write `{{0}}.{expr.name}()`")
        close = nearest(expr.name, ["T", "shape", "size", "ndim", "at"])
        raise ShapeError(Code.E0201, f"an array has no attribute `{expr.name}`", help=f"did you mean `{close}`?" if close else "")

    def _call(self, expr: syntax.Call, scope: Scope) -> Steps:
        args = []
        target = expr.function
        if isinstance(target, syntax.Attribute):
            receiver = yield self.steps(target.value, scope)
            name = target.name
            function = functions().get(name)
            if isinstance(receiver, Updater):
                values = yield self._each(expr.args, scope)
                return updated(receiver, name, values, expr)
            args.append(receiver)
        elif isinstance(target, syntax.Name):
            name, function = target.id, scope.function(target.id) or self.operators.get(target.id)
        else:
            help = "name the function with `def f(x) = …`; a product is written `a * b`"
            raise ShapeError(Code.E0204, "only a name can be called", help=help)
        if function is None:
            raise self._unknown(name, target, scope)
        args += yield self._each(expr.args, scope)
        values = yield self._each((each for _, each in expr.keywords), scope)
        keywords = dict(zip((key for key, _ in expr.keywords), values, strict=True))
        self.applied_by[expr] = function
        if function is self.operators.get(name):
            return (yield self._operated(function, args, keywords, expr))
        return (yield self.applied(function, args, keywords, expr))

    def _operated(self, function: Function, args: list[Value], keywords: dict[str, Value], expr: syntax.Call) -> Steps:
        """An operator takes its arguments as they are: arrays, functions, tuples of these."""
        names = [each.name for each in function.params]
        bound = bind(function.name, names, args, keywords)
        for i, param in enumerate(function.params):
            if i not in bound and param.default is REQUIRED:
                raise ShapeError(Code.E0204, f"`{function.name}` needs `{param.name}`", help=f"write `{function.signature}`")
        if function.family == "derivatives":
            self._check_targets(expr, args)
        values = [bound.get(i, param.default) for i, param in enumerate(function.params)]
        if function.family == "loops":
            return (yield function.build(Caller(self, expr), *values))
        return function.build(*values)

    def applied(self, function: Value, args: list[Value], keywords: dict[str, Value], expr: syntax.Call) -> Steps:
        if isinstance(function, Closure):
            return (yield self._inline(function, args, keywords, expr))
        if isinstance(function, RuleFunction):
            return (yield self._ruled(function, args, keywords, expr))
        return call(function, args, keywords)

    def _check_targets(self, expr: syntax.Call, args: list[Value]) -> None:
        """What something is differentiated by are names. Warns of those that it does not depend on. Raises ShapeError."""
        if len(args) < 2:
            return
        wrt = expr.args[1]
        names = wrt.items if isinstance(wrt, syntax.TupleExpr) else (wrt,)
        values = args[1] if isinstance(args[1], tuple) else (args[1],)
        reached = set(topological([array(args[0])]))
        for name, value in zip(names, values, strict=True):
            if not isinstance(name, syntax.Name):
                raise DslError(Diagnostic(Code.E0402, "a derivative is by a name", name.span, help="give the expression a name on a line of its own first"))
            if value not in reached:
                message = f"{expr.args[0].span.text} does not depend on `{name.id}`: its derivative is zero"
                self.warnings.append(Diagnostic(Code.W0101, message, name.span, help=f"was `{name.id}` replaced by another name on the way?"))

    def _unknown(self, name: str, target: syntax.Expr, scope: Scope) -> DslError:
        if name in self.failed:
            return DslError()
        value = scope.value(name) if isinstance(target, syntax.Name) else ABSENT
        if value is not ABSENT:
            what = "an array" if isinstance(value, Node) else "a dimension" if isinstance(value, Dim) else "a value"
            help = f"write `{name} * …` for a product, or `{name}[…]` for an entry"
            return DslError(Diagnostic(Code.E0204, f"`{name}` is {what}, and no function", target.span, help=help))
        if name in HABITS:
            return DslError(Diagnostic(Code.E0201, f"unknown function `{name}`", target.span, help=HABITS[name]))
        close = ELSEWHERE.get(name) or nearest(name, [*functions(), *scope.known()])
        help = f"did you mean `{close}`?" if close else "`gradc ops` lists every function"
        return DslError(Diagnostic(Code.E0201, f"unknown function `{name}`", target.span, help=help))

    def _inline(self, closure: Closure, args: list[Value], keywords: dict[str, Value], expr: syntax.Call) -> Steps:
        definition = closure.definition
        scope = yield self._parameters(closure, args, keywords)
        derived = derived_names(definition)
        name_derived(scope, derived)
        told = self.told if self.told.definition is definition else Told()
        with self._calling(definition, args, expr):
            for statement in definition.body:
                value = yield self.steps(statement.value, scope)
                assign_targets(scope, statement, value)
                name_derived(scope, derived.intersection(name.id for name in statement.targets))
                names: dict[Node, str] = {each: name.id for name in statement.targets if isinstance(each := scope.values[name.id], Apply)}
                self.names.update(names)
                told.take(statement.span, value, names)
            value = yield self.steps(definition.result, scope)
            told.take(definition.span if definition.inline else definition.result.span, value, {})
            return value

    @contextmanager
    def _calling(self, definition: syntax.Def | syntax.Rule, args: list[Value], expr: syntax.Call) -> Iterator[None]:
        """While the body of a definition is written out. Raises DslError where that stands inside itself, and for what is wrong there tells of the
        call."""
        if any(each is definition for each, _ in self.calls):
            message = f"`{definition.name.id}` calls itself"
            raise DslError(Diagnostic(Code.E0205, message, expr.span, "", "a function cannot be recursive: its calls are written out"))
        self.calls.append((definition, expr))
        try:
            yield
        except DslError as problem:
            raise DslError(*(_called_at(each, definition, args, expr) for each in problem.diagnostics)) from None
        finally:
            self.calls.pop()

    def _parameters(self, function: Closure | RuleFunction, args: list[Value], keywords: dict[str, Value]) -> Steps:
        """A scope for a body: the parameters bound to what a call gives them, or to their defaults."""
        definition = function.definition if isinstance(function, Closure) else function.rule
        scope = Scope(parent=function.scope)
        names = [param_name(each) for each in definition.params]
        bound = bind(definition.name.id, names, args, keywords)
        for i, param in enumerate(definition.params):
            if i in bound:
                value = bound[i]
            elif param.default is not None:
                value = yield self.steps(param.default, function.scope)
            else:
                raise ShapeError(Code.E0204, f"`{definition.name.id}` needs `{names[i]}`", help=f"it takes ({', '.join(names)})")
            assign(scope, param.target, value)
        if self.told.definition is not None and function.scope.parent is not None:
            # in a turn, what stands in a call of a user's function has its parameters' names
            for name, each in scope.values.items():
                if isinstance(each, Apply):
                    self.names.setdefault(each, name)
        return scope

    def _ruled(self, function: RuleFunction, args: list[Value], keywords: dict[str, Value], expr: syntax.Call) -> Steps:
        """A rule's value, marked so that reverse mode takes the rule's derivative and not the value's."""
        scope = yield self._parameters(function, args, keywords)
        body = next(line.body for line in function.rule.lines if line.key == "value")
        assert isinstance(body, syntax.Expr)
        with self._calling(function.rule, args, expr):
            value = array((yield self.steps(body, scope)))
        params = [array(scope.values[param_name(each)]) for each in function.rule.params]
        check_closed(function.rule, body, value, params)
        return apply(function.op, cast(value, "float"), *params)

    # indexing

    def _slice(self, expr: syntax.Slice, scope: Scope) -> Steps:
        parts = yield self._each((expr.start, expr.stop, expr.step), scope)
        return slice(*parts)

    def _index(self, expr: syntax.Index, scope: Scope) -> Steps:
        value = yield self.steps(expr.value, scope)
        items = yield self._each(expr.items, scope)
        if len(items) == 1 and isinstance(items[0], tuple):
            items = list(items[0])  # x[(0, 1)] is x[0, 1]
        if isinstance(value, tuple) or (isinstance(value, list) and len(items) == 1 and is_static(items[0])):
            return entry(value, items)
        if isinstance(value, Updater) and value.items is not None:
            raise ShapeError(Code.E0204, "an update has one index", help="write `x.at[i, j]` in place of `x.at[i][j]`")
        node = value.array if isinstance(value, Updater) else array(value)
        resolved, arrays = index_items(node, items)
        if isinstance(value, Updater):
            return Updater(node, tuple(resolved), tuple(arrays))
        return indexing.index(node, resolved, arrays)


def _called_at(problem: Diagnostic, definition: syntax.Def | syntax.Rule, args: list[Value], expr: syntax.Call) -> Diagnostic:
    """What is wrong in a function's body, for who called it: of a function of the library the place is the call."""
    name, span = definition.name.id, problem.span
    if span is None or expr.span.source.ours or problem.code is Code.E0205:
        return problem
    if not span.source.ours:
        mine = span.source is definition.span.source and definition.span.start <= span.start < definition.span.end
        called = f"`{name}` is called in line {expr.span.line}"
        return replace(problem, label=f"{problem.label}; {called}" if problem.label else called) if mine else problem
    given = zip((each.span.text for each in syntax.operands(expr)), args, strict=False)
    shown = ", ".join(f"{text if len(text) < 40 else 'this'} is {value.type}" for text, value in given if isinstance(value, Node))
    takes = ", ".join(param_name(each) for each in definition.params)
    return Diagnostic(problem.code, f"in `{name}`: {problem.message}", expr.span, shown, f"it takes ({takes}): `gradc ops {name}` tells all about it")


class Caller:
    """How an operator calls a function that it is given, what functions called the nodes that they made, and what is ``told`` of the one
    called last."""

    def __init__(self, elaborator: Elaborator, expr: syntax.Call) -> None:
        self.elaborator, self.expr, self.names, self.told = elaborator, expr, elaborator.names, Told()

    def __call__(self, f: Value, args: list[Value]) -> Steps:
        around, self.told = self.elaborator.told, Told(f.definition if isinstance(f, Closure) else None)
        self.elaborator.told = self.told
        try:
            return (yield self.elaborator.applied(f, args, {}, self.expr))
        finally:
            self.elaborator.told = around


def call(function: Function, args: list[Value], keywords: Mapping[str, Value]) -> Value:
    """A built-in function on values. Raises ShapeError."""
    try:
        return function.build(*arguments(function, args, keywords, array))
    except ShapeError as problem:
        if problem.code is Code.E0204 and not problem.help:
            problem.help = f"`gradc ops {function.name}` shows what it takes"
        raise
