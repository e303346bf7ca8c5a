"""Syntax tree to typed graph.

Before: statements with names. After: a ``Program`` whose outputs are nodes, every shape proved.

A name that nobody declared has no shape to begin with. Where an operation needs one, the resolver gives it a rank and starts again; the
same for dimensions that must be equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

from dsl import syntax
from dsl.calculus import derivatives, loops
from dsl.calculus.directions import without_jacobians
from dsl.diagnostics import Code, Diagnostic, DslError, Span, nearest
from dsl.elaborate import Elaborator
from dsl.imports import Find, Imports, declare_const, nowhere
from dsl.knowledge import Knowledge, guessed
from dsl.library import library
from dsl.nodes import Apply, Declared, Input, Line, Node, Program, Written, argument, rebuild, remapped, topological
from dsl.ops.aliases import unnamed
from dsl.ops.arguments import known_help
from dsl.ops.builtins import functions
from dsl.ops.core import Undecided
from dsl.ops.making import dim_of
from dsl.recorder import Recorder
from dsl.rules import ruled
from dsl.scope import Closure, RuleFunction, Scope, Value, assign_targets, derived_names, first_line, name_derived, twice
from dsl.sizes import unsolved
from dsl.static import plain
from dsl.types import Assumptions, Dim, Shape, ShapeError, Symbol, TensorType, as_dim, assuming, shape_text
from dsl.values import array


def resolve(module: syntax.Module, stem: str, wrt: tuple[str, ...] = (), find: Find = nowhere) -> Program:
    """The program of a file; ``find`` reads the files that it imports. Raises DslError with every error that was found."""
    knowledge = guessed(module)
    while True:
        assumptions = Assumptions(equal=dict(knowledge.equal))
        with assuming(assumptions):
            resolver = Resolver(module, stem, knowledge, Imports(find))
            try:
                program = resolver.program(wrt)
            except Undecided:
                continue
        if assumptions.equal != knowledge.equal:
            knowledge.equal = dict(assumptions.equal)
            continue
        return replace(program, checks=tuple(assumptions.checks))


SQUARE = ("nonsingular", "spd", "symmetric", "triangular")
OPERATORS = {each.name: each for each in (*derivatives.FUNCTIONS, *loops.FUNCTIONS)}


class Resolver:
    """One walk over a file's statements."""

    def __init__(self, module: syntax.Module, stem: str, knowledge: Knowledge, imports: Imports) -> None:
        self.module, self.stem, self.knowledge, self.imports = module, stem, knowledge, imports
        self.functions: dict[str, Closure | RuleFunction] = {}
        self.scope = Scope(functions=self.functions, parent=library().scope)
        self.typed: set[str] = set()
        self.implied: dict[str, Span] = {}
        self.defined: dict[str, Span] = {}
        self.line = Line(0, "", None)
        self.arguments: dict[str, Declared] = {}
        self.names: dict[Node, str] = {}
        self.lines: dict[Node, Line] = {}
        self.assigned: dict[str, Node] = {}
        self.used: set[str] = set()
        self.problems: list[Diagnostic] = []
        self.failed: set[str] = set()
        self.hints: list[tuple[str, int]] = []
        self.declared = any(isinstance(each, syntax.Declare) for each in module.statements)
        self.elaborator = Elaborator(self.lookup, self.place, self.failed)
        self.elaborator.operators = OPERATORS
        self.recorder = Recorder(self.elaborator)
        self.derived = derived_names(module.statements)

    def program(self, wrt: tuple[str, ...]) -> Program:
        outputs: list[syntax.Name] | None = None
        for statement in self.module.statements:
            self.line = Line.of(statement.span)
            try:
                if isinstance(statement, syntax.Output):
                    outputs = list(statement.names)
                else:
                    self.statement(statement)
            except DslError as failure:
                self.problems += failure.diagnostics
                self.failed.update(_made(statement))
            except ShapeError as problem:
                self.problems.append(Diagnostic(problem.code, problem.message, statement.span, problem.label, problem.help))
                self.failed.update(_made(statement))
            except Undecided as need:
                untold = self.knowledge.learn(need, self.typed)
                if untold is None:
                    raise
                self.problems.append(untold)
                self.failed.update(_made(statement))
        chosen = self.outputs(outputs)
        if not chosen and not self.problems:
            raise DslError(self.nothing())
        self.complete(chosen)
        targets = self.targets(wrt)
        if self.problems:
            raise DslError(*self.problems)
        program = Program(
            self.stem,
            self.module.docstring,
            tuple(self.arguments.values()),
            tuple(chosen),
            self.names,
            self.lines,
            targets,
            hints=tuple(self.hints),
            wishes=self.elaborator.names,
            warnings=(*self.elaborator.warnings, *self.unused_arguments(chosen)),
            written=Written(tuple(self.recorder.pieces), {**self.elaborator.names, **self.names}, tuple(chosen)),
            origins=self.origins(),
        )
        return without_jacobians(remapped(program, rebuild(program.every_root, unnamed)))

    def nothing(self) -> Diagnostic:
        """What to say of a file without an output."""
        defines = any(isinstance(each, (syntax.Def, syntax.Rule)) for each in self.module.statements)
        if defines and not self.assigned and all(each.node.role == "const" for each in self.arguments.values()):
            return Diagnostic(Code.N0101, f"{self.module.source.name} only defines functions: there is no module to write", help="import them in another file")
        tuples = (name for name, value in self.scope.values.items() if isinstance(value, tuple))
        if name := next(tuples, None):
            return Diagnostic(Code.E0402, f"`{name}` is a tuple, and no output", self.scope.made[name], "", f"name its parts: `a, b = {name}`")
        return Diagnostic(Code.E0104, "the program is empty", None, "", "write a line such as `L = sum(x ** 2)`")

    def complete(self, outputs: list[tuple[str, Node]]) -> None:
        """Imported consts that the outputs use become arguments; every dimension that they use must come from a shape."""
        nodes = dict.fromkeys(topological(node for _, node in outputs))
        for declared in self.imports.consts:
            name = declared.node.name
            mine = self.arguments.get(name)
            if declared.node in nodes and mine is None and name not in self.scope.values:
                self.arguments[name] = declared
            elif declared.node in nodes and mine != declared:
                help = "rename one of the two"
                self.problems.append(Diagnostic(Code.E0202, f"an imported function uses a const `{name}`, and so is something here called", None, "", help))
        used = [symbol for node in nodes for dim in node.type.shape or () for symbol in dim.symbols()]
        used += [symbol for node in nodes if isinstance(node, Apply) and node.op.name == "dimension" for symbol in dim_of(node).symbols()]
        bounds = [bound for each in self.arguments.values() for bound in (each.low, each.high)]
        used += [symbol for bound in bounds if isinstance(bound, Dim) for symbol in bound.symbols()]
        for symbol in unsolved(self.arguments.values(), used):
            if symbol.name not in self.failed:
                message = f"the size `{symbol}` cannot be found from the arguments' shapes"
                help = f"declare an array that has it, as `input x: [{symbol}]`, or fix it: `dim {symbol} = 64`"
                self.problems.append(Diagnostic(Code.E0305, message, self.scope.made.get(symbol.name), "", help))

    def unused_arguments(self, outputs: list[tuple[str, Node]]) -> list[Diagnostic]:
        reached = set(topological(node for _, node in outputs))
        idle = [(name, each.span) for name, each in self.arguments.items() if each.node not in reached and name not in self.used]
        return [Diagnostic(Code.W0102, f"`{name}` is declared and never used", span, help="leave it out, or use it") for name, span in idle]

    def outputs(self, names: list[syntax.Name] | None) -> list[tuple[str, Node]]:
        if names is None:
            return [(name, node) for name, node in self.assigned.items() if name not in self.used]
        found: list[tuple[str, Node]] = []
        for name in names:
            if name.id in self.assigned:
                found.append((name.id, self.assigned[name.id]))
            elif name.id not in self.failed:
                close = nearest(name.id, self.assigned)
                self.problems.append(
                    Diagnostic(Code.E0201, f"`{name.id}` is not assigned", name.span, "", f"did you mean `{close}`?" if close else "assign it first")
                )
        return found

    def targets(self, wrt: tuple[str, ...]) -> tuple[str, ...]:
        """The names whose gradients are wanted."""
        floats = {name: each for name, each in self.arguments.items() if each.node.type.dtype == "float" and each.node.role != "const"}
        for name in wrt:
            if name not in floats:
                close = nearest(name, floats)
                help = f"did you mean `{close}`?" if close else f"name one of {', '.join(floats)}" if floats else ""
                self.problems.append(Diagnostic(Code.E0402, f"`{name}` is no float input", None, "", help))
        params = tuple(name for name, each in floats.items() if each.node.role == "param")
        return wrt or params or tuple(floats)

    def statement(self, statement: syntax.Statement) -> None:
        if isinstance(statement, syntax.Declare):
            for name in statement.names:
                self.declare(name, statement.kind, statement.type)
        elif isinstance(statement, syntax.ConstDeclare):
            self.unused(statement.name)
            declared = declare_const(statement, self.elaborator.expression(statement.value, self.scope))
            self.arguments[statement.name.id] = declared
            self.scope.make(statement.name, declared.node)
        elif isinstance(statement, syntax.DimDeclare):
            self.dimension(statement)
        elif isinstance(statement, syntax.Def):
            self.define(statement.name, Closure(statement, self.scope))
            self.used |= _captured(statement)
        elif isinstance(statement, syntax.Rule):
            self.define(statement.name, ruled(statement, self.scope))
        elif isinstance(statement, syntax.Import):
            for name, function in zip(statement.names, self.imports.take(statement).values(), strict=True):
                self.define(name, function)
        elif isinstance(statement, syntax.Assign):
            self.assign(statement)

    def define(self, name: syntax.Name, function: Closure | RuleFunction) -> None:
        if name.id in self.functions:
            place = first_line(self.defined[name.id])
            raise DslError(Diagnostic(Code.E0202, f"the function `{name.id}` is defined twice", name.span, place, "use a new name"))
        if name.id in functions() or name.id in library():
            # the calls below mean this one
            self.functions[name.id] = function
            self.defined[name.id] = name.span
            raise DslError(
                Diagnostic(Code.E0203, f"`{name.id}` is a function of the language already", name.span, help=f"use another name, such as `my_{name.id}`")
            )
        self.functions[name.id] = function
        self.defined[name.id] = name.span

    def dimension(self, statement: syntax.DimDeclare) -> None:
        for name in statement.names:
            if name.id in self.implied:
                place = f"used in line {self.implied[name.id].line}"
                raise DslError(Diagnostic(Code.E0207, f"`{name.id}` is used before its `dim` line", name.span, place, "move the line up"))
            self.unused(name, dimension=True)
            self.scope.make(name, Dim.symbol(name.id) if statement.value is None else plain(self.dim(statement.value)))
            if statement.hint is not None:
                hint = self.elaborator.expression(statement.hint, self.scope)
                if not isinstance(hint, int) or isinstance(hint, bool) or hint < 1:
                    raise DslError(Diagnostic(Code.E0305, "a usual size is a positive integer", statement.hint.span, "", f"write `dim {name.id} ~ 100_000`"))
                self.hints.append((name.id, hint))

    def unused(self, name: syntax.Name, dimension: bool = False) -> None:
        if name.id in self.scope.values:
            raise twice(self.scope, name, "made", dimension)

    def declare(self, name: syntax.Name, role: str, type: syntax.TypeExpr | None) -> None:
        if type is None:
            node = self.undeclared(name.id, role)
            declared = Declared(node, span=name.span)
        else:
            self.typed.add(name.id)
            if role == "param" and type.dtype != "float":
                message = f"a param is differentiated, and `{name.id}` is {type.dtype}"
                raise DslError(Diagnostic(Code.E0402, message, name.span, help=f"declare it `input {name.id}: …`"))
            shape = tuple(self.dim(each, named=True) for each in type.dims)
            node = argument(name.id, role, TensorType(type.dtype, shape))
            declared = Declared(node, type.words, *self.domain(type, shape), span=name.span)
        self.unused(name)
        self.arguments[name.id] = declared
        self.scope.make(name, node)

    def dim(self, expr: syntax.Expr, named: bool = False) -> Dim:
        """A dimension of a declared type, where a new name is a new dimension; or the size that a ``dim`` line gives one."""
        value = self.sized(expr) if named else self.elaborator.expression(expr, self.scope)
        if isinstance(value, Input):
            is_const = value.role == "const"
            message = f"`{value.name}` is {'a const' if is_const else 'an array'}, and a size must be known when the program is compiled"
            help = known_help((value,), "use another name for one of the two")
            raise DslError(Diagnostic(Code.E0305 if is_const else Code.E0203, message, expr.span, "", help))
        if not isinstance(value, (int, Dim)) or isinstance(value, bool):
            raise DslError(Diagnostic(Code.E0305, "a dimension is an integer or a name", expr.span, "", "write `[N, D]`, or `dim D = 64`"))
        if isinstance(value, int) and value < 0:
            raise DslError(Diagnostic(Code.E0305, f"a dimension is negative: {value}", expr.span, "", "write 0 or more, or a name"))
        return as_dim(value)

    def domain(self, type: syntax.TypeExpr, shape: Shape) -> tuple[Value, Value]:
        """The bounds of a declared type. Raises DslError for bounds and words that no array can have."""
        bounds = [(each, None if each is None else self.sized(each)) for each in (type.low, type.high)]
        for each, value in bounds:
            if each is not None and (not isinstance(value, (int, float, Dim)) or isinstance(value, bool)):
                raise DslError(Diagnostic(Code.E0309, "a bound of a domain is a number or a dimension", each.span, "", "write `in 0:K`"))
        (_, low), (last, high) = bounds
        if last is not None and isinstance(low, (int, float)) and isinstance(high, (int, float)) and low >= high:
            raise DslError(Diagnostic(Code.E0109, f"nothing lies in {low}:{high}", last.span, "", "write the smaller bound first"))
        square = next((word for word in type.words if word in SQUARE), None)
        if square and (len(shape) < 2 or shape[-1] != shape[-2]):
            message = f"`{square}` is said of square matrices, and this is {shape_text(shape)}"
            raise DslError(Diagnostic(Code.E0305, message, type.span, "", f"write `[D, D] {square}`"))
        return low, high

    def sized(self, expr: syntax.Expr) -> Value:
        """A value over dimensions; a name that is new is a new dimension."""
        stack = [expr]
        while stack:
            each = stack.pop()
            if isinstance(each, syntax.Name) and each.id not in self.scope.values:
                self.scope.make(each, Dim.symbol(each.id))
                self.implied[each.id] = each.span
            elif isinstance(each, syntax.Binary):
                stack += [each.left, each.right]
        return self.elaborator.expression(expr, self.scope)

    def undeclared(self, name: str, role: str) -> Input:
        rank = self.knowledge.ranks.get(name)
        dtype = self.knowledge.kinds.get(name, "float")
        if rank is None:
            return argument(name, role, TensorType(dtype, None, like=(name,)))
        dims = [Symbol(f"{name}.shape[{i}]", True) for i in range(rank)]
        shape = tuple(self.knowledge.equal.get(each, Dim.atom(each)) for each in dims)
        return argument(name, role, TensorType(dtype, shape))

    def lookup(self, name: syntax.Name, scope: Scope) -> Value:
        if name.id in self.failed:
            raise DslError()
        if self.declared or name.id in self.later:
            close = nearest(name.id, scope.known())
            code = Code.E0207 if name.id in self.later else Code.E0201
            message = f"`{name.id}` is used before it is made" if code is Code.E0207 else f"unknown name `{name.id}`"
            help = "move its line up" if code is Code.E0207 else f"did you mean `{close}`?" if close else f"declare it: `input {name.id}: […]`"
            raise DslError(Diagnostic(code, message, name.span, "", help))
        node = self.undeclared(name.id, "input")
        self.arguments[name.id] = Declared(node, span=name.span)
        self.scope.make(name, node)
        return node

    @cached_property
    def later(self) -> set[str]:
        return {name.id for each in self.module.statements if isinstance(each, syntax.Assign) for name in each.targets}

    def assign(self, statement: syntax.Assign) -> None:
        value = self.elaborator.expression(statement.value, self.scope)
        self.note_uses(statement)
        with self.elaborator.at(statement.value):
            self.bind(statement, value)

    def bind(self, statement: syntax.Assign, value: Value) -> None:
        assign_targets(self.scope, statement, value)
        name_derived(self.scope, self.derived.intersection(name.id for name in statement.targets))
        for name in statement.targets:
            found = self.scope.values[name.id]
            if isinstance(found, (Closure, int, Dim)) and not isinstance(found, bool):
                continue
            if isinstance(found, tuple):
                continue
            node = array(found)
            self.scope.values[name.id] = node
            self.assigned[name.id] = node
            if isinstance(node, Apply):
                self.names.setdefault(node, name.id)
            if statement.unpack:
                self.used.add(name.id)

    def note_uses(self, statement: syntax.Assign) -> None:
        """Every name that an assignment reads is used, and is no output by default."""
        self.used.update(each.id for each in syntax.walk(statement.value) if isinstance(each, syntax.Name))

    def origins(self) -> dict[Node, tuple[int, ...]]:
        """The numbers of the pieces that made each node."""
        found: dict[Node, tuple[int, ...]] = {}
        for number, piece in enumerate(self.recorder.pieces):
            found.update((node, (*found.get(node, ()), number)) for node in dict.fromkeys(piece.values))
        return found

    def place(self, expr: syntax.Expr, value: Value) -> None:
        """What a statement makes, in a function's body too, belongs to that statement's line."""
        self.recorder.note(expr, value, self.line)
        stack: list[Node] = [each for each in (value if isinstance(value, tuple) else (value,)) if isinstance(each, Node)]
        while stack:
            each = stack.pop()
            if isinstance(each, Apply) and each not in self.lines:
                self.lines[each] = self.line
                stack += each.args


def _captured(statement: syntax.Def) -> set[str]:
    """The names of the program around it that a function reads."""
    own = {each.id for each in syntax.walk((statement.params, tuple(one.targets for one in statement.body))) if isinstance(each, syntax.Name)}
    read = syntax.walk((tuple(one.value for one in statement.body), statement.result))
    return {each.id for each in read if isinstance(each, syntax.Name)} - own


def _made(statement: syntax.Statement) -> Iterator[str]:
    """The names that a statement would have made."""
    if isinstance(statement, syntax.Assign):
        yield from (name.id for name in statement.targets)
    elif isinstance(statement, (syntax.Declare, syntax.DimDeclare, syntax.Import)):
        yield from (name.id for name in statement.names)
    elif isinstance(statement, (syntax.Def, syntax.Rule, syntax.ConstDeclare)):
        yield statement.name.id
