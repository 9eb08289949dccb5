"""What `lint-imports` does not check: who imports Dagster or reads a clock."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import samegoal_pipelines

ROOT = Path(samegoal_pipelines.__file__).parent


def importing(*prefixes: str) -> set[str]:
    """The modules that import a module whose name begins so."""
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.startswith(prefixes) for name in names):
                found.add(str(path.relative_to(ROOT)))
    return found


def test_only_defs_and_what_dagster_loads_import_dagster():
    assert {name for name in importing("dagster") if not name.startswith("defs/")} == {"definitions.py"}


def test_what_dagster_keeps_private_is_used_in_one_module():
    assert importing("dagster._", "multiprocessing.context") == {"defs/dagster_internals.py"}


def test_rich_is_used_in_one_place_which_takes_no_markup():
    assert importing("rich") == {"cli/terminal.py"}


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
