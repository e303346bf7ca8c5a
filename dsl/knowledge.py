"""What the uses of undeclared names tell of them. A resolver that needs more starts again, knowing more than before; so it ends."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from dsl import syntax
from dsl.diagnostics import Code, Diagnostic
from dsl.nodes import Apply, Input, topological
from dsl.ops.core import NeedInteger, NeedRank, Undecided
from dsl.types import Dim, Symbol


@dataclass
class Knowledge:
    """What earlier starts found out of undeclared names: ranks, number kinds, equal dimensions."""

    ranks: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    equal: dict[Symbol, Dim] = field(default_factory=dict)

    def learn(self, need: Undecided, typed: Collection[str]) -> Diagnostic | None:
        """Take a need to heart, or say why it cannot be met: a name in ``typed`` is declared otherwise, or several could be meant."""
        if isinstance(need, NeedRank):
            return self._learn_rank(need)
        assert isinstance(need, NeedInteger) and isinstance(need.node, Input)
        name = need.node.name
        if name in typed or name in self.kinds:
            message = f"an index must be an integer, and `{name}` is float"
            return Diagnostic(Code.E0307, message, need.span, help=f"declare it: `input {name}: int{need.node.type}`")
        self.kinds[name] = "int"
        return None

    def _learn_rank(self, need: NeedRank) -> Diagnostic | None:
        """Give a rank to the one undeclared name that decides the node's."""
        node = need.node
        while isinstance(node, Apply):
            unknown = {arg: None for arg in node.args if arg.type.shape is None}
            if len(unknown) != 1:
                break
            (node,) = unknown
        if isinstance(node, Input) and need.rank is not None and node.name not in self.ranks:
            self.ranks[node.name] = need.rank
            return None
        unknown_inputs = (each for each in topological([node]) if isinstance(each, Input) and each.type.shape is None)
        name, role = next(((each.name, each.role) for each in unknown_inputs), ("x", "input"))
        return Diagnostic(Code.E0306, f"the number of axes of `{name}` is not known here", need.span, help=f"declare it: `{role} {name}: [N, D]`")


def guessed(module: syntax.Module) -> Knowledge:
    """``@`` operands are matrices unless another use says otherwise: a first guess that saves starting again for each."""
    knowledge = Knowledge()
    stack: list[syntax.Expr] = [each.value for each in module.statements if isinstance(each, syntax.Assign)]
    while stack:
        expr = stack.pop()
        if isinstance(expr, syntax.Binary):
            if expr.op == "@":
                for side in (expr.left, expr.right):
                    if isinstance(side, syntax.Name):
                        knowledge.ranks.setdefault(side.id, 2)
            stack += [expr.left, expr.right]
        elif isinstance(expr, syntax.Call):
            stack += [*expr.args, *(each for _, each in expr.keywords)]
        elif isinstance(expr, syntax.Unary):
            stack.append(expr.operand)
    return knowledge
