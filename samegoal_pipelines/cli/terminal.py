"""Terminal output: tables, JSON, progress. It makes no decision about a night."""

from __future__ import annotations

import json
import textwrap
import threading
from collections.abc import Iterable, Iterator, Mapping
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

    def as_text(one: Any) -> str:
        return one.isoformat() if isinstance(one, date) else str(one)  # a datetime is a date

    click.echo(json.dumps(value, indent=2, default=as_text))


def print_table(rows: Iterable[Mapping[str, Any]], *, header: bool = True, gap: bool = False) -> None:
    """Print rows under their names, with numbers right-aligned; without rows, print nothing.

    Piped output is not limited to the terminal's width.

    Args:
        rows: name → cell. A cell is one line; a list has one line per item; None is blank.
        gap: print an empty line first.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    if not rows:
        return
    table = Table(box=box.SIMPLE, show_header=header, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in rows[0]:
        numbers = any(type(row[name]) is int for row in rows)
        table.add_column(Text(_cell(name)), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(cell)) for cell in row.values()))  # rich would parse a str as markup
    if gap:
        click.echo()
    console = Console()
    (console if console.is_terminal else Console(width=PIPED_WIDTH)).print(table)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print each name with its fact beside it, without those that are None."""
    rows = [{"name": name, "fact": str(fact)} for name, fact in facts.items() if fact is not None]
    print_table(rows, header=False)


def _cell(cell: Any) -> str:
    if isinstance(cell, list):
        return "\n".join(map(_cell, cell))
    return f"{cell:,}" if type(cell) is int else on_one_line("" if cell is None else str(cell))


def print_sentences(*sentences: str, indent: int = 0) -> None:
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
    if not console.is_terminal:  # Rich 14.0 would write an empty line when it ends
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    read, count = TextColumn("{task.description}", markup=False), TextColumn("{task.completed:,} rows")
    columns = (SpinnerColumn(), read, count, TimeElapsedColumn())
    tasks, lock = dict[str, Any](), threading.Lock()
    with Progress(*columns, console=console, transient=True) as bars:

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
