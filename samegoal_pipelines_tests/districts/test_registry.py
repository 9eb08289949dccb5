"""Which districts there are, and which registrations are refused."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from samegoal_pipelines.districts.cipher import SecretCipher
from samegoal_pipelines.districts.errors import (
    DecryptionError,
    DistrictError,
    SecretAwaitedError,
    UnknownDistrictError,
)
from samegoal_pipelines.districts.registry import District, Registry
from samegoal_pipelines.qmlativ.errors import QmlativError
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import WarehouseUnavailableError
from samegoal_pipelines_tests.warehouse.factories import rows

URL = "https://skyward.example.org/GrandBendTXStuAPI"


@pytest.fixture
def registry(warehouse: sa.Engine, tmp_path: Path) -> Registry:
    return Registry(warehouse, SecretCipher(tmp_path, None), "Pat")


def add(registry: Registry, id: str = "grand-bend", **facts: Any) -> District:
    known = {"base_url": URL, "client_key": "key", "client_secret": "secret", "name": "Grand Bend ISD"}
    return registry.add(id=id, **known | facts)


def identity(code: str = "255901", district_id: int = 1, entity_id: int = 1) -> Any:
    return SimpleNamespace(district_id=district_id, entity_id=entity_id, code=code, name=f"District {code}")


def test_a_district_is_found_as_it_was_registered(registry):
    added = add(registry, timezone="America/Denver", entity_id=7, expires=date(2027, 8, 1))
    assert added == registry.get("grand-bend")
    assert added.secret_set_at is not None
    assert registry.list() == [added]
    assert added.public_facts() == {
        "id": "grand-bend",
        "name": "Grand Bend ISD",
        "base_url": URL,
        "entity_id": 7,
        "entities": "all",
        "timezone": "America/Denver",
        "expires": date(2027, 8, 1),
        "expiration": "given",
        "secret_set_at": added.secret_set_at,
        "secret_set_by": "Pat",
        "active": True,
        "source_host": "skyward.example.org",
        "gate_limits": Limits(),
        "show_restricted_contacts": False,
        "show_confidential_phones": False,
        **dict.fromkeys(("token_url", "access_name", "contact", "qmlativ_code", "qmlativ_name")),
        **dict.fromkeys(("confirmed_at", "confirmation_problem")),
    }


def test_the_secret_is_encrypted_in_the_database_and_opened_for_a_connection(registry, warehouse):
    district = add(registry, client_secret=" topsecret\n")
    ((stored,),) = rows(warehouse, "select encrypted_secret from samegoal.district_credentials")
    assert b"topsecret" not in bytes(stored)
    made = registry.connection(district, connections=2)
    assert (made.client_key, made.client_secret.get_secret_value()) == ("key", "topsecret")
    assert made.connections == 2
    assert "topsecret" not in repr(made) + repr(district.public_facts())


def test_a_secret_can_be_replaced(registry, warehouse, tmp_path):
    district = add(registry)
    elsewhere = Registry(warehouse, SecretCipher(tmp_path / "elsewhere", None))
    with pytest.raises(DecryptionError, match=r"^grand-bend: "):
        elsewhere.connection(district)
    elsewhere.rotate_secret("grand-bend", client_secret="newer")
    assert elsewhere.connection(district).client_secret.get_secret_value() == "newer"
    assert elsewhere.connection(district).client_key == "key"
    elsewhere.rotate_secret("grand-bend", client_secret="newest", client_key="another")
    with pytest.raises(DistrictError, match=r"^grand-bend: the Client Secret is blank"):
        elsewhere.rotate_secret("grand-bend", client_secret=" \n", client_key="new")
    made = elsewhere.connection(district)
    assert (made.client_key, made.client_secret.get_secret_value()) == ("another", "newest")


def test_commands_that_start_at_once_make_one_key(warehouse, tmp_path):
    def register(name: str) -> None:
        add(Registry(warehouse, SecretCipher(tmp_path, None)), name, base_url=f"{URL}/{name}")

    names = ["a", "b", "c", "d"]
    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(register, names))

    one = Registry(warehouse, SecretCipher(tmp_path, None))
    assert {one.credentials(name)[1].get_secret_value() for name in names} == {"secret"}
    assert len((tmp_path / "secret.key").read_text().split()) == 1


def test_a_district_without_a_secret_awaits_it_and_is_active_once_it_is_set(registry, warehouse):
    waiting = add(registry, client_secret=None)
    assert waiting.awaits_secret
    assert registry.list() == [waiting]
    assert registry.list_active() == []
    assert registry.client_key("grand-bend") == "key"
    with pytest.raises(SecretAwaitedError, match=r"^grand-bend: awaiting secret; .* set-secret grand-bend$"):
        registry.connection(waiting)
    assert registry.rotate_key() == (0, [])

    registry.rotate_secret("grand-bend", client_secret="secret")

    (active,) = registry.list_active()
    assert not active.awaits_secret
    assert registry.connection(active).client_secret.get_secret_value() == "secret"
    # Tonight may have begun: it is not late.
    assert rows(warehouse, "select due_since = secret_set_at from samegoal.districts") == [(True,)]


def test_an_expiration_that_nobody_gave_is_assumed_in_one_year_by_the_district_s_calendar(
    registry, warehouse
):
    assumed = add(registry, timezone="Pacific/Auckland")
    query = "select (registered_at at time zone timezone + interval '1 year')::date from samegoal.districts"
    ((in_a_year,),) = rows(warehouse, query)
    assert (assumed.expires, assumed.expiration) == (in_a_year, "assumed")
    other = add(registry, "riverside", base_url=URL + "2", expires="never")
    assert (other.expiration, other.timezone) == ("never", "America/Chicago")


BLANK, ODD = ("", "  \n"), ("on\ntw", "a\0b", "s\ufffdt", "\ufeffx", "naïve")
UNSAFE = (
    *("http://skyward.example.org/X", "https://localhost/X", "https://127.0.0.1/X", "https://10.1.2.3/X"),
    *("https://169.254.169.254/X", "https://[::1]/X", "skyward.example.org/X"),
    *("https://user:pw@skyward.example.org/X", "https://skyward.example.org/X?y=1"),
)
CREDENTIALS = {"client_key": "Client Key", "client_secret": "Client Secret"}
REFUSED: list[tuple[str, str, tuple[Any, ...]]] = [
    (
        "contact",
        "the contact is no e-mail address that",
        (
            *("pat", "a@b", "a@b.org,c@d.org", "a@b.org?bcc=c@d.org", "a b@c.org", "a@b.org\nc"),
            *("pat.o'hara@b.org", "..a..@b.org", "a@-b-.org", f"{'a' * 250}@b.org"),
        ),
    ),
    ("name", r"the name holds .*\(U\+202E\)", ("Dry\u202eFork",)),
    ("name", r"the name holds .*\(U\+", tuple(f"Dry{letter}Fork" for letter in "\x1b\x07\n\t\u200b\udc80")),
    *((fact, f"the {what} is blank", BLANK) for fact, what in CREDENTIALS.items()),
    *((fact, f"the {what} contains a line break", ODD) for fact, what in CREDENTIALS.items()),
    *((fact, f"the {what} is longer than 1,000 char", ("s" * 1_001,)) for fact, what in CREDENTIALS.items()),
    (
        "id",
        "not a district id; use 1 to 40 lower-case",
        (
            *("", "../x", "';--", "a\nb", "a|b", "a b", "Grand-Bend"),
            *("-a", "a" * 41, "grånd", "a_b", "a\n", "１２"),
        ),
    ),
    ("base_url", "the API Base URL", ("", *UNSAFE)),
    ("token_url", "the Token URL", UNSAFE),
    (
        "timezone",
        "is no IANA time zone; use one such as America/Chica",
        ("", "Texas", "CST", "../etc/passwd", "america/chicago", "localtime"),
    ),
    *(("entity_id", f"{odd} is no EntityID of Qmlativ", (odd,)) for odd in (0, -5, 2**63)),
]


def test_what_cannot_be_is_refused_in_one_line(registry):
    for fact, message, values in REFUSED:
        message = message if fact == "id" else f"^grand-bend: .*{message}"
        for value in values:
            with pytest.raises(DistrictError, match=message) as caught:
                add(registry, **{fact: value})
            said = str(caught.value)
            assert said.isprintable()
            assert "pw" not in said
            assert fact not in CREDENTIALS or not value.strip() or value not in said
    assert registry.list() == []


def test_what_looks_odd_but_can_be_is_registered(registry):
    contact = "_pat.o-hara+qm@k-12.example.org"
    for number, good in enumerate(("a", "7", "a" * 40, "grand-bend-", "0-0")):
        added = add(registry, good, base_url=f"{URL}{number}", contact=f" {contact} ", entity_id=2**63 - 1)
        assert (added.id, added.contact) == (good, contact)
    assert registry.set("a", contact="").contact is None
    pasted = " Dry\u00a0[Fork] Núñez ISD\n"
    assert registry.set("a", name=pasted).name == "Dry [Fork] Núñez ISD"


def test_a_local_address_is_accepted_where_that_is_allowed(warehouse, tmp_path):
    registry = Registry(warehouse, SecretCipher(tmp_path, None), allow_local=True)
    district = add(registry, base_url="http://127.0.0.1:8765/grand-bend/")
    assert (district.base_url, district.source_host) == ("http://127.0.0.1:8765/grand-bend", "127.0.0.1")
    assert registry.connection(district).base_url == district.base_url


def test_a_change_that_somebody_else_does_not_end_is_not_waited_for_for_ever(
    warehouse, tmp_path, monkeypatch
):
    monkeypatch.setattr(warehouse_engine, "LOCK_SECONDS", 1)
    registry = Registry(
        warehouse_engine.connect(warehouse.url.render_as_string()), SecretCipher(tmp_path, None)
    )
    add(registry)
    with as_writer(warehouse, "grand-bend", "hanging") as connection:
        connection.execute(sa.text("update samegoal.districts set name = name"))
        with pytest.raises(WarehouseUnavailableError, match=r"gave up waiting for a lock .*; run again when"):
            registry.set("grand-bend", name="Grand Bend")
    assert registry.set("grand-bend", name="Grand Bend").name == "Grand Bend"


def test_the_same_id_or_address_and_entity_are_refused_however_written(registry):
    add(registry)
    with pytest.raises(DistrictError, match="grand-bend: already registered"):
        add(registry, base_url=URL + "2")
    refusal = "riverside: this base URL and entity are registered as grand-bend"
    for url in (URL, URL + "/", URL.replace("skyward", "Skyward"), URL.replace(".org", ".org:443")):
        with pytest.raises(DistrictError, match=refusal):
            add(registry, "riverside", base_url=url)
    assert add(registry, "riverside", entity_id=2).entity_id == 2


def test_a_district_can_be_changed_under_the_same_rules(registry):
    add(registry)
    add(registry, "riverside", base_url=URL + "2")
    moved = registry.set(
        "grand-bend", base_url=URL + "3/", timezone="America/Denver", expires=date(2027, 1, 1)
    )
    assert (moved.base_url, moved.timezone, moved.expires) == (URL + "3", "America/Denver", date(2027, 1, 1))
    never = registry.set("grand-bend", expires="never")
    assert (never.expires, never.expiration) == (None, "never")
    assert registry.set("grand-bend", expires="unknown").expiration == "unknown"
    token_url = "https://gateway.example.org/token"
    assert registry.set("grand-bend", token_url=token_url).token_url == token_url
    assert registry.set("grand-bend", token_url="").token_url is None
    before = registry.get("grand-bend")
    for change, message in (
        ({"base_url": URL + "2"}, "registered as riverside"),
        ({"timezone": "Texas"}, "is no IANA time zone"),
        ({"name": "\u00a0"}, "the name is blank"),
        ({"access_name": "Same\x1bGoal"}, "the name of the Integration Access holds a control"),
        ({"name": "Other", "gate_limits": {"dropped": 101.0}}, "the limit dropped is a percentage"),
    ):
        with pytest.raises(DistrictError, match=f"^grand-bend: .*{message}"):
            registry.set("grand-bend", **change)
    assert registry.get("grand-bend") == before


def test_nights_are_waited_for_anew_after_a_move_to_another_time_zone_or_out_of_a_rest(registry, warehouse):
    def since() -> Any:
        return rows(warehouse, "select due_since from samegoal.districts")[0][0]

    add(registry, timezone="America/Chicago")
    registry.set("grand-bend", timezone="America/Chicago", name="Grand Bend ISD of Texas")
    assert [registry.set("grand-bend", active=True)] == registry.list_active()
    registry.set("grand-bend", active=False)
    assert registry.list_active() == []
    assert since() is None
    assert [registry.set("grand-bend", active=True)] == registry.list_active()
    enabled = since()
    registry.set("grand-bend", timezone="America/New_York")
    assert since() > enabled  # which is not None


def test_what_is_withheld_is_shown_only_where_it_was_set(registry):
    assert add(registry).withholding == Withholding(False, False)
    assert registry.set("grand-bend", show_restricted_contacts=True).withholding == Withholding(True, False)
    assert registry.set("grand-bend", show_confidential_phones=True).withholding == Withholding(True, True)
    assert registry.set("grand-bend", show_restricted_contacts=False).withholding == Withholding(False, True)


def test_a_district_that_is_not_registered_is_said_so(registry):
    for act in (
        lambda: registry.get("nowhere"),
        lambda: registry.set("nowhere", name="X"),
        lambda: registry.set("nowhere", active=True),
        lambda: registry.rotate_secret("nowhere", client_secret="x"),
    ):
        with pytest.raises(UnknownDistrictError, match="nowhere: no such district is registered"):
            act()


def remembered(district: District) -> tuple[str | None, int | None, int | None]:
    return district.qmlativ_code, district.qmlativ_district_id, district.qmlativ_entity_id


def test_the_identity_is_remembered_at_the_first_contact(registry):
    district = add(registry)
    registry.recognize(district, identity("255901"))
    known = registry.get("grand-bend")
    assert remembered(known) == ("255901", 1, 1)
    for one in (known, district):  # the latter was looked up before
        registry.recognize(one, identity("255901"))
        for another in (identity("999999"), identity("255901", 9)):
            with pytest.raises(QmlativError, match=rf"another district, {another.name} .*code 255901"):
                registry.recognize(one, another)
    assert remembered(registry.set("grand-bend", base_url=URL + "9")) == ("255901", 1, 1)


def test_the_name_of_another_district_is_told_without_control_characters(registry):
    registry.recognize(add(registry), identity("255901"))
    strange = SimpleNamespace(district_id=9, entity_id=1, code="999999", name="Bad\x1b[2J\nISD")
    with pytest.raises(QmlativError, match=r"another district, Bad\[2JISD \(999999\), not"):
        registry.recognize(registry.get("grand-bend"), strange)


def test_what_was_wrong_with_a_contact_is_forgotten_with_it(registry, warehouse):
    add(registry, contact="a@example.org")
    with as_writer(warehouse, "grand-bend", "a message was refused") as connection:
        connection.execute(sa.text("update samegoal.districts set confirmation_problem = 'refused'"))
    assert registry.set("grand-bend", contact="a@example.org").confirmation_problem == "refused"
    assert registry.set("grand-bend", contact="b@example.org").confirmation_problem is None


def test_another_registration_of_the_same_district_is_refused(registry):
    """Two addresses on one host may lead to the same district; it would be published twice."""
    registry.recognize(add(registry), identity("255901"))
    second = add(registry, "riverside", base_url=URL + "2")
    with pytest.raises(
        DistrictError, match=r"riverside: .* district 255901, which is registered as grand-bend"
    ):
        registry.recognize(second, identity("255901"))
    assert remembered(registry.get("riverside")) == (None, None, None)
    registry.recognize(second, identity("255902"))
    registry.recognize(add(registry, "elsewhere", base_url="https://q.example.org/API"), identity("255901"))
    registry.recognize(add(registry, "one-school", entity_id=30), identity("255901"))
    assert remembered(registry.get("one-school")) == ("255901", 1, 30)


def test_the_entity_of_a_remembered_identity_follows_the_registration(registry):
    registry.recognize(add(registry), identity("255901"))
    assert remembered(registry.set("grand-bend", entity_id=30)) == ("255901", 1, 30)
    registry.recognize(registry.set("grand-bend", entity_id=None), identity("255901", entity_id=1))
    assert remembered(registry.get("grand-bend")) == ("255901", 1, 1)
