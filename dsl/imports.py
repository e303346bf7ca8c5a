"""``from layers import dense``: other files' functions, with the consts that they use. Reading a file is left to the caller."""

from __future__ import annotations

from collections.abc import Callable

from dsl import syntax
from dsl.diagnostics import Code, Diagnostic, DslError, Source, nearest
from dsl.elaborate import Elaborator
from dsl.library import library
from dsl.nodes import Declared, argument
from dsl.parse import parse
from dsl.rules import ruled
from dsl.scope import Closure, RuleFunction, Scope, Value
from dsl.types import TensorType

Find = Callable[[syntax.Import], Source]


def nowhere(statement: syntax.Import) -> Source:
    """The finder of a text that stands in no folder. Raises DslError."""
    raise DslError(Diagnostic(Code.E0206, "a program that is not a file cannot import", statement.span, "", "write it to a file and compile that"))


def declare_const(statement: syntax.ConstDeclare, value: Value) -> Declared:
    """A const as an argument of the generated functions. Raises DslError where its default is no number."""
    if not isinstance(value, (int, float)):
        raise DslError(Diagnostic(Code.E0309, f"`{statement.name.id}` needs a number", statement.value.span, "", "a const's default is a number"))
    kind = "int" if isinstance(value, int) else "float"
    return Declared(argument(statement.name.id, "const", TensorType(kind, (), weak=True)), default=value, span=statement.name.span)


class Imports:
    """The files that a program takes functions from, each read once. ``consts`` are those that they declare, used or not."""

    def __init__(self, find: Find) -> None:
        self.find = find
        self.consts: list[Declared] = []
        self._scopes: dict[str, Scope] = {}
        self._loading: list[str] = []

    def take(self, statement: syntax.Import) -> dict[str, Closure | RuleFunction]:
        """The functions that an import names. Raises DslError for a cycle, a missing file, a name that the file does not define."""
        source = self.find(statement)
        if source.name in self._loading or source.name == statement.span.source.name:
            chain = " -> ".join([*self._loading[self._loading.index(source.name) :], source.name] if source.name in self._loading else [source.name] * 2)
            raise DslError(Diagnostic(Code.E0206, f"the imports form a cycle: {chain}", statement.span, "", "move what both need into a third file"))
        functions = self._scope(source).functions
        for name in statement.names:
            if name.id not in functions:
                close = nearest(name.id, functions)
                message = f"`{statement.module}` defines no function `{name.id}`"
                raise DslError(Diagnostic(Code.E0206, message, name.span, "", f"did you mean `{close}`?" if close else "only `def` and `rule` can be imported"))
        return {name.id: functions[name.id] for name in statement.names}

    def _scope(self, source: Source) -> Scope:
        if source.name not in self._scopes:
            self._loading.append(source.name)
            self._scopes[source.name] = self._read(source)
            self._loading.pop()
        return self._scopes[source.name]

    def _read(self, source: Source) -> Scope:
        functions: dict[str, Closure | RuleFunction] = {}
        scope = Scope(functions=functions, parent=library().scope)
        elaborator = Elaborator(_unknown)
        for statement in parse(source).statements:
            if isinstance(statement, syntax.Import):
                functions.update(self.take(statement))
            elif isinstance(statement, syntax.Def):
                functions[statement.name.id] = Closure(statement, scope)
            elif isinstance(statement, syntax.Rule):
                functions[statement.name.id] = ruled(statement, scope)
            elif isinstance(statement, syntax.ConstDeclare):
                declared = declare_const(statement, elaborator.expression(statement.value, scope))
                self.consts.append(declared)
                scope.values[statement.name.id] = declared.node
        return scope


def _unknown(name: syntax.Name, scope: Scope) -> Value:
    help = "an imported function sees its arguments, its file's consts and functions"
    raise DslError(Diagnostic(Code.E0201, f"unknown name `{name.id}`", name.span, "", help))
