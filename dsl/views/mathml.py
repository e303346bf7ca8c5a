"""LaTeX formulas as MathML, which browsers show without a script or a font. Of LaTeX, what formulas use; anything else is shown as it is written."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from dsl.emit.latex import GREEK

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)
_GREEK = dict(zip(GREEK, "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ", strict=True))
_OPERATORS = {
    **{"odot": "⊙", "cdot": "·", "times": "×", "otimes": "⊗", "ast": "∗", "to": "→", "bmod": "mod", "le": "≤", "ge": "≥", "ne": "≠", "in": "∈"},
    **{"land": "∧", "lor": "∨", "lnot": "¬", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "lVert": "‖", "rVert": "‖"},
    **{"langle": "⟨", "rangle": "⟩", "sum": "∑", "prod": "∏", "sim": "∼", "backslash": "\\", "pm": "±", "int": "∫"},
}
_SPACES = {",": "0.17em", ";": "0.28em", ":": "0.22em", "!": "0", " ": "0.25em", "quad": "1em", "qquad": "2em"}
_LIMITS = ("sum", "prod", "max", "min")
_NAMED = "log sin cos tan sinh cosh tanh arcsin arccos arctan det max min exp ln lim".split()
_FENCES = "()[]|"


def mathml(latex: str, display: bool = False, alt: str = "") -> str:
    """A formula as an element of a page; ``alt`` says the same in plain text."""
    kind = ' display="block"' if display else ""
    said = f" alttext={quoteattr(alt)}" if alt else ""
    return f"<math{kind}{said}>{inner(latex)}</math>"


def inner(latex: str) -> str:
    """What stands within the element, as one."""
    return _Parser(latex).whole()


class _Parser:
    """Reads tokens from the left; a group, a fraction, an array reads its parts."""

    def __init__(self, latex: str) -> None:
        self.tokens: list[str] = _TOKEN.findall(latex.strip())
        self.at = 0

    def whole(self) -> str:
        found = ""
        while self.at < len(self.tokens):
            found += _row(self.row(()))
            self.at += 1  # a bracket that nothing opened
        return f"<mrow>{found}</mrow>"

    def peek(self) -> str:
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def raw(self) -> str:
        """The next token, a space too."""
        self.at += 1
        return self.tokens[self.at - 1]

    def row(self, stops: tuple[str, ...]) -> list[str]:
        """Elements up to a token that ends them, which is left."""
        found: list[str] = []
        limits = False
        while self.peek() and self.peek() not in (*stops, "}"):
            token = self.take()
            if token in "_^":
                found.append(self.scripts(token, found.pop() if found else "<mrow></mrow>", limits))
                continue
            limits = token[1:] in _LIMITS and token.startswith("\\")
            leads = token == "-" and (not found or (found[-1].startswith("<mo>") and found[-1] != "<mo>)</mo>"))
            found.append('<mo form="prefix">−</mo>' if leads else self.element(token))
        return found

    def scripts(self, token: str, base: str, limits: bool) -> str:
        """An index, an exponent, or both."""
        parts = {token: self.argument()}
        if self.peek() in ("_", "^") and self.peek() != token:
            other = self.take()
            parts[other] = self.argument()
        if len(parts) == 2:
            return f"<msubsup>{base}{parts['_']}{parts['^']}</msubsup>"
        name = "munder" if limits and token == "_" else "msub" if token == "_" else "msup"
        return f"<{name}>{base}{parts[token]}</{name}>"

    def argument(self) -> str:
        """A group, or one element."""
        if self.peek() == "{":
            self.take()
            found = _row(self.row(()))
            self.take()
            return found
        return self.element(self.take()) if self.peek() else "<mrow></mrow>"

    def words(self) -> str:
        """The text of a group as it is written."""
        if self.peek() != "{":
            return self.take()
        self.take()
        found, depth = "", 0
        while self.at < len(self.tokens) and (depth or self.tokens[self.at] != "}"):
            token = self.raw()
            depth += (token == "{") - (token == "}")
            found += token[1:] if token[:1] == "\\" and len(token) == 2 else "\\" if token == r"\backslash" else token if token not in "{}" else ""
        self.take()
        return found

    def element(self, token: str) -> str:
        if token == "{":
            self.at -= 1
            return self.argument()
        if token.startswith("\\"):
            return self.command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{token}</mi>"
        if token in _FENCES:
            return f'<mo stretchy="false">{token}</mo>'
        return f"<mo>{escape({'-': '−', '*': '∗'}.get(token, token))}</mo>"

    def command(self, name: str) -> str:
        if name == "frac":
            return f"<mfrac>{self.argument()}{self.argument()}</mfrac>"
        if name == "sqrt":
            return self.root()
        if name in ("operatorname", "mathit", "mathrm"):
            return f'<mi class="{"word" if name == "mathit" else "function"}">{escape(self.words())}</mi>'
        if name == "mathbf":
            return f'<mi class="bold">{escape(self.words())}</mi>'
        if name in ("text", "textit"):
            return f"<mtext>{escape(self.words())}</mtext>"
        if name == "mathbin":
            return f"<mo>{escape(self.words())}</mo>"
        if name == "left":
            return self.fenced()
        if name == "begin":
            return self.array()
        return self.sign(name)

    def sign(self, name: str) -> str:
        if name in _GREEK:
            return f"<mi>{_GREEK[name]}</mi>"
        if name in ("partial", "infty", "top"):
            return f'<mi class="upright">{ {"partial": "∂", "infty": "∞", "top": "⊤"}[name] }</mi>'
        if name in _OPERATORS:
            return f"<mo>{escape(_OPERATORS[name])}</mo>"
        if name in _NAMED:
            return f'<mi class="function">{name}</mi>'
        if name in _SPACES:
            return f'<mspace width="{_SPACES[name]}"/>'
        return f"<mo>{escape(name)}</mo>" if len(name) == 1 else f"<mtext>{escape(name)}</mtext>"

    def root(self) -> str:
        if self.peek() != "[":
            return f"<msqrt>{self.argument()}</msqrt>"
        self.take()
        index = _row(self.row(("]",)))
        self.take()
        return f"<mroot>{self.argument()}{index}</mroot>"

    def fenced(self) -> str:
        """``\\left( … \\right)``: brackets as high as what stands in them."""
        opening = self.fence()
        content = "".join(self.row((r"\right",)))
        self.take()
        closing = self.fence() if self.peek() else ""
        return f'<mrow><mo stretchy="true">{escape(opening)}</mo>{content}<mo stretchy="true">{escape(closing)}</mo></mrow>'

    def fence(self) -> str:
        token = self.take()
        return _OPERATORS.get(token[1:], token[1:]) if token.startswith("\\") else "" if token == "." else token

    def array(self) -> str:
        """``\\begin{cases} … & … \\\\ … \\end{cases}``."""
        kind = self.words()
        rows: list[list[str]] = [[]]
        while self.at < len(self.tokens):
            rows[-1].append(f"<mtd>{_row(self.row(('&', chr(92) * 2, chr(92) + 'end')))}</mtd>")
            stop = self.take()
            if stop == r"\\":
                rows.append([])
            elif stop != "&":
                break
        self.words()
        table = f"<mtable>{''.join(f'<mtr>{str().join(row)}</mtr>' for row in rows)}</mtable>"
        return f'<mrow class="cases"><mo stretchy="true">{{</mo>{table}</mrow>' if kind == "cases" else table


def _row(elements: list[str]) -> str:
    return elements[0] if len(elements) == 1 else f"<mrow>{''.join(elements)}</mrow>"


__all__ = ["inner", "mathml"]
