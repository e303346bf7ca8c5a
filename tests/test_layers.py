"""Who may import whom, and what else, read from the source as ``docs/architecture.md`` states it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DSL = Path(__file__).parent.parent / "dsl"
# a module, or a package, imports only what stands before it
ORDER = (
    *("diagnostics", "types", "nodes", "ops"),
    *("syntax", "scan", "syntax_errors", "parse"),
    *("static", "sizes", "scope", "values", "elaborate", "knowledge", "rules"),
    *(f"calculus.{name}" for name in ("owned", "rows", "diagonals", "factors", "tiles", "identities", "polynomials", "chains", "scalings")),
    *(f"calculus.{name}" for name in ("sums", "pieces", "apart")),
    *("calculus.subproducts", "calculus.dots"),
    *(f"calculus.{name}" for name in ("exponentials", "logarithms", "stability", "entropies")),
    *(f"calculus.{name}" for name in ("batching", "terms", "jacobians", "turns", "recurrences", "symmetry", "inverses")),
    *(f"calculus.{name}" for name in ("reverse", "directions", "derivatives", "loops")),
    *("calculus.within", "calculus.carried", "library", "recorder", "imports"),
    *("notation", "reading", "printing", "passes", "emit", "pipeline"),
    *("files", "sample", "api", "gradcheck", "format", "catalogue", "views", "interactive", "terminal", "cli"),
)
# what is not the standard library, and who may import it; the helpers are copied into modules and run there
FOREIGN = {
    "lark": {"parse"},
    "jinja2": {"emit.render"},
    "black": {"emit.render"},
    "numpy": {*(f"emit.{name}helpers" for name in ("", "special_", "softmax_", "index_", "linalg_", "block_")), "sample", "gradcheck", "views.panel"},
    "click": {"cli"},
    "rich": {"terminal"},
    "pygraphviz": {"views.layout"},
    "IPython": {"interactive"},
}
MODULES = {".".join(path.relative_to(DSL).with_suffix("").parts): path for path in sorted(DSL.rglob("*.py")) if not path.name.startswith("__")}


def for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(tree: ast.AST) -> Iterator[str]:
    """The dotted names that a module imports when it runs, ``from dsl import syntax`` as ``dsl.syntax``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, "imports are absolute"
            packages = ("dsl", "dsl.calculus")
            yield from ([f"{node.module}.{alias.name}" for alias in node.names] if node.module in packages else [node.module])
        elif not for_types_only(node):
            yield from imports(node)


def place_of(name: str) -> str:
    """Where a module stands in the order: the calculus module by module, as what is not in a package, others as a whole."""
    first, _, rest = name.partition(".")
    return f"{first}.{rest.partition('.')[0]}" if first == "calculus" else first


@pytest.mark.parametrize("name", MODULES)
def test_imports_only_what_stands_before_it(name: str) -> None:
    place = place_of(name)
    assert place in ORDER, f"say in ORDER where {name} belongs"
    for imported in imports(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        root, _, inner = imported.partition(".")
        if root != "dsl":
            assert root in sys.stdlib_module_names or name in FOREIGN.get(root, ()), f"{name} imports {imported}"
            continue
        target = place_of(inner)
        within = target == place and place != "passes"
        assert within or ORDER.index(target) < ORDER.index(place), f"{name} imports {imported}"


def loaded(code: str) -> set[str]:
    """The packages that a process has loaded after some code."""
    shown = subprocess.run([sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True, check=True).stdout
    return {name.partition(".")[0] for name in shown.split()}


def test_the_command_starts_without_the_compiler() -> None:
    assert not {"lark", "jinja2", "black", "numpy", "rich"} & loaded("import dsl, dsl.cli")


def test_the_compiler_needs_no_numpy() -> None:
    found = loaded("import dsl\ndsl.compile_text('L = sum(sigmoid(X @ W))')")
    assert "numpy" not in found and {"lark", "jinja2", "black"} <= found
