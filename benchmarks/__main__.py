"""The command `python -m benchmarks`; `--help` tells its options."""

import argparse
import dataclasses
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.cases import Breakdown, Case, breakdown_table, facts, markdown, table

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs" / "performance.md"
RATIOS = HERE / "ratios.json"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PATHS = ("fetch", "classify", "publish", "district")
WORSE = 1.25  # times the committed ratio, from which on it is worth a look


def main() -> None:
    """Run the cases, print them, keep them."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Ratios against peers and limits.")
    parser.add_argument("--only", default=",".join(PATHS), help="of " + ", ".join(PATHS))
    parser.add_argument("--quick", action="store_true", help="small and few: to see that it works")
    parser.add_argument("--runs", type=int, default=5, help="rounds of each after the warm-up")
    parser.add_argument("--json", type=Path, help="where to, instead of a new file in benchmarks/results")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    only = options.only.split(",")
    if unknown := set(only) - set(PATHS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if options.write_docs and (options.quick or set(only) != set(PATHS)):
        parser.error("--write-docs wants all cases, in full")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

    console = Console()
    if not console.is_terminal:
        console = Console(width=180)
    about = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "runs": options.runs, **facts()}
    console.print(f"{about['cores']} cores, load {about['load']};", about["versions"], highlight=False)
    cases: list[Case] = []
    breakdowns: list[Breakdown] = []
    for path in (path for path in PATHS if path in only):
        with console.status(f"{path} ..."):
            more, parts = _run(path, options.runs, quick=options.quick)
        console.print(table(more))
        if parts:
            console.print(breakdown_table(parts))
        cases += more
        breakdowns += parts
    about["load_after"] = round(os.getloadavg()[0], 1)

    file = options.json or HERE / "results" / f"{about['at'].replace(':', '')}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    results = {
        **about,
        "cases": list(map(dataclasses.asdict, cases)),
        "breakdowns": list(map(dataclasses.asdict, breakdowns)),
    }
    file.write_text(json.dumps(results, indent=1) + "\n")
    console.print(f"Written to {file}; load {about['load_after']} at the end.")
    if not options.quick:
        _warn(console, cases)
    if options.write_docs:
        _write_docs(markdown(cases, breakdowns, about))
        ratios = {case.key: float(f"{case.ratio:.3g}") for case in cases}
        RATIOS.write_text(json.dumps(ratios, indent=1, ensure_ascii=False) + "\n")


def _run(path: str, runs: int, *, quick: bool) -> tuple[list[Case], list[Breakdown]]:
    if path == "fetch":
        from benchmarks import fetch

        return fetch.run(runs, 50_000 if quick else fetch.ROWS), []
    if path == "classify":
        from benchmarks import classify

        return classify.run(runs, 300_000 if quick else classify.ENROLLMENTS), []
    if path == "publish":
        from benchmarks import publish

        return publish.run(runs, 5_000 if quick else publish.STUDENTS), []
    from benchmarks import district

    return district.run(runs, 5_000 if quick else district.STUDENTS)


def _warn(console: Console, cases: list[Case]) -> None:
    """Say what has become worse than the committed ratios. A warning: machines differ, and are busy."""
    committed = json.loads(RATIOS.read_text()) if RATIOS.exists() else {}
    for case in cases:
        if case.ratio > WORSE * committed.get(case.key, float("inf")):
            console.print(
                f"Worse than committed: {case.key}: {case.ratio:.2f} from {committed[case.key]:.2f}"
            )


def _write_docs(measured: str) -> None:
    text = DOCS.read_text()
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    DOCS.write_text(pattern.sub(lambda _: f"{BEGIN}\n{measured}\n{END}", text))


if __name__ == "__main__":
    main()
