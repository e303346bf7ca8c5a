"""What an operation is: one frozen record, from which every pass, page and test takes what it needs."""

from __future__ import annotations

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
    """What an operation may ask of the emitter while it prints itself."""

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
    ``shape_only`` marks an argument read for its shape alone. ``kinks`` are points that sampling avoids.
    """

    name: str
    infer: Infer
    emit: Emit
    vjp: Vjp | None = None
    linear: bool = False
    elementwise: bool = False
    params: tuple[str, ...] = ()
    latex: str = ""


class Param(NamedTuple):
    """A parameter of a function: ``default`` is REQUIRED or any static value."""

    name: str
    default: object


REQUIRED = object()


@dataclass(frozen=True, eq=False)
class Function:
    """A name of the language: ``build`` takes its bound arguments and gives a node (or a static value).

    ``cases`` are programs over small declared inputs, each a test of value and gradient: ``sum(x, axis=0)`` with ``x: [3, 4]``.
    """

    name: str
    params: tuple[Param, ...]
    build: Callable[..., object]
    family: str
    doc: str
    derivative: str = ""
    cases: tuple[str, ...] = ()
    method: bool = True
