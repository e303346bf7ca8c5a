"""Syntax trees as plain data, to be compared; and random programs, written as carelessly as a person may."""

from dataclasses import fields

from hypothesis import strategies as st

from dsl import syntax
from dsl.diagnostics import Source
from dsl.parse import parse


def plain(item: object) -> object:
    """A tree without its places."""
    if isinstance(item, tuple):
        return tuple(plain(each) for each in item)
    if isinstance(item, syntax.Node):
        return type(item).__name__, *(plain(getattr(item, each.name)) for each in fields(item) if each.name != "span")
    return (type(item), item)


def meaning(text: str) -> object:
    """What a formatter may not change: the statements, the docstring, the comments' words."""
    module = parse(Source("program.expr", text))
    return plain(module.statements), module.docstring, [each.text.lstrip("#").strip() for each in module.comments]


SPACE = st.sampled_from(["", "", " ", "   ", "\t"])
NAMES = st.sampled_from(["a", "b", "x", "W", "sigma", "learning_rate", "σ", "log_likelihood_of_everything"])
ATOMS = NAMES | st.sampled_from(["1", "2.5", ".5", "3.", "1e-5", "1_000", "True", "None", "...", "'same'", '"a,b->c"', "pi", "()"])
BINARY = st.sampled_from("+ - * / // % @ ** < <= > >= == != and or".split())


@st.composite
def spaced(draw: st.DrawFn, *parts: str) -> str:
    """Parts with careless spaces between; words stay apart."""
    text = ""
    for part in parts:
        space = draw(SPACE)
        if not space and text[-1:] and part and (text[-1].isalnum() or text[-1] in "_.'\"") and (part[0].isalnum() or part[0] in "_.'\""):
            space = " "
        text += space + part
    return text


@st.composite
def bracketed(draw: st.DrawFn, open: str, parts: list[str], close: str) -> str:
    """Parts in a bracket with commas, where lines may be broken and comments may stand."""
    line = st.sampled_from(["", "", "", "", "\n", "\n\n   ", "  # a comment, with ( and 'a quote\n"])
    rows = [part + draw(line) for part in parts]
    return open + draw(line) + ",".join(rows) + (draw(st.sampled_from(["", ","])) if parts else "") + draw(line) + close


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    @st.composite
    def made(draw: st.DrawFn) -> str:
        kind = draw(st.integers(0, 9))
        if kind <= 2:
            return draw(spaced(draw(inner), draw(BINARY), draw(inner)))
        if kind == 3:
            sign = draw(st.sampled_from(["-", "+", "not"]))
            return draw(spaced("(", sign, draw(inner), ")") if sign == "not" else spaced(sign, draw(inner)))
        if kind == 4:
            return draw(bracketed("(", [draw(inner)], ")")).replace(",)", ")")
        if kind == 5:
            return draw(spaced(draw(NAMES), draw(bracketed("(", [draw(inner), draw(spaced("axis", "=", draw(inner)))], ")"))))
        if kind == 6:
            items = draw(st.lists(inner | st.sampled_from([":", "1 :", ": -1", "::2", "a : b + 1"]), min_size=1, max_size=3))
            return draw(spaced(draw(NAMES), draw(bracketed("[", items, "]"))))
        if kind == 7:
            return draw(bracketed("[", draw(st.lists(inner, max_size=4)), "]"))
        if kind == 8:
            return draw(spaced("(", draw(inner), "if", draw(inner), "else", draw(inner), ")"))
        return draw(spaced(draw(NAMES), ".", draw(NAMES), "(", draw(inner), ")"))

    return made()


EXPRESSIONS = st.recursive(ATOMS, _compound, max_leaves=12)


@st.composite
def statements(draw: st.DrawFn) -> str:
    value = draw(EXPRESSIONS)
    name = draw(NAMES)
    kind = draw(st.integers(0, 8))
    if kind <= 2:
        return draw(spaced(name, "=", value)).lstrip()
    if kind == 3:
        return draw(spaced(name, ",", "other", "=", value)).lstrip()
    if kind == 4:
        return draw(spaced(draw(st.sampled_from(["input", "param"])), f" {name}", ":", "int", "[", "N", ",", "2*K", "]", "in", "0", ":", "K")).lstrip()
    if kind == 5:
        return draw(spaced("def", " f", "(", name, ",", "(", "h", ",", "c", ")", ",", "axis", "=", "-1", ")", "=", value)).lstrip()
    if kind == 6:
        comment = draw(st.sampled_from(["", "    # inside\n", "\n\n", "# at the edge\n"]))
        return f"def f({name}) :\n  y={value}\n{comment}  return y , {value}"
    if kind == 7:
        return f"rule f({name})->out\n  value   {value}\n  d/d{name}  out\n  domain {name} : real in 0:1\n  latex  \"\\f(  x\""
    return draw(spaced("const", f" {name}", "=", value)).lstrip()


@st.composite
def programs(draw: st.DrawFn) -> str:
    """A program that parses, though it may mean nothing."""
    between = st.sampled_from(["\n", "\n", "\n\n", "\n\n\n\n", "  # behind\n", "\n#alone\n", " \t\n"])
    text = draw(st.sampled_from(["", "# What it is.\n", "\n\n#!x\n  # more\n\n"]))
    for each in draw(st.lists(statements(), max_size=6)):
        text += each + draw(between)
    return text
