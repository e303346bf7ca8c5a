"""A function that is fast rather than a derivation to follow: an array that nothing reads any more is overwritten.

Before: ``difference = Z - target``, ``scaled = difference * gain + bias``. After: ``difference = Z - target``, ``difference *= gain``,
``difference += bias``, all under the name of the last. What is overwritten is an array of the function's own and of the result's very shape. It
has the result's precision, for such a function begins with arguments of one.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from dsl.calculus.owned import owns
from dsl.calculus.pieces import on_threads
from dsl.emit.body import NAME, Body, Names, number, words
from dsl.emit.sums import as_sum
from dsl.emit.workspace import housed
from dsl.nodes import Apply, Const, Node, Program, const
from dsl.ops.along import IN_PLACE
from dsl.ops.contraction import EINSUM
from dsl.ops.core import is_number
from dsl.ops.elementwise import CAST, Elementwise
from dsl.ops.product_text import as_dot
from dsl.ops.spec import PRODUCT, Text

_SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**"}
_COMMUTE = ("add", "multiply")
_OPERATORS = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power", ast.MatMult: "matmul"}
# what NumPy writes into an array that it is given
_UFUNC = re.compile(r"np\.(?:exp|exp2|expm1|log|log2|log10|log1p|sqrt|square|tanh|sin|cos|abs|maximum|minimum|reciprocal)\(")
# a name that a statement writes to
_WRITES = re.compile(r"(?m)^\s*(\w+)(?:\[.*\])? [-+*/@]*\*?= |out=(\w+)\b")


class Frugal(Body):
    """A body that keeps account of its steps, so that arrays may be overwritten."""

    fast = True

    def __init__(self, program: Program, names: Names, uses: Counter[Node], keep: Iterable[Node]) -> None:
        super().__init__(program, names, uses, keep)
        # the step of each line that makes an array under a name of its own
        self.steps: dict[int, tuple[str, Apply]] = {}
        # what each such name stands for once its steps are done
        self.last: dict[str, Apply] = {}
        # the results of operations that have several, which keep their names, and the lines of those that may overwrite what they are of
        self.unpacked: set[str] = set()
        self.unpacking: dict[int, Apply] = {}
        self.overwrites = False
        # whether threads may be at work before, in and after the steps
        self.threads = on_threads(program.walks)
        # the arrays that are left in the end, and the first value of each
        self.buffers: dict[str, Apply] = {}
        # what finds an array of the caller's workspace, where there is one
        self.room = ""

    def _text(self, node: Apply) -> Text:
        """A step in the spelling that takes NumPy the least time to begin."""
        if added := as_sum(node, self._operands(node), self, self.threads):
            return added
        if node.op is EINSUM and len(node.args) == 2 and (dot := as_dot(node, self._operands(node), self)):
            return dot
        if node.op.name == "power" and is_number(node.args[1], 2) and node.type.shape:
            x = self.texts[node.args[0]]
            return Text(f"{x.text} * {x.text}", PRODUCT) if x.text.isidentifier() else Text(f"np.square({x.text})")
        return super()._text(node)

    def _operands(self, node: Apply) -> list[Text]:
        """The texts of a node's arguments, whole numbers beside arrays of floats as floats: NumPy takes longer to begin with integers."""
        texts = super()._operands(node)
        if isinstance(node.op, Elementwise) and node.op.name != "power" and any(arg.type.shape and arg.type.dtype == "float" for arg in node.args):
            texts = [_as_float(arg) or text for arg, text in zip(node.args, texts, strict=True)]
        return texts

    def _assign(self, node: Apply, name: str, text: Text) -> None:
        """A step, its first part in a line of its own where the rest can be done to that."""
        if self._set_apart(node):
            text = self._text(node)
        texts = [self.texts[arg].text for arg in node.args]
        ours = (i for i in self._places(node) if not texts[i].isidentifier() and self.uses[node.args[i]] == 1)
        # what a loop carries may be read under the very name that its next value takes
        place = next((i for i in ours if not any(name in words(text) for text in (*texts[:i], *texts[i + 1 :]))), None)
        if place is None:
            super()._assign(node, name, text)
            self.steps[len(self.lines) - 1] = name, node
            self.last[name] = node
            return
        part = node.args[place]
        assert isinstance(part, Apply)
        inner = self.texts[part]
        self._assign(part, name, inner)
        self.texts[part] = Text(name)
        self._line(node, self._overwriting(node, place, name))
        self.last[name] = node
        self.overwrites = True
        self.texts[part] = inner

    def _unpack(self, node: Apply, text: Text, parts: Mapping[int, Node]) -> None:
        of = node.args[0]
        if node.op in IN_PLACE and isinstance(of, Apply) and owns(of) and not self.texts[of].text.isidentifier() and self.uses[of] == 1:
            name, inner = self.names.give(of, self.wish(of)), self.texts[of]
            self._assign(of, name, inner)
            self.texts[of] = Text(name)
            text = self._text(node)
        super()._unpack(node, text, parts)
        if node.op in IN_PLACE:
            self.unpacking[len(self.lines) - 1] = node
        made = {self.texts[part].text: part for part in parts.values() if isinstance(part, Apply) and owns(part)}
        self.last |= made
        self.unpacked |= made.keys()

    def _set_apart(self, node: Apply) -> bool:
        """``x - f(x)`` as two steps where x is not read any more, so that the second can overwrite it; whether there was such a step."""
        places = self._places(node)
        if len(places) == 1 and len(node.args) == 2:
            arg, other = node.args[places[0]], node.args[1 - places[0]]
            name = self.texts[arg].text
            twice = self.uses[arg] == 2 and name.isidentifier() and name in words(self.texts[other].text)
            if twice and self.uses[other] == 1 and isinstance(other, Apply):
                text, called = self.texts[other], self.names.give(other, self.wish(other))
                self._assign(other, called, text)
                self.texts[other] = Text(called)
                return True
        return False

    def put(self, node: Node, target: str, text: str) -> str:
        """The statement that puts a value into a row of an array, which NumPy fills at once where it can."""
        made = None if target.isidentifier() else _into_row(node, text, target)
        return made or super().put(node, target, text)

    def fill(self, node: Node, target: str, text: str) -> str:
        """The statement that writes a value into an array."""
        return _into_row(node, text, target) or f"{target}[...] = {text}"

    def filled(self, lines: list[str]) -> list[str]:
        """``h = np.tanh(z)`` and ``hs[t] = h`` as ``h = np.tanh(z, out=hs[t])``: what is kept of a turn is made where it is kept."""
        made = {line.partition(" = ")[0]: i for i, line in reversed(list(enumerate(lines))) if " = " in line}
        changed = {match[1] or match[2]: i for i, line in enumerate(lines) for match in _WRITES.finditer(line)}
        done: dict[int, str] = {}
        for i, line in enumerate(lines):
            row, _, name = line.partition(" = ")
            # a value may be put together in place before it is kept, and nothing may change it afterwards; the array may be of the turn itself
            start = made.get(name, i)
            there = made.get(row.partition("[")[0], -1) < start
            if name in self.last and row.endswith("]") and start != i and there and start not in done and changed[name] < i:
                if text := _into_row(self.last[name], lines[start].partition(" = ")[2], row):
                    done |= {start: f"{name} = {text}", i: ""}
        return [line for i, each in enumerate(lines) if (line := done.get(i, each))]

    def _another(self, program: Program, uses: Counter[Node]) -> Body:
        return Frugal(program, self.names, uses, ())

    def _places(self, node: Apply) -> list[int]:
        """The operands that a result could overwrite."""
        if node.op in IN_PLACE:
            return [0] if owns(node.args[0]) else []
        if not isinstance(node.op, Elementwise) or node.op is CAST or not owns(node) or not (node.op.name in _SIGNS or self._is_ufunc(node)):
            return []
        return [i for i, arg in enumerate(node.args) if owns(arg) and arg.type.shape == node.type.shape and (i == 0 or node.op.name != "power")]

    def _is_ufunc(self, node: Apply) -> bool:
        return node.op.name == "negative" or _UFUNC.match(node.op.emit(node, [Text("x")] * len(node.args), self).text) is not None

    def _overwriting(self, node: Apply, place: int, name: str) -> str:
        """The statement that does a step to the variable of one of its operands."""
        if node.op.name == "power" and is_number(node.args[1], 2):
            return f"{name} *= {name}"
        args = [text.text for text in self._operands(node)]
        if node.op.name in _SIGNS and (place == 0 or node.op.name in _COMMUTE):
            return f"{name} {_SIGNS[node.op.name]}= {args[1 - place]}"
        return self._into(node, name)

    def _into(self, node: Apply, name: str) -> str:
        """A step whose result is written into an array."""
        made = _into_row(node, self._text(node).text, name)
        assert made is not None
        return made

    def reused(self, last: str) -> list[str]:
        """The lines, and the last that follows them, with arrays overwritten. A step on the way is overwritten under the name of what comes of it;
        a value that is read elsewhere too or that the source names keeps its name, and so does what is written into its place."""
        lines = [*self.lines, last]
        risky = [line in self.raising for line in lines]
        owned = {name for name, node in self.steps.values() if owns(node)} | self.unpacked
        ends = _ends(lines, owned | {name for name, node in self.steps.values() if node.type.shape == ()})
        shared = {word for line in lines if "\n" in line for word in words(line)}
        turns = {i: {name for name, _ in _assigned(line)} for i, line in enumerate(lines) if line.startswith("for ")}
        begun = {name: i for i, (name, _) in reversed(self.steps.items())}
        # the names of the values that one array holds in turn, by each of them; the first tells how many of them a loop or a block has too
        chains: dict[str, list[str]] = {}
        outside: Counter[str] = Counter()
        for i, (name, node) in self.steps.items():
            for place in self._places(node) if name in ends else ():
                arg = node.args[place]
                old = self.texts[arg].text
                once = words(lines[i].partition(" = ")[2]).count(old) == 1
                if ends.get(old) != i or not once or old not in owned:
                    continue
                chain = chains.get(old, [old])
                many = (outside[chain[0]] if old in chains else int(old in shared)) + (name in shared)
                both = all(self.last[each] in self.program.names for each in (chain[-1], name))
                # what a loop in between calls its own so
                first = begun.get(chain[0], -1)
                theirs = any(name in mine if first < j < i else i < j <= ends[name] and not mine.isdisjoint(chain) for j, mine in turns.items())
                if self.uses[arg] == 1 and many < 2 and not (both or theirs) and old not in self.unpacked:
                    lines[i] = self._overwriting(node, place, old)
                    chain.append(name)
                    chains[old] = chains[name] = chain
                    outside[chain[0]] = many
                else:
                    lines[i] = f"{name} = {self._into(node, old)}"
                self.overwrites = True
                break
        for i, node in self.unpacking.items():
            old = self.texts[node.args[0]].text
            if old in owned and ends.get(old) == i and words(lines[i]).count(old) == 1:
                lines[i] = f"{lines[i][:-1]}, out={old})"
                self.overwrites = True
        called: dict[str, str] = {}
        for name, chain in chains.items():
            if name not in called:
                called |= dict.fromkeys(chain, self._called(chain, shared))
        lines = [_renamed(line, called) for line in lines]
        self.raising = {line for line, raises in zip(lines, risky, strict=True) if raises}
        made = {i: (called.get(name, name), node) for i, (name, node) in self.steps.items()}
        self.buffers = dict(made.values())
        return housed(lines, made, self, self.room, _into_row) if self.room else lines

    def _called(self, chain: Sequence[str], shared: set[str]) -> str:
        """What all values are called that one array holds in turn: as a loop or a block calls it, as it is called for what it is, or as the last."""
        means = [name for name in chain if any(self.last[name] in known for known in (self.program.names, self.program.wishes, self.program.adjoints))]
        mine = [name for name in chain if name in shared] or means
        return mine[-1] if mine else chain[-1]


def _as_float(node: Node) -> Text | None:
    """A whole number that floats hold as one of them; None for anything else."""
    return number(const(float(node.value))) if isinstance(node, Const) and node.type.dtype == "int" and abs(node.value) <= 2**53 else None


def _into_row(node: Node, text: str, row: str) -> str | None:
    """A formula whose last step NumPy writes into a row of an array; None for one that it does not, or whose result may be of another type."""
    if not isinstance(node, Apply) or node.type.dtype != "float" or not node.type.shape or "\n" in text:
        return None
    made = ast.parse(text, mode="eval").body
    if node.op in IN_PLACE and isinstance(made, ast.Call) and isinstance(made.func, ast.Name) and made.func.id == f"_{node.op.name}":
        return f"{text[:-1]}, out={row})"
    plain = all(arg.type.dtype == "float" for arg in node.args)
    if isinstance(made, ast.BinOp) and type(made.op) in _OPERATORS and (plain or not isinstance(made.op, ast.MatMult)):
        return f"np.{_OPERATORS[type(made.op)]}({ast.get_source_segment(text, made.left)}, {ast.get_source_segment(text, made.right)}, out={row})"
    if isinstance(made, ast.UnaryOp) and isinstance(made.op, ast.USub):
        return f"np.negative({ast.get_source_segment(text, made.operand)}, out={row})"
    if isinstance(made, ast.Call) and isinstance(made.func, ast.Attribute) and all(each.arg == "axis" for each in made.keywords):
        whole = made.func.attr in ("dot", "concatenate") and plain
        own = isinstance(made.func.value, ast.Name) and _UFUNC.match(text)
        return f"{text[:-1]}, out={row})" if whole or own else None
    return None


def _ends(lines: Sequence[str], owned: set[str]) -> dict[str, int]:
    """The last line that reads each name, or what may be a view of it."""
    ends: dict[str, int] = {}
    for i in range(len(lines) - 1, -1, -1):
        if lines[i].startswith("#"):
            continue
        target, sign, rest = lines[i].partition(" = ") if "\n" not in lines[i] else ("", "", lines[i])
        targets = words(target) if sign else words(lines[i].partition("(")[0]) if lines[i].startswith("def ") else []
        end = max((ends.get(each, i) for each in targets if each not in owned), default=i)
        for word in words(rest if sign else lines[i]):
            ends[word] = max(ends.get(word, i), end)
        for name, seen in _carried(lines[i]):
            ends[seen] = max(ends[seen], ends[name])
    return ends


def _carried(text: str) -> list[tuple[str, str]]:
    """The variables of a loop that may be a view of something after it, each with what it may be seen in, also in a later turn."""
    if not text.startswith("for "):
        return []
    pairs: dict[str, set[str]] = {}
    for name, value in _assigned(text):
        pairs.setdefault(name, set()).update(_seen(value))
    found = {(name, seen) for name, each in pairs.items() for seen in each}
    while more := {(name, far) for name, seen in found for far in pairs.get(seen, ())} - found:
        found |= more
    return sorted(found)


def _assigned(text: str) -> list[tuple[str, ast.expr]]:
    """The variables that a loop's turn gives a value, each with that."""
    found: list[tuple[str, ast.expr]] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign):
            (target,), values = node.targets, node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            found += [(name.id, value) for name, value in zip(names, values * (len(names) // len(values)), strict=True) if isinstance(name, ast.Name)]
    return found


def _seen(value: ast.expr) -> list[str]:
    """The array that a formula is a view of."""
    while isinstance(value, (ast.Attribute, ast.Subscript, ast.Call)):
        if isinstance(value, ast.Call):
            whole = isinstance(value.func, ast.Attribute) and isinstance(value.func.value, ast.Name) and value.func.value.id == "np"
            value = value.args[0] if whole and value.args else value.func
        else:
            value = value.value
    return [value.id] if isinstance(value, ast.Name) else []


def _renamed(line: str, called: Mapping[str, str]) -> str:
    if line.startswith("#"):
        return line
    parts = line.split('"')
    parts[::2] = [NAME.sub(lambda match: called.get(match[0], match[0]), part) for part in parts[::2]]
    return '"'.join(parts)


__all__ = ["Frugal"]
