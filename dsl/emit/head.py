"""The head of a generated function: arguments made arrays, dimensions read, everything checked that only the call can know."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dsl.nodes import Declared, Program
from dsl.sizes import Solved, solve
from dsl.types import ONE, Check, Dim, shape_text


def checks(program: Program) -> list[str]:
    """The statements that make every argument an array and refuse what does not fit."""
    arrays = _arrays(program)
    lines = _conversions(arrays)
    consts = (each for each in program.arguments if each.node.role == "const")
    lines += [f'{each.node.name} = _{each.node.type.dtype}_number({each.node.name}, "{each.node.name}")' for each in consts]
    solved = {(one.argument, one.axis) for one in solve(arrays) if not one.rest.terms and one.factor == ONE}
    checked = [each for each in arrays if _needs_check(each, solved)]
    wanted = {*(s.name for each in checked for dim in each.node.type.known for s in dim.symbols())}
    wanted |= {s.name for check in program.checks if isinstance(check, Check) for s in check.left.symbols() + check.right.symbols()}
    ranges = [each for each in arrays if each.node.type.dtype == "int" and (each.low is not None or each.high is not None)]
    wanted |= {s.name for each in ranges for bound in (each.low, each.high) if isinstance(bound, Dim) for s in bound.symbols()}
    lines += sizes(program, wanted)
    for each in checked:
        lines += _shape_check(each)
    for each in ranges:
        lines.append(f'_check_range({each.node.name}, "{each.node.name}", {_bound(each.low)}, {_bound(each.high)})')
    for check in program.checks:
        assert isinstance(check, Check)
        lines += _relation(check)
    return lines


def _arrays(program: Program) -> list[Declared]:
    return [each for each in program.arguments if each.node.role != "const"]


def _conversions(arrays: Sequence[Declared]) -> list[str]:
    """The statements that make every argument an array of the declared dtype and number of axes. Where all of several are that already, which one
    condition finds out in a third of the time, nothing is called."""
    usual = [each for each in arrays if each.node.type.shape]
    lines = {each: f'{each.node.name} = _{each.node.type.dtype}_array({each.node.name}, "{each.node.name}"{_rank(each)})' for each in arrays}
    if len(usual) < 2:
        return list(lines.values())
    kinds = {dtype: [each.node.name for each in usual if each.node.type.dtype == dtype] for dtype in ("float", "int", "bool")}
    tests = [f"{' is '.join(f'type({each.node.name})' for each in usual)} is np.ndarray"]
    tests += [f"{' is '.join(f'{name}.dtype' for name in kinds['float'])} in _FLOATS"] * bool(kinds["float"])
    tests += [f"{' == '.join(f'{name}.dtype' for name in kinds['int'])} == _INT"] * bool(kinds["int"])
    tests += [f'{name}.dtype.kind == "b"' for name in kinds["bool"]]
    ranks: dict[int, list[str]] = {}
    for each in usual:
        ranks.setdefault(len(each.node.type.known), []).append(f"{each.node.name}.ndim")
    tests += [f"{' == '.join(names)} == {rank}" for rank, names in ranks.items()]
    inside = "\n".join(f"    {lines[each]}" for each in usual)
    return [f"if not ({' and '.join(tests)}):\n{inside}", *(lines[each] for each in arrays if each not in usual)]


def _rank(each: Declared) -> str:
    shape = each.node.type.shape
    return "" if shape is None else f", {len(shape)}"


def _bound(value: object) -> str:
    return value.text() if isinstance(value, Dim) else repr(value)


def _needs_check(each: Declared, solved: Collection[tuple[str, int]]) -> bool:
    """Whether a shape could be wrong: some axis is not merely where its dimension is read from."""
    for axis, dim in enumerate(each.node.type.shape or ()):
        own = f"{each.node.name}.shape[{axis}]"
        if str(dim) != own and (each.node.name, axis) not in solved:
            return True
    return False


def sizes(program: Program, wanted: Collection[str]) -> list[str]:
    """Dimensions as variables; all axes of an array at once where each is wanted."""
    arrays = _arrays(program)
    lines: list[str] = []
    solved, needed = solve(arrays), set(wanted)
    for one in reversed(solved):
        # what a size is solved from is needed too, and stands before it
        if one.symbol.name in needed:
            needed.update(symbol.name for symbol in (*one.rest.symbols(), *one.factor.symbols()))
    found = {one.symbol.name: one for one in solved if one.symbol.name in needed}
    ranks = {each.node.name: len(each.node.type.shape or ()) for each in arrays}
    alone: dict[str, list[Solved]] = {}
    for one in found.values():
        if one.text == f"{one.argument}.shape[{one.axis}]":
            alone.setdefault(one.argument, []).append(one)
    for name, one in list(found.items()):
        if name not in found:
            continue
        mine = [other for other in alone.get(one.argument, ()) if other.symbol.name in found]
        if len(mine) == ranks[one.argument] > 1:
            lines.append(f"{', '.join(other.symbol.name for other in sorted(mine, key=lambda other: other.axis))} = {one.argument}.shape")
            for other in mine:
                del found[other.symbol.name]
        else:
            lines.append(f"{name} = {one.text}")
            del found[name]
    return lines


def _shape_check(each: Declared) -> list[str]:
    name, shape = each.node.name, each.node.type.known
    if any(dim.flexible for dim in shape):
        return [line for axis, dim in enumerate(shape) if str(dim) != f"{name}.shape[{axis}]" for line in _axis_check(name, axis, dim)]
    expected = f"({', '.join(dim.text() for dim in shape)}{',' if len(shape) == 1 else ''})"
    found = f"{{{expected}}}" if any(dim.constant is None for dim in shape) else expected
    said = shape_text(shape) if any(dim.constant is None for dim in shape) else ""
    equal = f"{said} = " if said else ""
    return [f"if {name}.shape != {expected}:", f'    raise ValueError(f"{name} must be {equal}{found}, not {{{name}.shape}}")']


def _axis_check(name: str, axis: int, dim: Dim) -> list[str]:
    """One axis of an undeclared name against another's: the message shows both shapes."""
    others = dict.fromkeys(symbol.name.partition(".")[0] for symbol in dim.symbols() if symbol.flexible)
    shapes = ", ".join(f"{other} has shape {{{other}.shape}}" for other in others if other != name)
    message = f"{name}.shape[{axis}] must be {dim} = {{{dim.text()}}}: {name} has shape {{{name}.shape}}" + (f", {shapes}" if shapes else "")
    return [f"if {name}.shape[{axis}] != {dim.text()}:", f'    raise ValueError(f"{message}")']


def _relation(check: Check) -> list[str]:
    left, right = check.left.text(), check.right.text()
    wrong, said = {
        "==": (f"{left} != {right}", f"{check.left} must be {check.right}"),
        ">=": (f"{left} < {right}", f"{check.left} must be at least {check.right}"),
        "divides": (f"{check.right.text(3)} % {check.left.text(3)}", f"{check.left} must divide {check.right}"),
        "broadcasts": (f"{left} != {right} and 1 not in ({left}, {right})", f"{check.left} must be {check.right} or 1"),
    }[check.relation]
    if check.relation == "divides" and check.left.constant is None:
        wrong = f"{left} == 0 or {wrong}"
    sizes = ", ".join(f"{symbol} = {{{symbol}}}" for symbol in dict.fromkeys(check.left.symbols() + check.right.symbols()))
    return [f"if {wrong}:", f'    raise ValueError(f"{said}: {check.reason} ({sizes})")']
