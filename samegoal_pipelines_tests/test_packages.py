"""The tree keeps its shape: rooms import downwards; only `defs` and what loads or starts it know Dagster."""

import ast
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import samegoal_pipelines

ROOT = Path(samegoal_pipelines.__file__).parent
KNOW_DAGSTER = {"definitions.py", "operations/erase.py", "operations/runs.py"}
"""Beside the room `defs`: what Dagster loads, and what starts, looks for or ends its runs."""


def test_imports_point_down_the_rooms():
    assert lint_imports(config_filename=str(ROOT.parent / "pyproject.toml")) == 0


def test_only_defs_and_what_loads_or_starts_it_know_dagster():
    found = {path.relative_to(ROOT) for path in ROOT.rglob("*.py") if "dagster" in imported(path)}
    assert {str(path) for path in found if path.parts[0] != "defs"} == KNOW_DAGSTER


def imported(path: Path) -> set[str]:
    """The packages that a module imports, of `dagster_postgres` and the like the first word."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.split(".")[0].split("_")[0] for name in names}


NO_CLOCKS = {"sa.func.now", "self.now"}  # Postgres'; an instant that was handed in


@pytest.mark.parametrize("room", ["transforms", "tables", "reporting", "reports", "districts"])
def test_these_rooms_read_no_clock_and_no_environment(room):
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node) not in NO_CLOCKS:
                assert node.attr not in {"today", "now", "utcnow", "environ", "getenv"}, (
                    f"{path}:{node.lineno}"
                )


def test_no_module_is_a_drawer_for_everything():
    names = {path.stem for path in ROOT.rglob("*.py")}
    assert names.isdisjoint({"helpers", "utils", "util", "common", "misc"})
