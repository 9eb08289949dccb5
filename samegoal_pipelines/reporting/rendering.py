"""The Jinja environment of the page, its Markdown and the alerts: templates and filters."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from samegoal_pipelines.printable import NOTHING, counted, on_one_line

_COMMAND = re.compile(r"(samegoal-pipelines(?: [^\s;,`|<>]+)+)")
_SPECIAL = re.compile(r"[\\`*_\[\]<>!|~&:@]")


@cache
def _environment() -> Any:
    """HTML is escaped automatically, and Markdown by the filters."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    found = Environment(
        loader=PackageLoader("samegoal_pipelines.reporting", "templates"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {
        "commands": lambda text: "".join(
            f"`{part}`" if is_command else _as_it_is(part) for part, is_command in commands_in(text)
        ),
        "number": lambda number: NOTHING if number is None else f"{number:,}",
        "counted": counted,
        "escaped": lambda text: _as_it_is(on_one_line(text)),
        "parts": commands_in,
        "plain": lambda text: on_one_line(text).replace("<", "&lt;"),
    }
    return found


def render(name: str, **values: Any) -> str:
    """Render a template with these values."""
    return str(_environment().get_template(name).render(**values))


def commands_in(text: str | None) -> Iterator[tuple[str, bool]]:
    """The parts of a text, and whether each is a command that a person may copy."""
    for number, part in enumerate(_COMMAND.split(on_one_line(text))):
        if part:
            yield part, number % 2 == 1


def _as_it_is(text: str) -> str:
    """Text that Markdown shows literally: no link, image, HTML or table column."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", text)
