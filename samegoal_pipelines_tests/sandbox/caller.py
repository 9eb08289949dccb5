"""A bare caller of the Custom API: it knows paths and headers, and nothing of the project's client."""

from collections.abc import Sequence
from typing import Any

import requests

from samegoal_pipelines.sandbox import SandboxDistrict, SandboxServer

ENROLLMENTS = "Enrollment/EntryWithdrawal"


class Caller:
    """Calls one district's base URL, with the credentials of that district or of another."""

    def __init__(
        self, server: SandboxServer, district: SandboxDistrict, credentials: SandboxDistrict | None = None
    ):
        self.base = server.base_url(district)
        self.credentials = credentials or district
        self.session = requests.Session()
        self.token: str | None = None

    def ask_token(self, **form: str) -> requests.Response:
        asked = {
            "grant_type": "client_credentials",
            "client_id": self.credentials.client_key,
            "client_secret": self.credentials.client_secret,
        }
        headers = {"Suppress-Development-Permissions": "true"}
        return self.session.post(f"{self.base}/oauth/token", data=asked | form, headers=headers, timeout=60)

    def call(self, path: str, *, json: Any = None, params: Any = None, **headers: str) -> requests.Response:
        if self.token is None:
            self.token = self.ask_token().json()["access_token"]
        sent = {"Authorization": f"Bearer {self.token}"} | headers
        method = "GET" if json is None else "POST"
        return self.session.request(
            method, self.base + path, json=json, params=params, headers=sent, timeout=60
        )

    def page(
        self,
        name: str,
        fields: Sequence[str] = (),
        *,
        entity: int = 1,
        page: int = 1,
        size: int = 500,
        year: int | None = None,
        search: dict[str, Any] | None = None,
    ) -> requests.Response:
        params: dict[str, Any] = {f"searchFields[{number}]": field for number, field in enumerate(fields)}
        if year is not None:
            params["SchoolYearID"] = year
        return self.call(f"/Custom/{entity}/{name}/{page}/{size}", params=params, json=search)

    def objects(self, name: str, fields: Sequence[str] = (), **how: Any) -> list[dict[str, Any]]:
        answer = self.page(name, fields, **how)
        answer.raise_for_status()
        objects: list[dict[str, Any]] = answer.json()["Objects"]
        return objects
