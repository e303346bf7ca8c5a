"""Elementwise operations: ``elementwise.rules`` read into ``Op`` records, and the promotion of their arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files

from dsl.diagnostics import Code
from dsl.nodes import Apply, Const, Node, apply, const
from dsl.ops.spec import ATOM, COMPARE, LOWEST, POWER, PRODUCT, SUM, UNARY, Op, Printer, Text, function
from dsl.types import ShapeError, TensorType, broadcast, broadcast_like


@dataclass(frozen=True, eq=False)
class Stanza:
    """A rule as text: its parameters, and its lines by key (``partials`` and ``domains`` by parameter)."""

    name: str
    params: tuple[str, ...]
    lines: Mapping[str, str]
    partials: Mapping[str, str] = field(default_factory=dict)
    domains: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.lines.get("kind", "float")


@dataclass(frozen=True, eq=False)
class Elementwise(Op):
    """An operation that a rule declares. ``partials`` are expressions of the language over the parameters and ``out``."""

    stanza: Stanza = field(default_factory=lambda: Stanza("", (), {}))


_LEVELS = {
    "**": POWER,
    "*": PRODUCT,
    "/": PRODUCT,
    "//": PRODUCT,
    "%": PRODUCT,
    "+": SUM,
    "-": SUM,
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), COMPARE),
}
_STATIC = {"where": "{x} if {c} else {y}", "logical_and": "{x} and {y}", "logical_or": "{x} or {y}", "logical_not": "not {x}"}
_INFIX = re.compile(r"^(\{\w+\}|\d+) (\S+) (\{\w+\})$")


def read_stanzas(text: str) -> dict[str, Stanza]:
    """The stanzas of a rules file by name, their expressions unparsed: most programs use few of them."""
    found: dict[str, Stanza] = {}
    for block in re.split(r"(?m)^(?=rule )", text)[1:]:
        head, *body = block.splitlines()
        match = re.match(r"rule (\w+)\(([\w, ]*)\)", head)
        assert match is not None, head
        lines: dict[str, str] = {}
        partials: dict[str, str] = {}
        domains: dict[str, str] = {}
        for line in filter(str.strip, body):
            key, _, rest = line.strip().partition(" ")
            if key.startswith("d/d"):
                partials[key[3:]] = rest.strip()
            elif key == "domain":
                name, _, words = rest.partition(":")
                domains[name.strip()] = words.strip()
            else:
                lines[key] = rest.strip()
        found[match[1]] = Stanza(match[1], tuple(match[2].split(", ")), lines, partials, domains)
    return found


def _infer(stanza: Stanza, types: tuple[TensorType, ...]) -> TensorType:
    shape = broadcast(types)
    weak = all(each.weak for each in types)
    like = broadcast_like(types)
    kind = stanza.kind
    if kind in ("float", "bool", "whole"):
        return TensorType("bool" if kind == "bool" else "float", shape, weak, like)
    values = types[1:] if kind == "select" else types
    ranks = {"bool": 0, "int": 1, "float": 2}
    dtype = max((each.dtype for each in values), key=ranks.__getitem__)
    if dtype == "bool" and kind == "same":
        dtype = "int"
    return TensorType(dtype, shape, weak, like)


def _emit_static(stanza: Stanza, node: Apply, args: Sequence[Text]) -> Text | None:
    """A choice among Python numbers, or a condition on them, as Python has it."""
    form = _STATIC.get(stanza.name) if node.type.weak else None
    if form is None or (stanza.kind == "bool" and any(arg.type.dtype != "bool" for arg in node.args)):
        return None
    return Text(form.format(**{name: arg.at(COMPARE) for name, arg in zip(stanza.params, args, strict=True)}), LOWEST)


def _emit(stanza: Stanza, node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    static = _emit_static(stanza, node, args)
    if static is not None:
        return static
    template = stanza.lines[_form(stanza, node, printer)]
    if stanza.kind == "select" and not node.type.weak and node.type.dtype == "float" and all(arg.type.weak for arg in node.args[1:]):
        # NumPy gives float64 for two Python floats
        args = [args[0], Text(f"{printer.dtype}.type({args[1].text})"), *args[2:]]
    infix = _INFIX.match(template)
    if infix is None and not template.startswith("-"):
        text = template.format(**{name: arg.at(LOWEST) for name, arg in zip(stanza.params, args, strict=True)})
        if node.type.weak:
            # a NumPy scalar would not take the precision of what it meets
            return Text(f"{node.type.dtype}({text})")
        return Text(text)
    level = UNARY if infix is None else _LEVELS[infix[2]]
    names = stanza.params
    texts = dict(zip(names, args, strict=True))
    left_level, right_level = (level, level + 1) if level in (SUM, PRODUCT) else (level + 1, level + 1)
    if level == POWER:
        # the exponent may begin with a minus, the base may not
        right_level = UNARY
    if infix is None:
        operand = texts[names[0]]
        return Text(f"-{operand.at(ATOM if operand.level == POWER else UNARY)}", UNARY)
    shown = {infix[1].strip("{}"): left_level, infix[3].strip("{}"): right_level}
    return Text(template.format(**{name: text.at(shown.get(name, ATOM)) for name, text in texts.items()}), level)


def _form(stanza: Stanza, node: Apply, printer: Printer) -> str:
    """Which of a stanza's lines of NumPy prints a node."""
    special = (("zero", _masks), ("signs", _chooses_sign), ("quick", lambda node: printer.fast and _is_array(node)))
    return next((form for form, fits in special if form in stanza.lines and fits(node)), "numpy")


def _is_array(node: Node) -> bool:
    """Whether a value is an array of floats, and not a choice by a truth value of Python's."""
    condition = node.args[0].type
    return bool(node.type.shape) and node.type.dtype == "float" and not (condition.weak and condition.dtype == "bool")


def _chooses_sign(node: Apply) -> bool:
    """Whether a choice is between an array and the same with its sign changed."""
    c, x, y = node.args
    turned = isinstance(y, Apply) and y.op.name == "negative" and y.args[0] is x
    return turned and x.type == node.type and node.type.dtype == "float" and c.type.dtype == "bool" and bool(c.type.shape)


def _masks(node: Apply) -> bool:
    """Whether a choice keeps some entries of an array and puts 0 in place of the others, the array or the condition being of its shape."""
    c, x, y = node.args
    zero = isinstance(y, Const) and y.value == 0 and y.type.dtype != "bool"
    arrays = x.type.dtype == "float" and not x.type.weak and c.type.dtype == "bool" and bool(x.type.shape) and bool(c.type.shape)
    return zero and arrays and node.type.shape in (x.type.shape, c.type.shape)


def _build(stanza: Stanza) -> Elementwise:
    return Elementwise(
        name=stanza.name,
        infer=lambda types, attrs: _infer(stanza, types),
        emit=lambda node, args, printer: _emit(stanza, node, args, printer),
        elementwise=True,
        params=stanza.params,
        latex=stanza.lines.get("latex", Op.latex),
        stanza=stanza,
    )


def read_rules(text: str) -> dict[str, Elementwise]:
    """The operations of a rules file by name."""
    return {name: _build(stanza) for name, stanza in read_stanzas(text).items()}


@cache
def elementwise_ops() -> Mapping[str, Elementwise]:
    """Every elementwise operation by name, from the rules file of the package."""
    return read_rules(files("dsl.ops").joinpath("elementwise.rules").read_text(encoding="utf-8"))


def _infer_cast(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return replace(types[0], dtype=str(attrs["dtype"]))


def _emit_cast(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    dtype = str(node.attr("dtype"))
    if node.type.weak:
        return Text(f"{dtype}({args[0].text})")
    name = printer.dtype if dtype == "float" else "np.int64" if dtype == "int" else "np.bool_"
    return Text(f"{args[0].at(ATOM)}.astype({name})")


def _vjp_cast(node: Apply, g: Node) -> Sequence[Node | None]:
    return (g if node.args[0].type.dtype == "float" and node.type.dtype == "float" else None,)


CAST = Op("cast", _infer_cast, _emit_cast, _vjp_cast, linear=True, elementwise=True, latex="{0}")


def _is_list(x: Node) -> bool:
    """Whether x is a list of numbers, or of such lists: it is written in another kind at once."""
    return isinstance(x, Apply) and x.op.name == "stack" and all(isinstance(arg, Const) or _is_list(arg) for arg in x.args)


def cast(x: Node, dtype: str) -> Node:
    """x with another kind of number; an integer array becomes the program's float, not float64."""
    if x.type.dtype == dtype:
        return x
    if isinstance(x, Const):
        return const({"float": float, "int": int, "bool": bool}[dtype](x.value))
    if isinstance(x, Apply) and _is_list(x):
        return apply(x.op, *(cast(arg, dtype) for arg in x.args), **dict(x.attrs))
    return apply(CAST, x, dtype=dtype)


def ew(name: str, *args: Node) -> Node:
    """An elementwise operation by name. Integers that meet floats take the floats' precision, as the language promises."""
    op = elementwise_ops()[name]
    kind = op.stanza.kind
    if kind == "whole" and args[0].type.dtype == "int":
        return args[0]
    values = args[1:] if kind == "select" else args
    floats = kind in ("float", "whole") or (kind != "bool" and any(arg.type.dtype == "float" for arg in values))
    if floats:
        plain = tuple(arg if arg.type.weak else cast(arg, "float") for arg in values)
        args = args[: len(args) - len(values)] + plain
    return apply(op, *args)


# the n-th derivative of digamma has a setting, which a rule cannot have ------------------------------------------------


def _infer_polygamma(types: tuple[TensorType, ...], attrs: Mapping[str, object]) -> TensorType:
    return replace(types[0], dtype="float")


def _emit_polygamma(node: Apply, args: Sequence[Text], printer: Printer) -> Text:
    text = f"_polygamma({node.attr('n')}, {args[0].text})"
    return Text(f"float({text})" if node.type.weak else text)


def _vjp_polygamma(node: Apply, g: Node) -> Sequence[Node | None]:
    return (ew("multiply", g, polygamma(int(str(node.attr("n"))) + 1, node.args[0])),)


POLYGAMMA = Op("polygamma", _infer_polygamma, _emit_polygamma, _vjp_polygamma, elementwise=True, latex=r"\psi^{({n})}({0})")


def polygamma(n: int, x: Node) -> Node:
    if not 0 <= n <= 100:
        raise ShapeError(Code.E0204, f"the order of `polygamma` is an integer from 0 to 100, not {n}")
    return ew("digamma", x) if n == 0 else apply(POLYGAMMA, x if x.type.weak else cast(x, "float"), n=n)


# functions that are made of several rules ------------------------------------------------------------------------------


def _round(a: Node, decimals: int) -> Node:
    """As NumPy does it: scaled, rounded, scaled back."""
    if not decimals or (a.type.dtype == "int" and decimals > 0):
        return ew("rint", a)
    scale = const(float(10 ** abs(decimals)))
    there, back = ("multiply", "divide") if decimals > 0 else ("divide", "multiply")
    return cast(ew(back, ew("rint", ew(there, a, scale)), scale), "int" if a.type.dtype == "int" else "float")


def _clip(a: Node, a_min: Node | None, a_max: Node | None, min: Node | None, max: Node | None) -> Node:
    low, high = a_min if a_min is not None else min, a_max if a_max is not None else max
    a = a if low is None else ew("maximum", a, low)
    return a if high is None else ew("minimum", a, high)


OPS = (CAST, POLYGAMMA)

FUNCTIONS = (
    function(
        "round(a, decimals: int = 0)",
        "elementwise",
        "Rounded to a number of decimals, a half to the even neighbour.",
        _round,
        derivative="0",
        cases=("x + round(x)", "x + round(10 * x, 1)", "x * round(100 * x, decimals=-1)", "x + round(i, -1) | x: [3]; i: int[3] in 0:99"),
    ),
    function(
        "clip(a, a_min=None, a_max=None, *, min=None, max=None)",
        "two arguments",
        "minimum(maximum(a, a_min), a_max); a bound that is None is none. At a bound a and the bound get half of the gradient each.",
        _clip,
        derivative="g where a is between the bounds; beyond, the bound gets it",
        cases=(
            "clip(x, -0.31, 0.52)",
            "clip(x, None, 0.52)",
            "clip(x, min=-0.31)",
            "x.clip(-0.31, max=0.52)",
            "clip(x, y, 2.5)",
            "clip(3 * x, a_min=-1, a_max=y) | x: [3, 4]; y: [4] positive",
        ),
    ),
    function(
        "polygamma(n: int, x, /)",
        "elementwise",
        "The n-th derivative of digamma, to 1e-14; at its zeros below 0 the error is no more than rounding x makes.",
        polygamma,
        derivative="g * polygamma(n + 1, x)",
        cases=("polygamma(0, x) | x: [4] positive", "polygamma(1, x) | x: [4] positive", "polygamma(3, x) | x: [4] positive"),
    ),
)
