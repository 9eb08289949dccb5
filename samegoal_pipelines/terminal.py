"""What a person sees in a terminal: tables, JSON, progress. No decision about a night lives here."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment

PIPED_WIDTH = 160


def print_json(value: Any) -> None:
    """Print for scripts; dates as ISO text."""
    click.echo(json.dumps(value, indent=2, default=_text))


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)  # a datetime is a date


def print_table(columns: Sequence[str] | None, rows: Sequence[Sequence[Any]]) -> None:
    """Print rows in columns, numbers to the right; as wide as it needs where it is piped."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=box.SIMPLE, show_header=columns is not None, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for index, column in enumerate(columns or [""] * len(rows[0])):
        numbers = any(type(row[index]) is int for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:,}" if type(cell) is int else str(cell) for cell in row))
    console = Console()
    (console if console.is_terminal else Console(width=PIPED_WIDTH)).print(table)


def print_sentences(sentences: Iterable[str]) -> None:
    """Print each on a line of its own, broken between words where a terminal is too narrow for it."""
    from rich.console import Console

    console = Console()
    for sentence in sentences:
        if console.is_terminal:
            lines = textwrap.wrap(sentence, console.width, subsequent_indent="  ", break_on_hyphens=False)
            click.echo("\n".join(lines))
        else:
            click.echo(sentence)


@contextmanager
def reading_progress(deployment: Deployment, district_id: str) -> Iterator[None]:
    """Show the rows read so far, object by object, while a night runs; nothing where no one is looking."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,} rows"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def report(name: str, rows: int, _pages: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(f"{district_id}: {name}", total=None)
            bars.update(tasks[name], completed=rows)

        deployment.progress = report
        try:
            yield
        finally:
            deployment.progress = None
