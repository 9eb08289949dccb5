"""What `lint-imports` does not check: only `defs` and what Dagster loads know Dagster, and the like."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import samegoal_pipelines

ROOT = Path(samegoal_pipelines.__file__).parent
KNOW_DAGSTER = {"definitions.py"}
"""Beside the package `defs`: what Dagster loads."""


def test_only_defs_and_what_dagster_loads_import_dagster():
    found = {path.relative_to(ROOT) for path in ROOT.rglob("*.py") if "dagster" in imported(path)}
    assert {str(path) for path in found if path.parts[0] != "defs"} == KNOW_DAGSTER


def test_what_dagster_keeps_private_is_used_in_one_module():
    inside = ("dagster._", "multiprocessing.context")
    private = {
        path.name: names
        for path in ROOT.rglob("*.py")
        if (names := {name for name in modules(path) if name.startswith(inside)})
    }
    assert private.keys() == {"dagster_internals.py"}, private


def imported(path: Path) -> set[str]:
    """The packages that a module imports, of `dagster_postgres` and the like the first word."""
    return {name.split(".")[0].split("_")[0] for name in modules(path)}


def modules(path: Path) -> set[str]:
    """The modules that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


NO_CLOCKS = {"sa.func.now", "self.now"}  # Postgres'; an instant that was handed in


@pytest.mark.parametrize("room", ["transforms", "tables", "reporting", "districts"])
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


def test_make_runs_its_commands_in_a_utf8_locale():
    """With LC_ALL=C, Python cannot even start in an environment below a folder like `año`."""
    ask = f'encoding:\n\t@"{sys.executable}" -c "import locale; print(locale.getencoding())"\n'
    hostile = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    asked = subprocess.run(
        ["make", "--silent", "--file=Makefile", "--file=-", "encoding"],
        input=ask,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT.parent,
        env={**os.environ, **hostile},
    )
    assert asked.stdout == "UTF-8\n", asked.stderr
