"""Write `docs/tables.md` and `contract.yaml`: `python -m samegoal_pipelines.tables [--new-major]`.

The contract's version rises when its content changes. A breaking change needs `--new-major`.
"""

import sys
from pathlib import Path

from samegoal_pipelines.tables import contract
from samegoal_pipelines.tables.dictionary import dictionary

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"


def write_contract(file: Path, *, new_major: bool) -> None:
    """Write today's contract, with the version that its changes require. Exits if they need `--new-major`."""
    old = contract.read(file)
    new = contract.contract(old)
    if new == old:
        return
    breaking = contract.breaking_changes(old, new)
    if breaking and not new_major:
        sys.exit(
            f"error: {file.name} stays as it is, because these changes break its readers: "
            f"{'; '.join(breaking)}. Undo them, or run this again with --new-major"
        )
    new["version"] = contract.next_version(old, new)
    file.write_text(contract.as_yaml(new), encoding="utf-8")


if __name__ == "__main__":
    PAGE.write_text(dictionary(), encoding="utf-8")
    write_contract(contract.FILE, new_major="--new-major" in sys.argv[1:])
