"""Faults on request: rules that make the sandbox misbehave, added at run time or read from a JSON file.

A rule says which requests it matches and what happens to them. How it happens is in ``server``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from samegoal_pipelines.errors import PipelineError


@dataclass
class Call:
    """A request: what was asked, of which district (by base path), and how it was answered."""

    kind: str  # token, metadata, describe or list
    district: str | None
    method: str
    path: str
    query: dict[str, str] = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    entity: int = 0
    object: str = ""
    page: int = 0
    size: int = 0
    status: int = 0  # of the answer; 0 if the connection was dropped

    @property
    def fields(self) -> list[str]:
        """The searchFields, in the order of their index."""
        names = (f"searchFields[{number}]" for number in range(len(self.query)))
        return [self.query[name] for name in names if name in self.query]


@dataclass
class Fault:
    """One rule. All fields of the first group must match; then all of the second happen, in their order.

    As JSON: ``{"object": "Student/Student", "page": 2, "times": 1, "status": 503, "body": "maintenance"}``
    """

    # What it matches; None matches everything.
    district: str | None = None
    kind: str | None = None  # token, metadata, describe or list
    object: str | None = None
    page: int | None = None
    nth: int | None = None  # only the n-th request that matches the rest; from it on if `times` is set
    times: int | None = None  # at most so many times; without it always, or once if `nth` is set

    # What happens.
    run: Callable[[Any], None] | None = None  # called with the SandboxDistrict, to change it between pages
    expire_tokens: bool = False  # every token issued so far expires
    hang: float = 0.0  # seconds to wait before the answer
    drop: bool = False  # the connection is closed without an answer
    status: int | None = None  # this status is answered at once
    body: str | bytes | None = None  # this body is answered at once, with status 200 unless `status` is set
    headers: dict[str, str] = field(default_factory=dict)  # of such an answer
    set: dict[str, Any] = field(default_factory=dict)  # keys of a JSON answer to overwrite
    remove_fields: list[str] = field(default_factory=list)  # fields that the objects in a listing lack
    cut: float | None = None  # the share of the body (0 to 1) that is sent; the headers promise all of it

    seen: int = field(default=0, init=False, repr=False)
    applied: int = field(default=0, init=False, repr=False)  # how many requests it was applied to

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

    def changed(self, body: bytes) -> bytes:
        """A JSON answer with ``set`` and ``remove_fields`` applied."""
        answer = json.loads(body) | self.set
        for row in answer.get("Objects") or []:
            for name in self.remove_fields:
                row.pop(name, None)
        return json.dumps(answer).encode()


class Faults(list[Fault]):
    """The rules in force. Tests add and clear them while the server runs."""

    @classmethod
    def from_file(cls, path: Path) -> Faults:
        """Rules from a JSON list of objects with the fields of Fault. PipelineError says what is wrong."""
        known = sorted({each.name for each in fields(Fault) if each.init} - {"run"})
        try:
            rules = json.loads(path.read_text(encoding="utf-8"))
            if unknown := sorted({key for rule in rules for key in rule} - {*known}):
                raise ValueError(f"unknown key {', '.join(unknown)}")
            return cls(Fault(**rule) for rule in rules)
        except (TypeError, ValueError) as error:
            raise PipelineError(
                f"cannot use the faults file {path}: {error}",
                next_step=f"write a JSON list of objects with some of these keys: {', '.join(known)}",
            ) from None

    def add(self, **rule: Any) -> Fault:
        """Add a rule with these fields of Fault."""
        self.append(fault := Fault(**rule))
        return fault
