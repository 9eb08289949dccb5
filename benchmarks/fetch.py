"""Pages to columns: our client against dlt's, pandas' JSON reader, and the floor of requests and orjson.

Everybody reads the same 200,000 enrollments, in pages of 10,000, over loopback from a server that has its
answers ready, token included, in a process of their own. Ours ends as a typed frame, checked for order and
repeats. The peers end as the frame that their users get, with dates still text; the floor stops at dicts, and
checks nothing.

At 150 ms a page, the floor is the pages' latency alone: 20 × 150 ms following `Paging.Next`, and for eight
connections ⌈20 / 8⌉ × 150 ms. It leaves out token, metadata and description, which have no latency here.
"""

import io
import json
import os
from collections.abc import Callable
from typing import Any

from benchmarks.cases import Case, compared
from benchmarks.contestant import Contestant, take_turns
from benchmarks.page_server import CLIENT_KEY, CLIENT_SECRET, OBJECT, PAGE_SIZE, serving

ROWS = 200_000
LATENCY = 0.15
CONNECTIONS = 8
PARAMETERS = {"SchoolYearID": "27"}
FIRST_PAGE = f"/Custom/1/{OBJECT}/1/{PAGE_SIZE}"
FIELDS = [
    "EntryWithdrawalID",
    "StudentID",
    "EntityID",
    "SchoolID",
    "SchoolYearID",
    "StartDate",
    "EndDate",
    "WithdrawalDate",
    "WithdrawalCodeID",
    "IsDefaultEntity",
    "IsCrossEntityCourseEnrollment",
]


def run(runs: int = 5, rows: int = ROWS) -> list[Case]:
    """Without latency, then with."""
    with serving(rows, 0.0, LATENCY) as (quick, slow):
        return [*_loopback(quick, runs, rows), *_with_latency(slow, runs, rows)]


def _loopback(url: str, runs: int, rows: int) -> list[Case]:
    who = {
        "ours": Contestant(ours, url, 0),
        "dlt RESTClient, list of dicts, DataFrame": Contestant(dlt_client, url),
        "requests, read_json(dumps(objects))": Contestant(read_json, url),
        "requests + orjson, stops at dicts (floor)": Contestant(dicts, url),
    }
    take_turns(who, runs)
    mine = who.pop("ours")
    targets = (1 / 6, 1 / 6, 1 / 0.95)
    return [
        compared(
            f"fetch {rows:,} rows to columns",
            mine.seconds,
            name,
            peer.seconds,
            target,
            ours_mb=mine.peak_mb,
            peer_mb=peer.peak_mb,
        )
        for (name, peer), target in zip(who.items(), targets, strict=True)
    ]


def _with_latency(url: str, runs: int, rows: int) -> list[Case]:
    pages = -(-rows // PAGE_SIZE)
    who = {
        "following Next": Contestant(ours, url, 0),
        "pages in parallel": Contestant(ours, url, rows),
        "dlt": Contestant(dlt_client, url),
    }
    take_turns(who, runs)
    dlt = who["dlt"]
    cases = []
    for name, chain, targets in (
        ("following Next", pages, (1.05, None)),
        ("pages in parallel", -(-pages // CONNECTIONS), (None, 1 / 7)),
    ):
        case = f"fetch {rows:,} rows, 150 ms a page, {name}"
        mine = who[name]
        floor = [chain * LATENCY] * len(mine.seconds)
        memory = {"ours_mb": mine.peak_mb}
        cases += [
            compared(case, mine.seconds, "latency floor", floor, targets[0], **memory),
            compared(
                case,
                mine.seconds,
                "dlt RESTClient, following Next",
                dlt.seconds,
                targets[1],
                peer_mb=dlt.peak_mb,
                **memory,
            ),
        ]
    return cases


def ours(url: str, expected_rows: int) -> Callable[[], Any]:
    """The client, from credentials to a typed frame; with `expected_rows`, pages are loaded at once."""
    import pandas as pd
    from pydantic import SecretStr

    from samegoal_pipelines.qmlativ.client import QmlativClient
    from samegoal_pipelines.qmlativ.connection import Connection
    from samegoal_pipelines.tables.catalog import OBJECTS

    connection = Connection(
        url, CLIENT_KEY, SecretStr(CLIENT_SECRET), allow_local=True, connections=CONNECTIONS
    )

    def read() -> Any:
        with QmlativClient(connection) as client:
            found = client.read(OBJECTS[OBJECT], school_year_id=27, expected_rows=expected_rows or None)
        return found.table.to_pandas(types_mapper=pd.ArrowDtype)

    return read


def dlt_client(url: str) -> Callable[[], Any]:
    """The REST client of dlt as its documentation uses it."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import pandas as pd
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.auth import OAuth2ClientCredentials
    from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator

    def read() -> Any:
        client = RESTClient(
            base_url=url,
            auth=OAuth2ClientCredentials(
                access_token_url=f"{url}/oauth/token",
                client_id=CLIENT_KEY,
                client_secret=CLIENT_SECRET,
            ),
            paginator=JSONLinkPaginator(next_url_path="Paging.Next"),
            data_selector="Objects",
        )
        rows = [row for page in client.paginate(FIRST_PAGE, params=PARAMETERS) for row in page]
        return pd.DataFrame(rows, columns=FIELDS)

    return read


def read_json(url: str) -> Callable[[], Any]:
    """All objects back to text, and that through pandas."""
    import pandas as pd

    def read() -> Any:
        objects = [row for page in _pages(url, json.loads) for row in page["Objects"]]
        return pd.read_json(io.StringIO(json.dumps(objects)))

    return read


def dicts(url: str) -> Callable[[], Any]:
    """As little as can be done: bytes to dicts, page after page."""
    import orjson

    return lambda: [row for page in _pages(url, orjson.loads) for row in page["Objects"]]


def _pages(url: str, loads: Callable[[bytes], Any]) -> Any:
    import requests

    with requests.Session() as session:
        form = {"grant_type": "client_credentials", "client_id": CLIENT_KEY, "client_secret": CLIENT_SECRET}
        token = session.post(f"{url}/oauth/token", data=form, timeout=60).json()["access_token"]
        session.headers["Authorization"] = f"Bearer {token}"
        following: str | None = FIRST_PAGE
        while following:
            page = loads(session.get(url + following, params=PARAMETERS, timeout=60).content)
            yield page
            following = page["Paging"]["Next"]
