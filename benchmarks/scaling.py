"""From what nights cost here to what a deployment needs: machines, connections, storage, minutes.

    python -m benchmarks.night --districts 40 --students 40 --json nights.jsonl
    python -m benchmarks.night --districts 40 --students 1000 --json nights.jsonl
    python -m benchmarks.scaling nights.jsonl --students 500

Two nights of one engine that differ in students give the cost of a district and of each student.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

SIZES = (100, 1_200, 13_000)
WINDOW = 240  # minutes: from 1 a.m. to 5 a.m., an hour before the report is due
NIGHTS = {"dagster": 90, "landing": 35}
LANE_CPU = 0.8  # of a core: the rest of the time, a slot waits for Qmlativ


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.scaling", description=__doc__.splitlines()[0])
    parser.add_argument("nights", type=Path, help="what benchmarks.night --json wrote")
    parser.add_argument("--students", type=int, default=500, help="per district")
    options = parser.parse_args()
    nights = [json.loads(line) for line in options.nights.read_text().splitlines()]
    for engine in sorted({night["engine"] for night in nights}):
        model = fit([night for night in nights if night["engine"] == engine])
        district, student = model["cpu"]
        print(f"{engine}: {district:.2f} CPU s per district, {student * 1000:.2f} per 1,000 students")
        print(
            "districts  CPU minutes  cores for 4 h  slots  connections  Dagster GB  landing GB  warehouse GB"
        )
        for districts in SIZES:
            print(row(model, districts, options.students))
    return 0


def fit(nights: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """For each cost, what a district costs and what each of its students adds."""
    small, large = min(nights, key=_students), max(nights, key=_students)

    def line(cost: Any) -> tuple[float, float]:
        low, high = (cost(night) / night["districts"] for night in (small, large))
        apart = large["students"] - small["students"]
        slope = (high - low) / apart if apart else 0.0
        return low - slope * small["students"], slope

    return {
        "cpu": line(lambda night: sum(s for who, s in night["cpu_seconds"].items() if "sandbox" not in who)),
        "dagster": line(lambda night: night["dagster_bytes"]),
        "landing": line(lambda night: night["landing_bytes"]),
        "warehouse": line(lambda night: night["samegoal_bytes"]),
        "connections": (max(night["connections"] / night["slots"] for night in nights), 0.0),
    }


def row(model: dict[str, tuple[float, float]], districts: int, students: int) -> str:
    """One size of deployment."""
    each = {name: fixed + slope * students for name, (fixed, slope) in model.items()}
    minutes = each["cpu"] * districts / 60
    cores = math.ceil(minutes / WINDOW / LANE_CPU)
    slots = max(2, cores)
    gigabytes = {
        "dagster": each["dagster"] * districts * NIGHTS["dagster"] / 1e9,
        "landing": each["landing"] * districts * NIGHTS["landing"] / 1e9,
        "warehouse": each["warehouse"] * districts * 3 / 1e9,  # two more copies of the rows a year
    }
    return (
        f"{districts:9,}  {minutes:11,.0f}  {cores:13}  {slots:5}  {each['connections'] * slots:11.0f}"
        f"  {gigabytes['dagster']:10.1f}  {gigabytes['landing']:10.1f}  {gigabytes['warehouse']:12.1f}"
    )


def _students(night: dict[str, Any]) -> int:
    return int(night["students"])


if __name__ == "__main__":
    sys.exit(main())
