"""Terminal output: tables, JSON, progress. It makes no decision about a night."""

from __future__ import annotations

import json
import textwrap
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from samegoal_pipelines.printable import on_one_line

if TYPE_CHECKING:
    from samegoal_pipelines.deployment import Deployment

PIPED_WIDTH = 160


def print_json(value: Any) -> None:
    """Print JSON, with dates as ISO text."""

    def text(one: Any) -> str:
        return one.isoformat() if isinstance(one, date) else str(one)  # a datetime is a date

    click.echo(json.dumps(value, indent=2, default=text))


def print_table(columns: Sequence[str] | None, rows: Sequence[Sequence[Any]]) -> None:
    """Print rows in columns, with numbers right-aligned. Piped output is not limited to the terminal's width.

    Args:
        rows: a cell is one line; a list has one line per item.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE, show_header=columns is not None, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for index, column in enumerate(columns or [""] * len(rows[0])):
        numbers = any(type(row[index]) is int for row in rows)
        table.add_column(Text(_cell(column)), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(cell)) for cell in row))  # rich would parse a str as markup
    console = Console()
    (console if console.is_terminal else Console(width=PIPED_WIDTH)).print(table)


def _cell(cell: Any) -> str:
    if isinstance(cell, list):
        return "\n".join(map(_cell, cell))
    return f"{cell:,}" if type(cell) is int else on_one_line(str(cell))


def print_sentences(sentences: Iterable[str], indent: int = 0) -> None:
    """Print one sentence per line, wrapped between words if the terminal is too narrow."""
    from rich.console import Console

    console, margin = Console(), " " * indent
    for sentence in map(on_one_line, sentences):
        lines = [margin + sentence]
        if console.is_terminal:
            wrapper = textwrap.TextWrapper(console.width, margin, f"{margin}  ", break_on_hyphens=False)
            lines = wrapper.wrap(sentence)
        click.echo("\n".join(lines))


@contextmanager
def reading_progress(deployment: Deployment, district_id: str) -> Iterator[None]:
    """Show the rows read so far per object while a night runs, if standard error is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed:,} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}
        lock = threading.Lock()

        def report(name: str, rows: int) -> None:
            with lock:
                if name not in tasks:
                    tasks[name] = bars.add_task(f"{district_id}: {name}", total=None)
            bars.advance(tasks[name], rows)

        deployment.progress = report
        try:
            yield
        finally:
            deployment.progress = None
