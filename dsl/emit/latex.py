"""A graph as LaTeX: each operation prints itself by the ``latex`` of its own stanza, down to what has a name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from dsl.nodes import Apply, Const, Input, Node, topological
from dsl.ops.spec import ATOM, COMPARE, LOWEST, POWER, PRODUCT, SUM, UNARY, Text
from dsl.types import Dim

GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
).split()
_LETTERS = dict(zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ", GREEK, strict=True))
_PLACE = re.compile(r"\{(\w+|\*)\}")
_WRAP = {"_": r"\_", "#": r"\#", "%": r"\%", "&": r"\&", "$": r"\$", "{": r"\{", "}": r"\}", "^": r"\hat{}", "~": r"\sim ", "\\": r"\backslash "}


class _Printer:
    """What an operation may ask for while it prints itself as LaTeX."""

    dtype = r"\text{float}"
    fast = False

    def dim(self, dim: Dim) -> str:
        return size(dim)

    def shape(self, node: Node) -> str:
        return shape(node)


def latex(node: Node, names: Mapping[Node, str]) -> str:
    """The formula of a node. ``names`` are LaTeX already; what has one is not written out."""
    texts: dict[Node, Text] = {}
    printer = _Printer()
    for each in topological([node], {one for one in names if one is not node}):
        if isinstance(each, Const):
            texts[each] = _number(each)
        elif isinstance(each, Input):
            texts[each] = Text(identifier(each.name))
        elif isinstance(each, Apply):
            args = [Text(names[arg]) if arg in names and arg is not node else texts[arg] for arg in each.args]
            texts[each] = filled(each.op.latex, each, args) if isinstance(each.op.latex, str) else each.op.latex(each, args, printer)
    return sized(texts[node].text) if node in texts else names[node]


def formula(template: str, params: Sequence[str], args: Sequence[str]) -> str:
    """A template on texts of its parameters: ``\\frac{{x}}{{y}}`` of S and N."""
    return sized(_filled(template, dict(zip(params, map(_loose, args), strict=False))).text)


def _loose(text: str) -> Text:
    return Text(text, SUM if re.search(r" [+-] ", text) else PRODUCT if " " in text else ATOM)


def filled(template: str, node: Apply, args: Sequence[Text]) -> Text:
    """An operation's template with its arguments, by name or by number, ``{*}`` for all of them, and its settings."""
    values: dict[str, Text | str] = {key: _setting(value) for key, value in node.attrs}
    values |= {str(i): arg for i, arg in enumerate(args)}
    values |= dict(zip(node.op.params, args, strict=False))
    values["*"] = ", ".join(arg.text for arg in args)
    values["name"] = escaped(node.op.name)
    if any(arg.type.shape == () for arg in node.args):
        # with a number there is nothing to pair up
        template = template.replace(r"\odot", r"\,")
    return _filled(template, values)


def _filled(template: str, values: Mapping[str, Text | str]) -> Text:
    level, bare = _binding(template)

    def put(match: re.Match[str]) -> str:
        value = values.get(match[1])
        if value is None:
            return match[0]
        return value if isinstance(value, str) else _at(value, bare.get(match.start(), LOWEST), match.start() > 0)

    return Text(_PLACE.sub(put, template), level)


def _at(text: Text, level: int, inner: bool) -> str:
    """A text in brackets where it binds too loosely, or where its sign would stand behind an operator."""
    return f"({text.text})" if level and inner and text.text.startswith("-") else text.at(level)


@cache
def _binding(template: str) -> tuple[int, Mapping[int, int]]:
    """How tightly a template's outermost operator binds, and how tightly what stands unbracketed in it must, by place."""
    outer, bare, depth, i = "", [], 0, 0
    while i < len(template):
        place = _PLACE.match(template, i)
        if place and depth == 0:
            bare.append(i)
            outer += "x"
        if place:
            i = place.end()
            continue
        opened = template.startswith((r"\lfloor", r"\lceil", r"\begin"), i) or template[i] in "{("
        closed = template.startswith((r"\rfloor", r"\rceil", r"\end"), i) or template[i] in "})"
        depth += opened
        outer += "" if depth else template[i]
        depth -= closed
        i += 1
    if outer.startswith("|"):
        return ATOM, {}
    operators = (
        (COMPARE, SUM, SUM, r" (?:[<>=]|\\(?:le|ge|ne|land|lor)) "),
        (SUM, SUM, SUM, r" \+ "),
        (SUM, SUM, PRODUCT, r" - "),
        (UNARY, PRODUCT, PRODUCT, r"^-|^\\lnot"),
        (PRODUCT, PRODUCT, PRODUCT, r"\\odot|\\bmod|\\otimes|\\cdot|x x|x \\"),
        (POWER, ATOM, ATOM, r"\^"),
    )
    for level, left, right, pattern in operators:
        if re.search(pattern, outer):
            return level, {place: right if i else left for i, place in enumerate(bare)}
    return ATOM, dict.fromkeys(bare, ATOM)


def sized(text: str) -> str:
    """Round brackets as high as what stands in them."""
    opened: list[int] = []
    high: set[int] = set()
    for i, sign in enumerate(text):
        if sign == "(":
            opened.append(i)
        elif sign == ")" and opened:
            start = opened.pop()
            if re.search(r"\\(?:frac|sum|begin|sqrt)", text[start:i]) and not text[:start].endswith(r"\left"):
                high |= {start, i}
    return "".join({"(": r"\left(", ")": r"\right)"}[sign] if i in high else sign for i, sign in enumerate(text))


def escaped(text: str) -> str:
    """A word such that LaTeX shows just it."""
    return "".join(_WRAP.get(sign, sign) for sign in text)


def identifier(name: str) -> str:
    """A name of the program as mathematics has it: ``W1`` is W with an index, ``log_sd`` a word, ``sigma`` a Greek letter."""
    stem, _, index = name.rpartition("_")
    if index.isdigit() and stem:
        return f"{identifier(stem)}_{{{index}}}" if "_{" not in identifier(stem) else f"{{{identifier(stem)}}}_{{{index}}}"
    if len(name) > 1 and name[-1].isdigit() and name.rstrip("0123456789"):
        stem = name.rstrip("0123456789")
        if "_" not in stem:
            return f"{identifier(stem)}_{{{name[len(stem) :]}}}"
    if re.fullmatch("[A-Z][a-z]", name):
        return f"{name[0]}_{{{name[1]}}}"
    if name in GREEK:
        return f"\\{name}"
    if name in _LETTERS:
        return f"\\{_LETTERS[name]}"
    return name if len(name) == 1 and name.isascii() else f"\\mathit{{{escaped(name)}}}"


def size(dim: Dim) -> str:
    """A dimension: ``\\lfloor D / 4 \\rfloor``, ``N - 1``."""
    text = re.sub(r"(\w+)\.shape\[(\d+)\]", lambda match: f"\\text{{{match[1]}.shape[{match[2]}]}}", str(dim))
    return re.sub(r"(?<![\\\w])[A-Za-z]\w+\b(?![^{]*\})", lambda match: identifier(match[0]), text).replace(" * ", " ").replace("//", r"\mathbin{//}")


def shape(node: Node) -> str:
    """A node's shape: ``N \\times K``."""
    dims = node.type.shape
    return r"\text{any shape}" if dims is None else r" \times ".join(map(size, dims)) if dims else "1"


class _Parts(NamedTuple):
    digits: str
    exponent: str


def _number(node: Const) -> Text:
    value = node.value
    if isinstance(value, bool):
        return Text(rf"\text{{{value}}}")
    if value != value or abs(value) == float("inf"):
        return Text(r"\text{nan}") if value != value else Text(r"\infty") if value > 0 else Text(r"-\infty", UNARY)
    parts = _Parts(*f"{value!r}e".split("e")[:2])
    digits = parts.digits.removesuffix(".0")
    if not parts.exponent:
        return Text(digits, UNARY if value < 0 else ATOM)
    power = f"10^{{{int(parts.exponent)}}}"
    if digits in ("1", "-1"):
        return Text(power, POWER) if value > 0 else Text(f"-{power}", UNARY)
    return Text(rf"{digits} \cdot {power}", PRODUCT)


def _setting(value: object) -> str:
    if isinstance(value, Dim):
        return size(value)
    if isinstance(value, tuple) and all(isinstance(each, (int, Dim)) for each in value):
        return ", ".join(map(_setting, value))
    return escaped(str(value))


__all__ = ["escaped", "formula", "identifier", "latex", "shape", "size"]
