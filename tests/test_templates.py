"""The templates print and loop; they decide nothing."""

from pathlib import Path

import pytest
from jinja2 import Environment, nodes

TEMPLATES = sorted((Path(__file__).parent.parent / "dsl" / "templates").glob("*.j2"))
# text, and {{ name.attribute }}
ALLOWED = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.For)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_prints_and_loops(path: Path) -> None:
    tree = Environment().parse(path.read_text(encoding="utf-8"))
    bound = {"view"}
    for node in tree.find_all(nodes.Node):
        assert isinstance(node, ALLOWED), f"{path.name}:{node.lineno}: {type(node).__name__}"
        if isinstance(node, nodes.For):
            assert node.test is None and not node.else_ and not node.recursive, f"{path.name}:{node.lineno}: a loop with a condition"
            assert isinstance(node.target, nodes.Name) and isinstance(node.iter, nodes.Getattr)
            bound.add(node.target.name)
    assert {node.name for node in tree.find_all(nodes.Name)} <= bound


LOGIC = ("{% if view.x %}{% endif %}", "{{ view.x | upper }}", "{{ view.f() }}", "{% set x = 1 %}", "{{ view.x + 1 }}", "{{ view.x[0] }}", "{{ other }}")


@pytest.mark.parametrize("text", LOGIC)
def test_logic_is_seen(text: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.j2"
    path.write_text(text)
    with pytest.raises(AssertionError):
        test_prints_and_loops(path)
