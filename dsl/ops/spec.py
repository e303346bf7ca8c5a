"""What an operation is: one frozen record, from which every pass, page and test takes what it needs."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dsl.nodes import Apply, Node
from dsl.types import Dim, TensorType

ATOM, POWER, UNARY, PRODUCT, SUM, COMPARE, LOWEST = 7, 6, 5, 4, 3, 2, 0


class Text(NamedTuple):
    """Python source of a value, and how tightly its outermost operator binds."""

    text: str
    level: int = ATOM

    def at(self, level: int) -> str:
        """The text, in brackets where it would bind too loosely for ``level``."""
        return self.text if self.level >= level else f"({self.text})"


class Printer(Protocol):
    """What an operation may ask of the emitter while it prints itself; ``fast`` tells whether the code is to be quick rather than easy to read."""

    fast: bool

    def dim(self, dim: Dim) -> str:
        """A dimension as Python source."""

    def shape(self, node: Node) -> str:
        """The shape of a node as Python source: a tuple of dimensions, or ``X.shape``."""

    @property
    def dtype(self) -> str:
        """The program's float dtype as Python source."""


Infer = Callable[[tuple[TensorType, ...], Mapping[str, object]], TensorType]
Emit = Callable[[Apply, Sequence[Text], Printer], Text]
Vjp = Callable[[Apply, Node], Sequence[Node | None]]


@dataclass(frozen=True, eq=False)
class Op:
    """A primitive of the graph.

    ``infer`` gives the result's type and raises ShapeError; ``emit`` prints NumPy; ``vjp`` takes the node and the incoming cotangent g and
    gives a cotangent per argument, None where it is zero, each of exactly its argument's shape, built of registered ops. ``elementwise``
    ops have ``partials`` instead: source text per argument, in the language, over the arguments' names and ``out``.
    An ``alias`` is its first argument's value with a derivative of its own; a ``view`` has its entries, moved about, repeated or left out.
    One that is ``nested`` has a graph among its settings.
    One that ``raises`` NumPy's LinAlgError gets the line of the source into the message. ``parts`` names the results of an operation that
    has several: its node stands for all of them, and a node of ``ops.factorisations.PART`` takes out one. ``latex`` is a template of its
    formula, with ``{x}`` for a parameter, ``{0}`` for an argument, ``{*}`` for all of them, and a setting by its name; or a function as
    ``emit`` is one.
    """

    name: str
    infer: Infer
    emit: Emit
    vjp: Vjp | None = None
    linear: bool = False
    elementwise: bool = False
    alias: bool = False
    view: bool = False
    raises: bool = False
    nested: bool = False
    parts: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    latex: str | Emit = r"\operatorname{{name}}({*})"


def called(name: str) -> Emit:
    """Prints an operation as a call of a function with its arguments."""

    def emit(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
        return Text(f"{name}({', '.join(arg.text for arg in args)})")

    return emit


REQUIRED = object()


class Param(NamedTuple):
    """A parameter of a function. ``default`` is REQUIRED or a static value.

    ``kind`` says what it takes: ``array`` (any expression), ``arrays`` (a list of them), or something known at compile time: ``axis``,
    ``axes``, ``shape``, ``size``, ``int``, ``flag``, ``text``, ``dtype``, or ``static`` for what the function itself looks into.
    ``how`` is ``positional``, ``either``, ``keyword``, or ``rest``: all further positional arguments. ``optional`` ones may be None.
    """

    name: str
    default: object = REQUIRED
    kind: str = "array"
    how: str = "either"
    optional: bool = False

    def __str__(self) -> str:
        star = "*" if self.how == "rest" else ""
        return f"{star}{self.name}" if self.default is REQUIRED else f"{star}{self.name}={self.default!r}"


@dataclass(frozen=True, eq=False)
class Function:
    """A name of the language: ``build`` takes its bound arguments, in order, and gives a node (or a static value).

    ``derivative`` says in words or as a formula what reverse mode does. ``cases`` are expressions, each a test of value and gradient:
    ``sum(x, axis=0)``, where ``x`` and ``y`` are ``[3, 4]`` unless declarations follow: ``sum(x) | x: [2, 0]; i: int[3] in 0:2``.
    """

    name: str
    params: tuple[Param, ...]
    build: Callable[..., object]
    family: str
    doc: str
    derivative: str = ""
    cases: tuple[str, ...] = ()

    @property
    def signature(self) -> str:
        """As it is called: ``sum(a, axis=None, *, keepdims=False)``."""
        shown: list[str] = []
        for i, param in enumerate(self.params):
            before = self.params[i - 1].how if i else "either"
            if before == "positional" and param.how != "positional":
                shown.append("/")
            if param.how == "keyword" and before not in ("keyword", "rest"):
                shown.append("*")
            shown.append(str(param))
        return f"{self.name}({', '.join(shown)})"


def function(signature: str, family: str, doc: str, build: Callable[..., object], *, derivative: str = "", cases: Sequence[str] = ()) -> Function:
    """A stanza: the signature is NumPy's, in Python's syntax, with the kind of a compile-time parameter as its annotation."""
    tree = ast.parse(f"def {signature}: pass").body[0]
    assert isinstance(tree, ast.FunctionDef)
    head = tree.args
    plain = [*((arg, "positional") for arg in head.posonlyargs), *((arg, "either") for arg in head.args)]
    defaults: list[ast.expr | None] = [*[None] * (len(plain) - len(head.defaults)), *head.defaults]
    parts = [(arg, how, default) for (arg, how), default in zip(plain, defaults, strict=True)]
    parts += [(head.vararg, "rest", None)] if head.vararg else []
    parts += [(arg, "keyword", default) for arg, default in zip(head.kwonlyargs, head.kw_defaults, strict=True)]
    params = tuple(_param(arg, how, default) for arg, how, default in parts)
    return Function(tree.name, params, build, family, doc, derivative, tuple(cases))


def _param(arg: ast.arg, how: str, default: ast.expr | None) -> Param:
    """``axis: axes | None = -1``: its kind is ``axes``, and it may be None, as one may whose default is None."""
    kind, _, none = (ast.unparse(arg.annotation) if arg.annotation else "array").partition(" | ")
    value = REQUIRED if default is None else ast.literal_eval(default)
    return Param(arg.arg, value, kind, how, optional=bool(none) or value is None)
