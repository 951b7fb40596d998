"""No float near money or quantity: the sources of the core have no way to make one (R12)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lambdas.billing

CORE = sorted(Path(lambdas.billing.__file__).parent.glob("*.py"))
MODULES_OF_FLOATS = {"math", "cmath", "statistics", "decimal", "random", "time"}


def ways_to_a_float(tree: ast.AST) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append(("literal", node.lineno))
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(("true division", node.lineno))
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"float", "complex", "round"}
        ):
            found.append((node.func.id, node.lineno))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found += [("import", node.lineno) for name in names if name in MODULES_OF_FLOATS]
    return found


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_no_float_is_made_in(path: Path) -> None:
    assert ways_to_a_float(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("source", ["1.5", "1e3", "a / b", "a /= b", "float(a)", "round(a)", "import math"])
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert ways_to_a_float(ast.parse(source))


def test_the_whole_core_is_searched() -> None:
    assert {"money.py", "rating.py", "invoice.py", "verify.py"} <= {path.name for path in CORE}
