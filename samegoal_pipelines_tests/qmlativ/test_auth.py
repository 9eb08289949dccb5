"""Tokens: fetched once, renewed when they run out, and never more often than that; and whose they are."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pydantic import SecretStr

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.qmlativ.client import Identity, QmlativClient, Token
from samegoal_pipelines.qmlativ.errors import InvalidCredentialsError, MalformedAnswerError
from samegoal_pipelines.tables.people import COUNTY
from samegoal_pipelines_tests.qmlativ.scripted import (
    SECRET,
    Reply,
    counties,
    county_path,
    failure,
    read,
    serving,
)

EXPIRED = {"Message": "Token has expired"}


class Tokens:
    """Gives out token-1, token-2 …; refuses those below `valid_from` as expired."""

    def __init__(self, refusal=None, valid_from=1, **answer):
        self.answer = {"expires_in": 3600, **answer}
        self.given = 0
        self.valid_from = valid_from
        self.refusal = refusal or Reply(401, EXPIRED)

    def __call__(self, request):
        if request.path.endswith("/oauth/token"):
            self.given += 1
            return Reply(body={"access_token": f"token-{self.given}", **self.answer})
        if int(request.headers["authorization"].removeprefix("Bearer token-")) < self.valid_from:
            return self.refusal
        if request.page:
            return counties([request.page], county_path(request.page + 1, 1) if request.page < 4 else None)
        return None

    def expiring_at(self, page):
        """The answers, if the first token expires at this page."""

        def answers(request):
            if request.page == page and self.given == 1:
                self.valid_from = 2
            return self(request)

        return answers


def read_ids(answers):
    reading, server = read(answers, page_size=1)
    return reading.table["CountyID"].to_pylist(), server


def test_a_token_is_asked_for_as_a_form_and_sent_with_every_call():
    ids, server = read_ids(Tokens())
    assert ids == [1, 2, 3, 4]
    [token] = server.asked("/oauth/token")
    assert token.method == "POST"
    assert token.body == f"grant_type=client_credentials&client_id=key&client_secret={SECRET}".encode()
    assert token.headers["content-type"] == "application/x-www-form-urlencoded"
    assert token.headers["suppress-development-permissions"] == "true"
    assert {r.headers["authorization"] for r in server.requests if r is not token} == {"Bearer token-1"}


REFUSALS = {
    "expired": Reply(401, EXPIRED),
    "403": Reply(403, EXPIRED),
    "far into the body": Reply(403, {"Trace": "x" * 10_000, **EXPIRED}),
    "403 by a web page": Reply(403, b"<html>Token has expired</html>"),
    "forgotten": Reply(401),
    "forgotten, by a web page": Reply(401, b"<html></html>"),
}


@pytest.mark.parametrize(
    ("refusal", "valid_from"),
    [*((name, 1) for name in REFUSALS), *((name, 2) for name in REFUSALS if "forgotten" not in name)],
)
def test_a_token_that_expires_or_is_forgotten_is_renewed_once(refusal, valid_from):
    """In mid-read, or before its first use: the token server may have given it out before."""
    tokens = Tokens(REFUSALS[refusal], valid_from)
    assert read_ids(tokens.expiring_at(3))[0] == [1, 2, 3, 4]
    assert tokens.given == 2


@pytest.mark.parametrize(
    ("refusal", "calls"), [(Reply(401), 1), (Reply(401, EXPIRED), 2), (Reply(403, EXPIRED), 2)]
)
def test_a_fresh_token_that_is_refused_costs_two_token_calls_at_most_and_a_clear_line(refusal, calls):
    tokens = Tokens(refusal, valid_from=99)
    said, *_ = failure(tokens, InvalidCredentialsError, QmlativClient.identity)
    assert tokens.given == calls
    assert said == (
        f"GetSystemMetadata: Qmlativ refuses the token (HTTP {refusal.status}); "
        + InvalidCredentialsError.next_step
    )


@pytest.mark.parametrize(
    ("form", "basic", "requests"),
    [(400, 400, 2), (401, 401, 2), (403, 403, 2), (401, 302, 2), (401, 500, 4), (401, 200, 4)],
)
def test_wrong_credentials_are_tried_each_way_and_the_answer_to_the_form_is_told(form, basic, requests):
    """A passing trouble is tried again, such as an empty answer with status 200."""
    methods = []

    def answers(request):
        if b"client_secret" in request.body:
            return Reply(form, {"error": "invalid_client", "error_description": f"{SECRET} is wrong"})
        return Reply(basic)

    def identify(client):
        try:
            client.identity()
        finally:
            methods.append(client.client_auth)

    said, server, error = failure(answers, InvalidCredentialsError, identify)
    assert said == (
        f"token: Qmlativ does not accept the credentials (HTTP {form}); " + InvalidCredentialsError.next_step
    )
    assert not error.transient
    assert (methods, len(server.requests)) == (["form"], requests)


@pytest.mark.parametrize("lifetime", [None, 0, "soon", "1e999", []])
def test_a_token_of_an_odd_lifetime_is_used_until_it_is_refused(lifetime):
    tokens = Tokens(expires_in=lifetime)
    assert read_ids(tokens)[0] == [1, 2, 3, 4]
    assert tokens.given == 1


def test_where_the_form_is_refused_http_basic_is_tried_and_kept():
    expiring = Tokens().expiring_at(3)

    def answers(request):
        if request.path.endswith("/oauth/token") and b"client_secret" in request.body:
            return Reply(401, {"error": "invalid_client"})
        return expiring(request)

    with serving(answers) as server:
        credentials = {"client_key": "a key:1", "client_secret": SecretStr("s%ü+")}
        with QmlativClient(replace(server.connection(page_size=1), **credentials)) as client:
            assert client.read(COUNTY).table["CountyID"].to_pylist() == [1, 2, 3, 4]
            assert client.client_auth == "basic"
    form, *basic = server.asked("/oauth/token")
    assert b"client_secret" in form.body
    assert len(basic) == 2  # the first, and the one after it was refused: the form is not tried again
    for each in basic:
        assert each.body == b"grant_type=client_credentials"
        sent = base64.b64decode(each.headers["authorization"].removeprefix("Basic ")).decode()
        assert sent == "a+key%3A1:s%25%C3%BC%2B"


@pytest.mark.parametrize(
    "reply",
    [
        *(Reply(body=body) for body in (b"[]", b"{}", b'{"access_token": 5}', b'{"access_token": ""}')),
        *(Reply(body=b'{"access_token": "a\\r\\nX: y"}'), Reply(404)),
    ],
)
def test_an_answer_without_a_usable_token_is_malformed(reply):
    said, *_ = failure(lambda _: reply, MalformedAnswerError, QmlativClient.identity)
    no_token = "HTTP 404 where a token was expected" if reply.status == 404 else "the answer holds no usable"
    assert said.startswith(f"token: {no_token}")
    assert said.endswith("or --token-url … where tokens come from elsewhere")


def test_eight_threads_that_meet_an_expired_token_cause_one_token_call():
    tokens = Tokens()
    barrier = threading.Barrier(8, timeout=60)

    def answers(request):
        if request.path.endswith("/County") and tokens.valid_from == 2 and "token-1" in str(request.headers):
            barrier.wait()
        return tokens(request)

    objects = [replace(COUNTY, path=f"Module{n}/County") for n in range(8)]
    with serving(answers) as server, QmlativClient(server.connection()) as client:
        client.identity()
        tokens.valid_from = 2
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(client.describe, objects))
    assert tokens.given == 2


def test_netrc_does_not_replace_the_token(tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(Tokens()) as server, QmlativClient(server.connection()) as client:
        client.identity()
    assert server.requests[-1].headers["authorization"] == "Bearer token-1"
    assert "authorization" not in server.requests[0].headers


def test_the_token_shows_in_no_repr():
    assert "hidden-token" not in repr(Token("hidden-token"))


def with_metadata(body):
    return lambda request: Reply(body=body) if request.path.endswith("/GetSystemMetadata") else None


@pytest.mark.parametrize(
    ("read_as", "own", "found"), [(None, 2, 2), (3, 2, 3), (None, None, 1), (9, 2, 2)], ids=str
)
def test_of_several_districts_the_credentials_belong_to_that_of_the_entity_to_read_as(read_as, own, found):
    districts = [{"DistrictID": n, "EntityID": n, "Code": str(n), "Name": f"District {n}"} for n in (1, 2, 3)]
    answers = with_metadata({"System": {"EntityID": own, "Districts": districts}})
    with serving(answers) as server, QmlativClient(server.connection(entity_id=read_as)) as client:
        assert client.identity() == Identity(found, found, str(found), f"District {found}")


DISTRICT = {"DistrictID": 1, "EntityID": 1, "Code": "255901"}


@pytest.mark.parametrize(
    "districts",
    [
        [],
        *([one] for one in ({}, DISTRICT | {"DistrictID": "1"}, DISTRICT | {"EntityID": None}, "one")),
        [DISTRICT, DISTRICT | {"EntityID": "2"}],
    ],
    ids=str,
)
def test_metadata_that_names_no_district_is_malformed(districts):
    """Nor is the district of another entity taken for one that cannot be read."""
    answers = with_metadata({"System": {"EntityID": 1, "Districts": districts}})
    said, _, error = failure(answers, MalformedAnswerError, QmlativClient.identity, entity_id=2)
    assert said.startswith("GetSystemMetadata: the answer names no district; ")
    assert error.kind is Kind.IDENTITY
