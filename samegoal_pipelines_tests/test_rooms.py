"""The tree keeps its shape: rooms import downwards, and only `defs` knows Dagster."""

import ast
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import samegoal_pipelines

ROOT = Path(samegoal_pipelines.__file__).parent
PURE_ROOMS = [
    "qmlativ",
    "landing",
    "schemas",
    "transforms",
    "warehouse",
    "districts",
    "sandbox",
    "reports",
    "alarms",
]


def test_imports_point_down_the_rooms():
    assert lint_imports(config_filename=str(ROOT.parent / "pyproject.toml")) == 0


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_a_room_below_defs_does_not_know_dagster(room):
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not any(name.split(".")[0].startswith("dagster") for name in names), path


NO_CLOCKS = {"sa.func.now", "self.now"}  # Postgres'; an instant that was handed in


@pytest.mark.parametrize("room", ["transforms", "schemas", "reports", "districts"])
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
