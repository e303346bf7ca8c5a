"""A call's arguments, bound to the parameters of a function and checked: what must be known at compile time is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from dsl.diagnostics import Code, nearest
from dsl.nodes import Const, Input, Node
from dsl.ops.core import QUOTIENT, is_quotient
from dsl.ops.spec import REQUIRED, Function, Param
from dsl.types import Dim, ShapeError, as_dim

Convert = Callable[[object], Node]


def arguments(function: Function, args: Sequence[object], keywords: Mapping[str, object], array: Convert) -> list[object]:
    """The values that ``function.build`` takes, in order; ``array`` turns a value into a node. Raises ShapeError."""
    bound = _bind(function, args, keywords)
    values: list[object] = []
    for param in function.params:
        value = bound.get(param.name, param.default)
        if value is REQUIRED:
            raise ShapeError(Code.E0204, f"`{function.name}` needs `{param.name}`", help=f"write `{function.signature}`")
        if param.how == "rest" and param.kind == "array":
            values.append([array(each) for each in value] if isinstance(value, (tuple, list)) else [])
        elif value is None and param.optional:
            values.append(None)
        else:
            values.append(_checked(function, param, value, array))
    return values


def _bind(function: Function, args: Sequence[object], keywords: Mapping[str, object]) -> dict[str, object]:
    """Values by parameter. Raises ShapeError for too many, unknown or repeated ones."""
    takes = f"write `{function.signature}`"
    bound: dict[str, object] = {}
    rest = list(args)
    for param in function.params:
        if param.how == "rest" and (rest or param.default is REQUIRED) and param.name not in keywords:
            bound[param.name], rest = tuple(rest), []
        elif param.how in ("positional", "either") and rest:
            bound[param.name] = rest.pop(0)
    if rest:
        count = sum(param.how in ("positional", "either") for param in function.params)
        raise ShapeError(Code.E0204, f"`{function.name}` takes {count} positional argument{'s' * (count != 1)}, and {len(args)} are given", help=takes)
    named = [param.name for param in function.params if param.how != "positional"]
    for key, value in keywords.items():
        if key in bound:
            raise ShapeError(Code.E0204, f"`{key}` of `{function.name}` is given twice", help=takes)
        if key not in named:
            close = nearest(key, named)
            raise ShapeError(Code.E0204, f"`{function.name}` takes no argument `{key}`", help=f"did you mean `{close}`?" if close else takes)
        bound[key] = value
    return bound


def _checked(function: Function, param: Param, value: object, array: Convert) -> object:
    """A value as its parameter's kind has it. Raises ShapeError."""
    if param.kind == "array":
        return array(value)
    if param.kind == "arrays":
        if not isinstance(value, (list, tuple)) or not value:
            raise ShapeError(Code.E0204, f"`{function.name}` takes a list of arrays", help=f"write `{function.name}([x, y])`")
        return [array(each) for each in value]
    if isinstance(value, Const):
        value = value.value
    if param.how == "rest":
        if value == ():
            if param.kind == "axes":
                return None
            raise ShapeError(Code.E0204, f"`{function.name}` needs `{param.name}`", help=f"write `{function.signature}`")
        # x.reshape(2, 3) and x.reshape((2, 3)) are one
        value = value[0] if isinstance(value, tuple) and len(value) == 1 else value
        if value == () and param.kind == "axes":
            return None
    help = known_help(value if isinstance(value, (tuple, list)) else (value,))
    if isinstance(value, Node) or (help and help != QUOTIENT):
        raise ShapeError(Code.E0204, f"`{param.name}` of `{function.name}` must be known when the program is compiled", help=help)
    expected, read = _KINDS[param.kind]
    try:
        known = read(value)
    except TypeError:
        message = f"`{param.name}` of `{function.name}` must be {expected}, not {_shown(value)}"
        raise ShapeError(Code.E0204, message, help=help or f"write `{function.signature}`") from None
    # only reshape's -1 means something
    if param.kind in ("size", "shape") and param.how != "rest":
        for size in known if isinstance(known, tuple) else (known,):
            if isinstance(size, Dim) and (size.constant or 0) < 0:
                raise ShapeError(Code.E0305, f"a dimension cannot be negative: {size}", help="write 0 or more")
    return known


def known_help(parts: Iterable[object], otherwise: str = "") -> str:
    """What to do about values that must be known when the program is compiled."""
    for each in parts:
        if is_quotient(each):
            return QUOTIENT
        if isinstance(each, Input) and each.role == "const":
            return f"a size that is fixed is no const: write `dim {each.name} = 3`"
    return otherwise


def _int(value: object) -> int:
    if isinstance(value, Dim) and value.constant is not None:
        return value.constant
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _ints(value: object) -> int | tuple[int, ...]:
    return tuple(map(_int, value)) if isinstance(value, (tuple, list)) else _int(value)


def _size(value: object) -> Dim:
    if not isinstance(value, (int, Dim)) or isinstance(value, bool):
        raise TypeError
    return as_dim(value)


def _sizes(value: object) -> tuple[Dim, ...]:
    return tuple(map(_size, value)) if isinstance(value, (tuple, list)) else (_size(value),)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _dtype(value: object) -> str:
    """``float``, ``int`` or ``bool``: a name of Python's, or its text. The precision is that of the program's arguments."""
    name = value.__name__ if isinstance(value, type) else value
    if name not in ("float", "int", "bool"):
        raise TypeError
    return str(name)


def _static(value: object) -> object:
    """Numbers stay numbers; a list is a tuple, so that it can be a setting of a node."""
    if isinstance(value, (list, tuple)):
        return tuple(map(_static, value))
    if isinstance(value, Const):
        return value.value
    if isinstance(value, Node):
        raise TypeError
    return value


_KINDS: Mapping[str, tuple[str, Callable[[object], object]]] = {
    "axis": ("an axis", _int),
    "axes": ("an axis or a tuple of axes", _ints),
    "shape": ("a shape of integers and dimensions", _sizes),
    "size": ("an integer or a dimension", _size),
    "int": ("an integer", _int),
    "flag": ("True or False", _flag),
    "text": ("a text", _text),
    "dtype": ("float, int or bool", _dtype),
    "static": ("known when the program is compiled", _static),
}


def _shown(value: object) -> str:
    """A value as a message shows it."""
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_shown, value))})"
    if isinstance(value, Node):
        return f"a value of {value.type}"
    return "a text" if isinstance(value, str) and len(value) > 20 else str(value) if isinstance(value, Dim) else repr(value)
