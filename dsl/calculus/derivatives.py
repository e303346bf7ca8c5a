"""Derivatives as expressions: each operator takes nodes of a graph and gives nodes, so that they nest and stand inside anything.

Forward mode is reverse mode twice: the cotangent ``vjp(f, x, u)`` is linear in u, and its own transpose, applied to a tangent, is
``jvp(f, x, v)``. No formula is written twice, and the u that it was taken at drops out.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsl.calculus.batching import Unbatchable
from dsl.calculus.directions import directed
from dsl.calculus.identities import rewrite
from dsl.calculus.jacobians import for_every_unit
from dsl.calculus.logarithms import Logarithms
from dsl.calculus.reverse import pull_back
from dsl.calculus.stability import stable
from dsl.diagnostics import Code, DslError
from dsl.nodes import Apply, Input, Node, argument, const, rebuild, substituted, topological
from dsl.ops.aliases import NAMED
from dsl.ops.core import shape_of
from dsl.ops.linear import remembered
from dsl.ops.loops import Turn, captured_by, loop
from dsl.ops.making import eye
from dsl.ops.shaping import reshape, spread
from dsl.ops.spec import function
from dsl.scope import Value
from dsl.types import Shape, ShapeError, product, same
from dsl.values import array


def grad(f: Value, wrt: Value) -> Value:
    """The gradient of a scalar. Raises ShapeError for an array."""
    node = _scalar(f, "gradient", "write `jacobian({0}, {1})`")
    return _as(wrt, _cotangents([(node, const(1.0))], _targets(wrt)))


def _scalar(f: Value, what: str, help: str) -> Node:
    """What has a gradient or a Hessian. Raises ShapeError for an array."""
    node = _differentiable(f)
    if shape_of(node, 0):
        raise ShapeError(Code.E0302, f"a {what} is that of a scalar, and this is {node.type}", "{0} is " + str(node.type), help)
    return node


def vjp(f: Value, wrt: Value, u: Value) -> Value:
    """Reverse mode: u times the Jacobian of f, in the shape of ``wrt``. Raises ShapeError where u has not the shape of f."""
    f = _differentiable(f)
    return _as(wrt, _cotangents([(f, _fitting(array(u), f, "a cotangent has the shape of what is differentiated"))], _targets(wrt)))


def jvp(f: Value, wrt: Value, v: Value) -> Node:
    """Forward mode: the Jacobian of f times v, in the shape of f. Raises ShapeError where v has not the shape of ``wrt``."""
    node, targets = _differentiable(f), _targets(wrt)
    u = argument("u", "cotangent", node.type)
    pulled = _cotangents([(node, u)], targets)
    (pushed,) = _cotangents(list(zip(pulled, _tangents(targets, v), strict=True)), [u])
    # what is linear in u has one derivative wherever it is taken: where the u of a loop is left, it may be 0
    return substituted([pushed], {u: spread(const(0.0), node)})[pushed]


def hvp(f: Value, wrt: Value, v: Value) -> Value:
    """The Hessian of a scalar times v, in the shape of ``wrt``."""
    node, targets = _scalar(f, "Hessian", "write `hvp(sum({0}), …)`, or `jvp(vjp({0}, {1}, u), {1}, v)`"), _targets(wrt)
    gradients = _cotangents([(node, const(1.0))], targets)
    return _as(wrt, _cotangents(list(zip(gradients, _tangents(targets, v), strict=True)), targets))


def jacobian(f: Value, wrt: Value) -> Value:
    """Every entry of f by every entry of ``wrt``: f's shape, then the variable's."""
    return _as(wrt, _jacobians(_differentiable(f), _targets(wrt)))


def hessian(f: Value, wrt: Value) -> Value:
    """The second derivatives of a scalar: the variable's shape twice. A tuple of names gives a tuple of tuples."""
    node, targets = _scalar(f, "Hessian", "write `hessian(sum({0}), {1})`, or `jacobian(jacobian({0}, {1}), {1})`"), _targets(wrt)
    rows = [tuple(_jacobians(each, targets, symmetric=len(targets) == 1)) for each in _cotangents([(node, const(1.0))], targets)]
    return tuple(rows) if isinstance(wrt, tuple) else rows[0][0]


def _jacobians(node: Node, targets: Sequence[Node], symmetric: bool = False) -> list[Node]:
    """The Jacobian by each target, which remembers what it multiplies as."""
    shape = shape_of(node)
    u = argument("u", "cotangent", node.type)
    pulled = _cotangents([(node, u)], targets)
    whole = _over_all(pulled, u, shape)
    return [remembered(value, root, u, symmetric) if shape else value for value, root in zip(whole, pulled, strict=True)]


def _over_all(pulled: Sequence[Node], u: Input, shape: Shape) -> list[Node]:
    """What is linear in u, for every u that is 1 at one place: the identity of u's shape, in one computation where the operations take it."""
    try:
        return for_every_unit(pulled, u)
    except Unbatchable:
        return _one_by_one(pulled, u, shape)


def _one_by_one(pulled: Sequence[Node], u: Input, shape: Shape) -> list[Node]:
    """The same by a loop over the entries."""
    size = product(shape)
    captured = captured_by(pulled, (u,))
    given = {node: argument(f"constant{i}", "jacobian constant", node.type) for i, node in enumerate(captured)}
    mapped = substituted(pulled, given)
    turn = Turn((), (u,), tuple(given.values()), (), tuple(mapped[node] for node in pulled))
    looped = loop(turn, [], [reshape(eye(size), (size, *shape))], list(given), size)
    return [reshape(looped.out(i), shape + node.type.known) for i, node in enumerate(pulled)]


def _differentiable(f: Value) -> Node:
    """What is differentiated, as a node. Raises ShapeError for what has no derivative."""
    node = array(f)
    if node.type.dtype != "float":
        kind = "an integer" if node.type.dtype == "int" else "a truth value"
        raise ShapeError(Code.E0402, f"{kind} has no derivative", f"{{0}} is {node.type}", "differentiate a float")
    return node


def _targets(wrt: Value) -> list[Node]:
    """What to differentiate by. Raises ShapeError for what is no float."""
    values = list(wrt) if isinstance(wrt, tuple) else [wrt]
    for each in values:
        if not isinstance(each, Node) or each.type.dtype != "float":
            found = f", not by {each.type}" if isinstance(each, Node) else ""
            help = "name an input, a param, or a value that is assigned, and that is a float"
            raise ShapeError(Code.E0402, f"a derivative is by a float variable{found}", "{1}" + (f" is {each.type}" if isinstance(each, Node) else ""), help)
    return values


def _cotangents(seeds: Sequence[tuple[Node, Node]], targets: Sequence[Node]) -> list[Node]:
    """The cotangent of each target; zeros where nothing depends on it."""
    roots = [node for node, _ in seeds]
    direct = rebuild(roots, lambda node: directed(node, targets), {node: node for node in targets})
    seeds = [(direct[node], seed) for node, seed in seeds]
    roots = [node for node, _ in seeds]
    # as it is best differentiated: what stands in a program passes the optimiser only later
    logs = Logarithms()
    named: dict[Node, Node] = {node: node for node in topological(roots) if isinstance(node, Apply) and node.op is NAMED}
    mapped = rebuild(roots, lambda node: rewrite(stable(node, logs)), named)
    try:
        found = pull_back([(mapped[node], seed) for node, seed in seeds], targets, {})
    except DslError as problem:
        (diagnostic,) = problem.diagnostics
        if diagnostic.span is not None:
            raise
        # the place is that of the operator, which is being elaborated
        raise ShapeError(diagnostic.code, diagnostic.message, help=diagnostic.help) from None
    return [found.get(each) or spread(const(0.0), each) for each in targets]


def _as(wrt: Value, found: list[Node]) -> Value:
    return tuple(found) if isinstance(wrt, tuple) else found[0]


def _tangents(targets: Sequence[Node], v: Value) -> list[Node]:
    """A tangent for each target. Raises ShapeError."""
    values = list(v) if isinstance(v, (tuple, list)) and len(targets) > 1 else [v]
    if len(values) != len(targets):
        raise ShapeError(Code.E0204, f"{len(targets)} names need {len(targets)} tangents, and {len(values)} are given", help="write a tuple: `(v, w)`")
    return [_fitting(array(each), target, "a tangent has its variable's shape") for each, target in zip(values, targets, strict=True)]


def _fitting(x: Node, like: Node, rule: str) -> Node:
    """x, which must have the other's shape. Raises ShapeError."""
    if like.type.shape is None and x.type.shape is None:
        return spread(x, like)
    rank = len(shape_of(x if like.type.shape is None else like))
    mine, wanted = shape_of(x, rank), shape_of(like, rank)
    if len(mine) != len(wanted) or not all(map(same, mine, wanted)):
        raise ShapeError(Code.E0301, f"{rule}: {like.type}, not {x.type}", f"{{2}} is {x.type}", f"give it an array of the shape {like.type}")
    return x


FUNCTIONS = (
    function("grad(f, wrt, /)", "derivatives", "The gradient of a scalar by a named value, in its shape; a tuple of names gives a tuple.", grad),
    function("vjp(f, wrt, u, /)", "derivatives", "Reverse mode: u, of f's shape, times the Jacobian; in the shape of `wrt`.", vjp),
    function("jvp(f, wrt, v, /)", "derivatives", "Forward mode: the Jacobian times v, of the shape of `wrt`; in f's shape.", jvp),
    function("jacobian(f, wrt, /)", "derivatives", "Every entry of f by every entry of a named value: `f.shape + wrt.shape`.", jacobian),
    function("hessian(f, wrt, /)", "derivatives", "The second derivatives of a scalar: `wrt.shape + wrt.shape`.", hessian),
    function("hvp(f, wrt, v, /)", "derivatives", "The Hessian of a scalar times v, in the shape of `wrt`, without the Hessian.", hvp),
)

__all__ = ["FUNCTIONS", "grad", "hessian", "hvp", "jacobian", "jvp", "vjp"]
