"""Entries in another order along their axes: in reverse, or moved round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast as typing_cast

from dsl.diagnostics import Code
from dsl.nodes import Apply, Node, apply
from dsl.ops.core import axes_of, axis_of, shape_of
from dsl.ops.spec import ATOM, Op, Printer, Text, function
from dsl.types import Dim, ShapeError, TensorType, as_dim


def _axes(node: Apply) -> tuple[int, ...]:
    axes = typing_cast("int | tuple[int, ...]", node.attr("axis"))
    return axes if isinstance(axes, tuple) else (axes,)


def _infer_moved(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return replace(types[0], weak=False)


def _emit_flip(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    back = [axis + len(node.type.known) for axis in _axes(node)]
    parts = ["::-1" if i in back else ":" for i in range(max(back) + 1)]
    return Text(f"{args[0].at(ATOM)}[{', '.join(parts)}]")


def _vjp_flip(node: Apply, g: Node) -> Sequence[Node | None]:
    return (apply(FLIP, g, axis=node.attr("axis")),)


FLIP = Op("flip", _infer_moved, _emit_flip, _vjp_flip, linear=True, view=True)


def flip(m: Node, axis: object = None) -> Node:
    axes = axes_of(axis, len(shape_of(m)))
    return apply(FLIP, m, axis=axes[0] if len(axes) == 1 else axes) if axes else m


def _emit_roll(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    shifts, axes = typing_cast("tuple[Dim, ...]", node.attr("shift")), typing_cast("tuple[int, ...] | None", node.attr("axis"))
    shown = [printer.dim(shift) for shift in shifts]
    shift = shown[0] if len(shown) == 1 else f"({', '.join(shown)})"
    if axes is None:
        return Text(f"np.roll({args[0].text}, {shift})")
    left = [axis if axis == -1 else axis + len(node.type.known) for axis in axes]
    if len(left) == 1:
        return Text(f"_roll({args[0].text}, {shift}, axis={left[0]})")
    return Text(f"np.roll({args[0].text}, {shift}, axis={tuple(left)})")


def _vjp_roll(node: Apply, g: Node) -> Sequence[Node | None]:
    back = tuple(-shift for shift in typing_cast("tuple[Dim, ...]", node.attr("shift")))
    return (apply(ROLL, g, shift=back, axis=node.attr("axis")),)


ROLL = Op("roll", _infer_moved, _emit_roll, _vjp_roll, linear=True)


def roll(a: Node, shift: object, axis: object = None) -> Node:
    shifts = [as_dim(each) for each in (shift if isinstance(shift, tuple) else (shift,)) if isinstance(each, (int, Dim)) and not isinstance(each, bool)]
    if len(shifts) != (len(shift) if isinstance(shift, tuple) else 1):
        raise ShapeError(Code.E0204, "`shift` is an integer, or one for each axis")
    if a.type.shape == ():
        return a
    if axis is None:
        return apply(ROLL, a, shift=(sum(shifts[1:], shifts[0]),), axis=None)
    rank = len(shape_of(a))
    axes = [axis_of(each, rank) for each in (axis if isinstance(axis, tuple) else (axis,))]
    count = max(len(shifts), len(axes))
    if {len(shifts), len(axes)} - {1, count}:
        raise ShapeError(Code.E0204, f"{len(shifts)} shifts for {len(axes)} axes")
    return apply(ROLL, a, shift=tuple(shifts * count if len(shifts) == 1 else shifts), axis=tuple(axes * count if len(axes) == 1 else axes))


OPS = (FLIP, ROLL)

FUNCTIONS = (
    function(
        "flip(m, axis: axes = None)",
        "shape",
        "Entries in reverse along an axis, several, or all.",
        flip,
        derivative="g in reverse",
        cases=("y * flip(x)", "y * flip(x, 0)", "y * flip(x, axis=(0, 1))", "y * flip(x, -1)"),
    ),
    function(
        "roll(a, shift: static, axis: axes = None)",
        "shape",
        "Entries moved round along an axis, several, or in a laid out flat.",
        roll,
        derivative="g moved back",
        cases=("y * roll(x, 1)", "y * roll(x, -2, axis=1)", "y * roll(x, (1, 2), axis=(0, 1))", "y * roll(x, 7, axis=0)", "y * roll(x, 1, axis=(0, 1))"),
    ),
)
