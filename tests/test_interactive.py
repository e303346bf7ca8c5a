"""In a notebook: a program shows its page, ``%%expr`` compiles a cell, and a mistake is told as everywhere, not as a traceback."""

import html
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import dsl

ROOT = Path(__file__).parent.parent
# what jupyter's own packages warn of, on their way to the next version
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def executed(folder: Path, *cells: str, failing: bool = False) -> list[Any]:
    """A notebook of these cells, run by a kernel of its own in a folder: the outputs of each cell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in cells])
    # a cell may print in several messages
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", coalesce_streams=True, resources={"metadata": {"path": str(folder)}})
    if failing:
        with pytest.raises(CellExecutionError):
            client.execute()
    else:
        client.execute()
    return [cell.outputs for cell in notebook.cells]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of this very Python, with this very compiler."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")


@pytest.mark.usefixtures("kernel")
def test_a_notebook(tmp_path: Path) -> None:
    (tmp_path / "layers.expr").write_text("def layer(X, W) = sigmoid(X @ W)\n", encoding="utf-8")
    (tmp_path / "loss.expr").write_text("L = sum(x ** 2)\n", encoding="utf-8")
    cells = (
        "%load_ext dsl",
        "%%expr model\nfrom layers import layer\nL = sum(layer(X, W))",
        "import numpy as np\nL, gradients = model.value_and_grad(np.ones((2, 3)), np.zeros((3, 1)))\nprint(L, gradients.W.ravel())",
        "%%expr square --wrt a\nparam a: [N]\nparam b: [N]\ny = sum(a ** 2 * b)",
        "print(square.Gradients._fields)",
        "import dsl\nprint(dsl.load('loss.expr').value([3.0]))\ndsl.load('loss.expr')",
    )
    loaded, shown, printed, _, fields, (number, page) = executed(tmp_path, *cells)
    assert loaded == []
    assert printed[0].text == "1.0 [0.5 0.5 0.5]\n"
    assert fields[0].text == "('a',)\n" and number.text == "9.0\n"
    assert shown[0].data["text/plain"] == "<program 'model': value, value_and_grad, forward, backward>"
    for made, source in ((shown[0], "sum(layer(X, W))"), (page, "sum(x ** 2)")):
        assert_page(made.data["text/html"], source)


def assert_page(frame: str, source: str) -> None:
    """A frame with a page of its own, in which are the source, the diagram, and the code."""
    inner = re.fullmatch(r'<iframe srcdoc="([^"]*)" title="\w+" style="[^"]*"></iframe>', frame)
    assert inner is not None
    page = html.unescape(inner[1])
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    assert source in re.sub(r"\s+", " ", text) and "def value_and_grad" in text
    drawing = page[page.index("<svg") : page.index("</svg>") + len("</svg>")]
    assert ET.fromstring(drawing).get("class") == "gradc"


@pytest.mark.usefixtures("kernel")
def test_mistakes_in_a_notebook(tmp_path: Path) -> None:
    _, outputs = executed(tmp_path, "%load_ext dsl", "%%expr model\ninput x: [N]\nL = sum(sigmiod(x))", failing=True)
    (told,) = outputs
    assert told.output_type == "error" and told.ename == "DslError"
    assert told.traceback == [
        *("error[E0201]: unknown function `sigmiod`", "  --> model.expr:3:9", "  |", "3 | L = sum(sigmiod(x))"),
        *("  |         ^^^^^^^", "  = help: did you mean `sigmoid`?"),
    ]
    _, (usage,) = executed(tmp_path, "%load_ext dsl", "%%expr\nL = sum(x)", failing=True)
    assert "%%expr model [--wrt W,b]" in str(usage) and "Traceback" not in str(usage)


@pytest.mark.usefixtures("kernel")
def test_warnings_in_a_notebook(tmp_path: Path) -> None:
    _, outputs = executed(tmp_path, "%load_ext dsl", "%%expr model\nparam x: [N]\nparam z: [N]\nL = sum(x * floor(z))")
    assert outputs[0].name == "stderr" and outputs[0].text.startswith("warning[W0101]") and "model.expr:3:" in outputs[0].text


def test_a_loaded_program_is_a_module(tmp_path: Path) -> None:
    (tmp_path / "loss.expr").write_text("# A loss.\nparam x: [N]\nL = sum(x ** 2)\n", encoding="utf-8")
    loss = dsl.load(tmp_path / "loss.expr")
    assert (loss.__doc__ or "").startswith("A loss.") and loss.__name__ == "loss"
    assert np.array_equal(loss.value_and_grad([1.0, 2.0])[1].x, [2.0, 4.0])
    assert_page(loss._repr_html_(), "L = sum(x ** 2)")


def test_without_graphviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loss.expr").write_text("L = sum(x ** 2)\n", encoding="utf-8")
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    shown = dsl.load(tmp_path / "loss.expr")._repr_html_()
    assert shown.startswith("<pre>&lt;program") and "gradc[views]" in shown
