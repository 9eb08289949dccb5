"""May the current commit be tagged? Prints what is missing, and exits with 1 if anything is.

Run by `make release-check`, on a machine and in CI. It does not run the tests: `.ci/run` does.
"""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATED = r"## \[{version}\] - \d{{4}}-\d{{2}}-\d{{2}}\n(.*?)(?=^## |\Z)"
IN_THE_WHEEL = {
    "samegoal_pipelines/instance/dagster.yaml",
    "samegoal_pipelines/instance/workspace.yaml",
    "samegoal_pipelines/tables/contract.yaml",
}


def git(*arguments: str) -> str:
    """What git prints, without the last line break."""
    return subprocess.check_output(["git", *arguments], cwd=ROOT, text=True).strip()


def problems(version: str) -> list[str]:
    """Why the commit may not become `v{version}`."""
    found = []
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        found.append(f"pyproject.toml: the version {version} is not MAJOR.MINOR.PATCH")
    if git("status", "--porcelain"):
        found.append("the working tree has changes that are not committed")
    tag = f"v{version}"
    if tag in git("tag").split() and git("rev-list", "-n1", tag) != git("rev-parse", "HEAD"):
        found.append(f"{tag} is the tag of another commit: raise the version in pyproject.toml")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    section = re.search(DATED.format(version=re.escape(version)), changelog, re.S | re.M)
    if section is None or not section[1].strip():
        found.append(f"CHANGELOG.md: no section '## [{version}] - DATE' with entries")
    unreleased = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", changelog, re.S | re.M)
    if unreleased and unreleased[1].strip():
        found.append("CHANGELOG.md: [Unreleased] still has entries")
    wheel = ROOT / "dist" / f"samegoal_pipelines-{version}-py3-none-any.whl"
    if not wheel.exists():
        found.append(f"dist/ has no {wheel.name}: run `make dist`")
    elif missing := IN_THE_WHEEL - set(zipfile.ZipFile(wheel).namelist()):
        found.append(f"{wheel.name} lacks {', '.join(sorted(missing))}")
    return found


def main() -> int:
    """Print every problem, or that there is none."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    found = problems(version)
    for problem in found:
        print(f"not ready: {problem}", file=sys.stderr)
    if not found:
        print(f"ready: tag this commit with `git tag v{version}`, after `.ci/run` has passed on it")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
