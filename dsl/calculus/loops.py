"""``fold``, ``scan`` and ``map``: a user's function becomes the turn of a loop, and the loop gets a derivative.

What a turn does not change, whatever it captures of the program around it, is computed before the loop.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Protocol

from dsl import syntax
from dsl.calculus.batching import Unbatchable, batched
from dsl.diagnostics import Code
from dsl.elaborate import Steps
from dsl.nodes import Apply, Input, Node, Notes, argument, substituted
from dsl.ops.arguments import known_help
from dsl.ops.core import shape_of
from dsl.ops.elementwise import cast
from dsl.ops.loops import Blocks, Loop, Turn, captured_by, loop
from dsl.ops.spec import function
from dsl.ops.words import word
from dsl.scope import Closure, Told, Value
from dsl.types import ONE, Dim, ShapeError, TensorType, as_dim, require, same
from dsl.values import array, describe


class Call(Protocol):
    """How a function that is a value is called; ``names`` are what functions called the nodes that they made, ``told`` is of the one called."""

    names: Mapping[Node, str]
    told: Told

    def __call__(self, f: Value, args: list[Value]) -> Steps: ...


def fold(call: Call, f: Value, init: Value, sequences: Value, checkpoint: Value = None) -> Steps:
    """The carry after the last turn."""
    size = _size("fold", checkpoint)
    made = yield _looped(call, "fold", f, init, sequences)
    made = made if size is None else _checkpointed(made, size)
    return _shaped(init, [made.last(i) for i in range(len(made.turn.carries))])


def scan(call: Call, f: Value, init: Value, sequences: Value, checkpoint: Value = None) -> Steps:
    """The carries after every turn, stacked on a new first axis."""
    size = _size("scan", checkpoint)
    made = yield _looped(call, "scan", f, init, sequences)
    carries = range(len(made.turn.carries))
    return _shaped(init, [made.after(i) for i in carries] if size is None else [_checkpointed(made, size).out(i) for i in carries])


def _size(name: str, checkpoint: Value) -> Dim | None:
    """How many turns lie between two carries that are kept. Raises ShapeError for what is no positive size."""
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, (int, Dim)) or isinstance(checkpoint, bool):
        message = f"`checkpoint` of `{name}` must be a whole number that is known when the program is compiled"
        raise ShapeError(Code.E0204, message, help=known_help((checkpoint,), "write a number of turns, such as `checkpoint=100`"))
    size = as_dim(checkpoint)
    if size.constant is not None and size.constant < 1:
        raise ShapeError(Code.E0305, f"`checkpoint` of `{name}` must be at least 1, not {size}", help="write a number of turns, such as `checkpoint=100`")
    if size.constant is None:
        require(size, ">=", ONE, f"`checkpoint` of `{name}` is a number of turns")
    return size


def _checkpointed(made: Loop, size: Dim) -> Loop:
    """The loop as one over blocks of its turns, each a loop over the rows of its block. It gives out every carry, for ``scan``."""
    turn = made.turn
    # a size that no program can name
    rows = Dim.symbol(f"'rows'({_depth.get()})")

    def outside(each: Input, lead: tuple[Dim, ...] = ()) -> Input:
        return argument(each.name, f"{each.role} block", TensorType(each.type.dtype, lead + each.type.known))

    carries, constants = tuple(map(outside, turn.carries)), tuple(map(outside, turn.constants))
    blocks = tuple(outside(each, (rows,)) for each in turn.elements)
    inner = loop(turn, carries, blocks, constants, rows)
    places = range(len(carries))
    notes = Notes(wishes=tuple((inner.after(i), carry.name) for i, carry in enumerate(carries)))
    outer = Turn(carries, blocks, constants, tuple(map(inner.last, places)), tuple(map(inner.after, places)), notes)
    count = (made.length + size - 1) // size
    return loop(outer, made.initial, made.sequences, made.constants, count, blocks=Blocks(size, made.length, rows))


def map_(call: Call, f: Value, sequences: Value) -> Steps:
    """A function of every element, stacked: one computation for all of them, or, where an operation does not take it, a loop."""
    arrays = [array(each) for each in _flat(sequences)]
    if isinstance(f, (Node, tuple, int, float, Dim)):
        raise ShapeError(Code.E0204, f"`map` needs a function first, not {describe(f)[0]}", help="write `map(row, X)`")
    length, role = _length("map", arrays), f"loop {_depth.get()}"
    names = _parameters(f, 0, len(arrays))
    elements = [argument(name, role, TensorType(each.type.dtype, shape_of(each)[1:])) for name, each in zip(names, arrays, strict=True)]
    token = _depth.set(_depth.get() + 1)
    try:
        value = yield call(f, [_shaped(sequences, elements)])
    finally:
        _depth.reset(token)
    made = [array(each) for each in _flat(value)]
    for each in made:
        shape_of(each)
    try:
        return _shaped(value, batched(made, dict(zip(elements, arrays, strict=True)), (length,)))
    except Unbatchable:
        turn, constants = _closed((), tuple(elements), made, role, {**_around(f), **call.names}, call.told)
        looped = loop(replace(turn, nexts=(), outs=turn.nexts), [], arrays, constants, length)
        return _shaped(value, [looped.out(i) for i in range(len(made))])


def _flat(value: Value) -> list[Value]:
    return [leaf for each in value for leaf in _flat(each)] if isinstance(value, tuple) else [value]


def _shaped(like: Value, leaves: Sequence[Value]) -> Value:
    """Leaves in the tuples of another value."""
    rest = iter(leaves)

    def fill(each: Value) -> Value:
        return tuple(fill(one) for one in each) if isinstance(each, tuple) else next(rest)

    return fill(like)


def _looped(call: Call, name: str, f: Value, init: Value, sequences: Value) -> Generator[Any, Any, Loop]:
    """The loop of a function over sequences, or for a number of times. Raises ShapeError."""
    if isinstance(f, (Node, tuple, int, float, Dim)):
        raise ShapeError(Code.E0204, f"`{name}` needs a function first, not {describe(f)[0]}", help=f"write `{name}(step, h0, X)`")
    count = isinstance(sequences, (int, Dim)) and not isinstance(sequences, bool)
    arrays = [] if count else [array(each) for each in _flat(sequences)]
    length = as_dim(sequences) if count else _length(name, arrays)
    if length.constant is not None and length.constant < 0:
        raise ShapeError(Code.E0305, f"`{name}` cannot run {length} times", help="write a count that is not negative")
    start = [array(each) for each in _flat(init)]
    role, names = f"loop {_depth.get()}", _parameters(f, len(start), len(arrays))
    rows = [TensorType(each.type.dtype, shape_of(each)[1:]) for each in arrays]
    elements = tuple(argument(names[len(start) + i], role, each) for i, each in enumerate(rows))
    while True:
        carries = tuple(argument(names[i], role, TensorType(each.type.dtype, shape_of(each, 0))) for i, each in enumerate(start))
        token = _depth.set(_depth.get() + 1)
        try:
            value = yield call(f, [_shaped(init, carries)] + ([] if count else [_shaped(sequences, elements)]))
        finally:
            _depth.reset(token)
        nexts = [array(each) for each in _flat(value)]
        floats = _fitting(name, carries, nexts)
        if not floats:
            break
        start = [cast(each, "float") if i in floats else each for i, each in enumerate(start)]
    nexts = [cast(each, old.type.dtype) for each, old in zip(nexts, carries, strict=True)]
    turn, constants = _closed(carries, elements, nexts, role, {**_around(f), **call.names}, call.told)
    return loop(turn, start, arrays, constants, length)


_depth: ContextVar[int] = ContextVar("depth", default=0)


def _length(name: str, arrays: Sequence[Node]) -> Dim:
    """The number of turns. Raises ShapeError where the sequences have no first axis, or differ in it."""
    lengths: list[Dim] = []
    for each in arrays:
        if not shape_of(each):
            help = f"write a count, as in `{name}(step, x0, 20)`, or an array"
            raise ShapeError(Code.E0302, f"`{name}` runs along a first axis, and this is a scalar", help=help)
        lengths.append(shape_of(each)[0])
    for other in lengths[1:]:
        if not same(lengths[0], other):
            raise ShapeError(Code.E0301, f"the sequences of `{name}` differ in length: {lengths[0]} and {other}", help="declare both with one name")
    return lengths[0]


def _parameters(f: Value, carries: int, elements: int) -> list[str]:
    """What the function calls the carries and the elements."""
    targets = [target for param in f.definition.params for target in _flat(param.target)] if isinstance(f, Closure) else []
    names = [each.id for each in targets if isinstance(each, syntax.Name)]
    if len(names) == carries + elements:
        return names
    return [f"carry{i}" for i in range(carries)] + [f"element{i}" for i in range(elements)]


def _fitting(name: str, carries: Sequence[Input], nexts: Sequence[Node]) -> set[int]:
    """The integer carries that must be floats, for they become that. Raises ShapeError for a carry that changes shape."""
    if len(carries) != len(nexts):
        raise ShapeError(Code.E0305, f"`{name}` starts with {len(carries)} carries, and its function gives {len(nexts)}", help="return what you were given")
    for old, new in zip(carries, nexts, strict=True):
        shape = shape_of(new, len(old.type.known))
        if len(shape) != len(old.type.known) or not all(map(same, shape, old.type.known)):
            message = f"a carry may not change shape: `{old.name}` starts as {old.type} and becomes {new.type}"
            raise ShapeError(Code.E0305, message, help="start with an array of the final shape, such as `zeros((N, K))`")
    return {i for i, (old, new) in enumerate(zip(carries, nexts, strict=True)) if old.type.dtype != "float" and new.type.dtype == "float"}


def _around(f: Value) -> dict[Node, str]:
    """What is made around a function, by name."""
    scope = f.scope if isinstance(f, Closure) else None
    names: dict[Node, str] = {}
    while scope is not None:
        names = {each: name for name, each in scope.values.items() if isinstance(each, Apply)} | names
        scope = scope.parent
    return names


def _closed(
    carries: tuple[Input, ...], elements: tuple[Input, ...], nexts: Sequence[Node], role: str, names: Mapping[Node, str], told: Told
) -> tuple[Turn, list[Node]]:
    """The turn with everything that it captures given to it as a constant, and these constants: they are computed once, before the loop."""
    captured = captured_by(nexts, (*carries, *elements))
    given: dict[Node, Input] = {}
    for node in captured:
        name = node.name if isinstance(node, Input) else names.get(node, word(node))
        name = f"{name}_{len(given)}" if any(name == each.name for each in given.values()) else name
        given[node] = argument(name, f"{role} constant", node.type)
    mapped = substituted(nexts, given)
    made = tuple(mapped[node] for node in nexts)
    notes = Notes(tuple(told.names.items()), tuple(told.lines.items()), tuple(names.items())).mapped(mapped, made)
    return Turn(carries, elements, tuple(given.values()), made, (), notes), list(captured)


FUNCTIONS = (
    function(
        "fold(f, init, sequences, /, checkpoint: size = None)",
        "loops",
        "The carry after the last turn of `carry = f(carry, element)` along the first axis; `checkpoint=k` keeps every k-th carry for backward alone.",
        fold,
    ),
    function("map(f, sequences, /)", "loops", "The function of every element along the first axis, stacked: a loop only where an operation needs one.", map_),
    function(
        "scan(f, init, sequences, /, checkpoint: size = None)",
        "loops",
        "The carries after every turn, stacked on a new first axis; `init` is not among them. `checkpoint=k` as in fold.",
        scan,
    ),
)

__all__ = ["FUNCTIONS", "fold", "map_", "scan"]
