"""Faults on request: rules that make the sandbox misbehave, set at run time or read from a JSON file.

A rule has what it matches (district, kind of request, object, page, how many of them) and what then
happens. Without a rule the server behaves as the contract says. Nothing here knows HTTP beyond status,
headers and body.
"""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

MAINTENANCE_PAGE = "<!DOCTYPE html><html><title>Maintenance</title><body>Back at 5 a.m.</body></html>"


@dataclass
class Fault:
    """One rule. Fields of the first group must all match; those of the second all happen, in their order.

    As JSON: ``{"object": "Student/Student", "page": 2, "times": 1, "status": 503, "body": "maintenance"}``
    """

    # What it matches; None matches everything.
    district: str | None = None
    kind: str | None = None
    """"token", "metadata", "describe" or "list"."""
    object: str | None = None
    page: int | None = None
    nth: int | None = None
    """Only the n-th request that matches the rest, counted from 1 (from n on, if times is set as well)."""
    times: int | None = None
    """Only so many times; without it for ever (with nth: once)."""

    # What happens.
    run: Callable[[Any], None] | None = None
    """Called with the SandboxDistrict before the answer is made, to change data between two pages."""
    expire_tokens: bool = False
    """Every token given out so far is expired from this request on."""
    forget_tokens: bool = False
    """Every token given out so far is unknown from this request on, as after a restart of the server."""
    hang: float = 0.0
    """Seconds to wait before the answer."""
    drop: bool = False
    """Close the connection without an answer."""
    status: int | None = None
    """Answer this status at once, with ``body`` (empty by default)."""
    body: str | bytes | None = None
    """This body instead of the real one."""
    html: bool = False
    """Answer 200 with the HTML page of a maintenance window."""
    headers: dict[str, str] = field(default_factory=dict)
    set: dict[str, Any] = field(default_factory=dict)
    """Keys of a JSON answer to overwrite; texts may hold {base}, {entity}, {object}, {page}, {size}."""
    remove: list[str] = field(default_factory=list)
    """Keys of a JSON answer to leave out."""
    values: dict[str, Any] = field(default_factory=dict)
    """Fields to overwrite in objects of a listing."""
    remove_fields: list[str] = field(default_factory=list)
    """Fields to leave out of objects of a listing."""
    rows: list[int] | None = None
    """Positions on the page that values and remove_fields concern; all by default."""
    skip_rows: list[int] = field(default_factory=list)
    """Positions on the page to leave out."""
    cut: float | None = None
    """Send only this share of the body (0 to 1), then close; the headers promise all of it."""
    drip: float = 0.0
    """Seconds between pieces of the body."""
    drip_bytes: int = 1024
    """Size of a piece."""

    seen: int = field(default=0, init=False, repr=False)
    applied: int = field(default=0, init=False, repr=False)

    def matches(self, district: str | None, kind: str, object: str | None, page: int | None) -> bool:
        """Whether the rule concerns this request; counts it if so."""
        asked = ((self.district, district), (self.kind, kind), (self.object, object), (self.page, page))
        if any(wanted is not None and wanted != got for wanted, got in asked):
            return False
        self.seen += 1
        times = 1 if self.times is None and self.nth is not None else self.times
        if self.seen < (self.nth or 1) or (times is not None and self.applied >= times):
            return False
        self.applied += 1
        return True

    def changed_json(self, answer: Any, names: dict[str, Any]) -> Any:
        """A decoded answer with set, remove, values, remove_fields and skip_rows applied."""
        if not isinstance(answer, dict):
            return answer
        objects = answer.get("Objects")
        if isinstance(objects, list):
            for number in range(len(objects)) if self.rows is None else self.rows:
                if number < len(objects):
                    objects[number].update(self.values)
                    for name in self.remove_fields:
                        objects[number].pop(name, None)
            answer["Objects"] = [row for number, row in enumerate(objects) if number not in self.skip_rows]
        answer |= _filled(self.set, names)
        return {key: value for key, value in answer.items() if key not in self.remove}

    @property
    def changes_json(self) -> bool:
        """Whether the JSON answer has to be taken apart."""
        return bool(self.set or self.remove or self.values or self.remove_fields or self.skip_rows)


class Faults:
    """The rules in force. Tests add and clear them while the server runs."""

    def __init__(self, rules: list[Fault] | None = None):
        self._rules = list(rules or [])
        self._lock = threading.Lock()

    @classmethod
    def from_file(cls, path: str | Path) -> "Faults":
        """Rules from a JSON list of objects with the fields of Fault; ValueError says what is wrong."""
        try:
            written = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"cannot read the faults file {path}: {error}") from None
        known = {each.name for each in fields(Fault) if each.init} - {"run"}
        if not isinstance(written, list) or not all(isinstance(rule, dict) for rule in written):
            raise ValueError(f"{path} must hold a JSON list of objects")
        unknown = {key for rule in written for key in rule} - known
        if unknown:
            raise ValueError(
                f"{path}: unknown key {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}"
            )
        return cls([Fault(**rule) for rule in written])

    def add(self, **rule: Any) -> Fault:
        """One more rule (the fields of Fault); its ``applied`` counts how often it struck."""
        fault = Fault(**rule)
        with self._lock:
            self._rules.append(fault)
        return fault

    def clear(self) -> None:
        """No rules any more."""
        with self._lock:
            self._rules.clear()

    def striking(self, district: str | None, kind: str, object: str | None, page: int | None) -> list[Fault]:
        """The rules that this request meets, in the order in which they were added."""
        with self._lock:
            return [rule for rule in self._rules if rule.matches(district, kind, object, page)]

    def __iter__(self) -> Iterator[Fault]:
        return iter(list(self._rules))


def _filled(value: Any, names: dict[str, Any]) -> Any:
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace("{" + name + "}", str(text))
        return value
    if isinstance(value, dict):
        return {key: _filled(each, names) for key, each in value.items()}
    return value
