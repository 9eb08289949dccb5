"""Faults on request: rules that make the sandbox misbehave, added at run time or read from a JSON file.

A rule says which requests it matches (district, kind, object, page, how many) and what happens to them.
Without rules the server behaves as the contract says. How a fault is carried out is in ``server``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from samegoal_pipelines.sandbox.traffic import Call


@dataclass
class Fault:
    """One rule. All fields of the first group must match; then all of the second happen, in their order.

    As JSON: ``{"object": "Student/Student", "page": 2, "times": 1, "status": 503, "body": "maintenance"}``
    """

    # What it matches; None matches everything.
    district: str | None = None
    kind: str | None = None
    """"token", "metadata", "describe" or "list"."""
    object: str | None = None
    page: int | None = None
    nth: int | None = None
    """Only the n-th request that matches the rest, counted from 1 (from n on if ``times`` is set as well)."""
    times: int | None = None
    """At most so many times. Without it: always, or once if ``nth`` is set."""

    # What happens.
    run: Callable[[Any], None] | None = None
    """Called with the SandboxDistrict before the answer is made, to change data between two pages."""
    expire_tokens: bool = False
    """Expire every token issued so far."""
    forget_tokens: bool = False
    """Forget every token issued so far, as after a restart of the server."""
    hang: float = 0.0
    """Wait so many seconds before the answer."""
    drop: bool = False
    """Close the connection without an answer."""
    status: int | None = None
    """Answer this status at once, with ``body`` (empty by default)."""
    body: str | bytes | None = None
    """Send this body instead of the real one."""
    html: bool = False
    """Answer 200 with the HTML page of a maintenance window."""
    headers: dict[str, str] = field(default_factory=dict)
    set: dict[str, Any] = field(default_factory=dict)
    """Overwrite keys of a JSON answer; texts may contain {base}, {entity}, {object}, {page} and {size}."""
    remove: list[str] = field(default_factory=list)
    """Leave out keys of a JSON answer."""
    values: dict[str, Any] = field(default_factory=dict)
    """Overwrite fields of the objects in a listing."""
    remove_fields: list[str] = field(default_factory=list)
    """Leave out fields of the objects in a listing."""
    rows: list[int] | None = None
    """Positions on the page that ``values`` and ``remove_fields`` change; all by default."""
    skip_rows: list[int] = field(default_factory=list)
    """Leave out the objects at these positions on the page."""
    cut: float | None = None
    """Send only this share of the body (0 to 1), then close. The headers promise all of it."""
    drip: float = 0.0
    """Wait so many seconds after each piece of the body."""
    drip_bytes: int = 1024
    """Size of a piece."""

    seen: int = field(default=0, init=False, repr=False)
    applied: int = field(default=0, init=False, repr=False)
    """How many requests the rule was applied to."""

    def matches(self, call: Call) -> bool:
        """Whether the rule applies to this request. Counts it if so."""
        for name in ("district", "kind", "object", "page"):
            if getattr(self, name) not in (None, getattr(call, name)):
                return False
        self.seen += 1
        times = 1 if self.times is None and self.nth is not None else self.times
        if self.seen < (self.nth or 1) or (times is not None and self.applied >= times):
            return False
        self.applied += 1
        return True

    @property
    def changes_json(self) -> bool:
        """Whether the JSON of the answer has to be changed."""
        return bool(self.set or self.remove or self.values or self.remove_fields or self.skip_rows)

    def changed_json(self, body: bytes, call: Call) -> bytes:
        """The JSON body with ``set``, ``remove``, ``values``, ``remove_fields`` and ``skip_rows`` applied."""
        answer = json.loads(body)
        if objects := answer.get("Objects"):
            changed = range(len(objects)) if self.rows is None else self.rows
            for place in {*changed} & {*range(len(objects))}:
                row = objects[place] | self.values
                objects[place] = {k: v for k, v in row.items() if k not in self.remove_fields}
            answer["Objects"] = [row for place, row in enumerate(objects) if place not in self.skip_rows]
        overwritten = json.dumps(self.set)
        for name in ("base", "entity", "object", "page", "size"):
            overwritten = overwritten.replace(f"{{{name}}}", str(getattr(call, name)))
        answer |= json.loads(overwritten)
        return json.dumps({k: v for k, v in answer.items() if k not in self.remove}).encode()


class Faults:
    """The rules in force. Tests add and clear them while the server runs."""

    def __init__(self, rules: list[Fault] | None = None) -> None:
        self.rules = list(rules or [])
        self._lock = threading.Lock()

    @classmethod
    def from_file(cls, path: str | Path) -> Faults:
        """Rules from a JSON list of objects with the fields of Fault. ValueError says what is wrong."""
        known = sorted({each.name for each in fields(Fault) if each.init} - {"run"})
        try:
            rules = json.loads(Path(path).read_text(encoding="utf-8"))
            if unknown := sorted({key for rule in rules for key in rule} - {*known}):
                raise ValueError(f"unknown key {', '.join(unknown)}")
            return cls([Fault(**rule) for rule in rules])
        except (OSError, TypeError, ValueError) as error:
            raise ValueError(
                f"cannot use the faults file {path}: {error}; write a JSON list of objects with some of "
                f"these keys: {', '.join(known)}"
            ) from None

    def add(self, **rule: Any) -> Fault:
        """Add a rule with these fields of Fault."""
        fault = Fault(**rule)
        with self._lock:
            self.rules.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self.rules.clear()

    def matching(self, call: Call) -> list[Fault]:
        """The rules that apply to this request, in the order in which they were added."""
        with self._lock:
            return [rule for rule in self.rules if rule.matches(call)]
