"""Bearer tokens: who gets one, and which district a token belongs to."""

from __future__ import annotations

import base64
import secrets
import time
from urllib.parse import parse_qs, unquote_plus

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from samegoal_pipelines.sandbox.district import Sandbox, SandboxDistrict


class Tokens:
    """The tokens of one sandbox. Thread-safe: every access to `issued` is atomic."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.issued: dict[str, tuple[SandboxDistrict, float]] = {}
        """Token → its district, and when it expires."""

    def issue(self, authorization: str, body: bytes) -> Response:
        """The answer of the token endpoint."""
        form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        if form.get("grant_type") != "client_credentials":
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        given = _basic_credentials(authorization)
        given = given or ("form", form.get("client_id", ""), form.get("client_secret", ""))
        for district in self._sandbox.districts:
            expired = district.expires is not None and district.expires <= district.today
            if given == (district.client_auth, district.client_key, district.client_secret) and not expired:
                token, lifetime = secrets.token_urlsafe(32), district.token_lifetime
                self.issued[token] = (district, time.monotonic() + lifetime)
                return JSONResponse({"access_token": token, "token_type": "bearer", "expires_in": lifetime})
        refusal = "The client credentials are unknown or have expired"
        return JSONResponse({"error": "invalid_client", "error_description": refusal}, 401)

    def district(self, authorization: str) -> SandboxDistrict:
        """The district whose token this is."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise HTTPException(401, "Authorization has been denied for this request.")
        district, expires = self.issued.get(token, (None, 0.0))
        if district is None:
            raise HTTPException(401, "", {"www-authenticate": 'Bearer error="invalid_token"'})
        if time.monotonic() >= expires:
            raise HTTPException(district.token_expired_status, "Token has expired")
        return district

    def expire(self) -> None:
        """Expire every token issued so far."""
        for token, (district, _) in list(self.issued.items()):
            self.issued[token] = (district, 0.0)


def _basic_credentials(authorization: str) -> tuple[str, str, str] | None:
    """The word basic, key and secret of an HTTP Basic header (RFC 6749, section 2.3.1)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return None
    return "basic", unquote_plus(key), unquote_plus(secret)
