"""Families, their members and staff: names, guardianships, addresses, phones and e-mail addresses.

Siblings share a family, and so its guardians, home, last name and attendance zone. Everything fictional stays
fictional: phone numbers have the exchange 555, and mail domains are reserved ones.
"""

import numpy as np
import pandas as pd

from samegoal_pipelines.sandbox import words as w
from samegoal_pipelines.sandbox.draw import Array, Rng, chance, digits, only, padded, pick, some
from samegoal_pipelines.sandbox.objects import grade_codes, ids_of

_CHILDREN_SHARES = (0.44, 0.36, 0.14, 0.05, 0.01)
_FAMILY_SHARES = {"parents": 0.58, "mother": 0.135, "father": 0.035, "separated": 0.18, "grandparents": 0.07}
_ANY = dict.fromkeys(_FAMILY_SHARES, 0.11)
_GUARDIANS: tuple[tuple[str, bool, dict[str, float]], ...] = (
    # relationship, lives with the children, share by kind of family
    ("Mother", True, {"parents": 1, "mother": 1, "separated": 1}),
    ("Grandmother", True, {"grandparents": 1}),
    ("Father", True, {"parents": 1, "father": 1}),
    ("Stepfather", True, {"separated": 0.4}),
    ("Grandfather", True, {"grandparents": 0.5}),
    ("Father", False, {"separated": 1}),
    ("Aunt", False, _ANY),
    ("Uncle", False, _ANY),
)
_CONTACTS = ("Aunt", "Uncle")
_WOMEN = ("Mother", "Grandmother", "Aunt")
_RACES = {
    "IsWhite": "White",
    "IsBlack": "Black or African American",
    "IsAsian": "Asian",
    "IsAlaskan": "American Indian or Alaska Native",
    "IsHawaiian": "Native Hawaiian or Other Pacific Islander",
}
_RACE_SHARES = (0.73, 0.15, 0.07, 0.03, 0.02)
_PHONE_SHARES = {
    # kind → share of students up to grade 5, older students, guardians, staff
    "Cell": (0.02, 0.45, 0.92, 0.7),
    "Home": (0.1, 0.1, 0.24, 0.1),
    "Work": (0.0, 0.0, 0.34, 0.9),
}


def persons_of(rng: Rng, grade: Array) -> pd.DataFrame:
    """A student for each grade, with families and staff.

    Returns role, name_id, family, at_home, female and last_name of everyone; relationship of guardians;
    student_id, grade and zone of students. The zone, 0 to 1, decides the campus.
    """
    students = len(grade)
    sizes = 1 + rng.choice(5, students, p=_CHILDREN_SHARES)
    family = rng.permutation(np.repeat(np.arange(students), sizes)[:students])
    families = int(family.max(initial=-1)) + 1
    kind = rng.choice(list(_FAMILY_SHARES), families, p=list(_FAMILY_SHARES.values()))
    shares = pd.DataFrame([each for *_, each in _GUARDIANS]).fillna(0.0).reindex(columns=list(_FAMILY_SHARES))
    exists = chance(rng, families * len(_GUARDIANS), shares[kind].to_numpy().T.ravel())
    of_family, slot = np.divmod(np.flatnonzero(exists), len(_GUARDIANS))
    pupils = pd.DataFrame({"role": "student", "family": family, "at_home": True, "grade": grade})
    pupils = pupils.assign(student_id=20_001 + pupils.index, female=chance(rng, students, 0.49))
    pupils["zone"] = rng.random(families)[family]
    guardians = pd.DataFrame(_GUARDIANS, columns=["relationship", "at_home", ""]).iloc[slot, :2]
    guardians = guardians.assign(role="guardian", family=of_family)
    guardians["female"] = guardians["relationship"].isin(_WOMEN)
    staff = pd.DataFrame({"role": "staff", "family": -1, "at_home": False}, range(max(3, students // 12)))
    staff["female"] = chance(rng, len(staff), 0.7)
    persons = pd.concat([pupils, guardians, staff], ignore_index=True)
    persons["name_id"] = 500_001 + rng.permutation(len(persons))  # not in the order of storage
    persons["last_name"] = _last_names(rng, persons, families)
    return persons


def name_rows(rng: Rng, persons: pd.DataFrame, year: int) -> pd.DataFrame:
    """Rows of Demographics/Name; ``year`` is the school year of the students' grades."""
    total = len(persons)
    role, female, last = (persons[name].to_numpy() for name in ("role", "female", "last_name"))
    is_student = role == "student"
    legal, middle = (first_names(rng, female) for _ in range(2))
    short = np.array([w.NICKNAMES.get(name, name) for name in legal], object)
    middle = only(chance(rng, total, 0.78), middle)
    has_legal = is_student | chance(rng, total, 0.3)
    return pd.DataFrame(
        {
            "NameID": persons["name_id"],
            "FirstName": np.where(chance(rng, total, 0.3), short, legal),
            "MiddleName": middle,
            "LastName": last,
            "FirstNameLegal": only(has_legal, legal),
            "MiddleNameLegal": only(has_legal, middle),
            "LastNameLegal": only(has_legal, last),
            "NameSuffixID": only(~female & chance(rng, total, 0.04), rng.integers(1, 6, total)),
            "BirthDate": _birth_dates(rng, persons["grade"].dropna().to_numpy(int), total, year),
            "Gender": np.where(female, "Female", "Male"),
            "GenderCode": np.where(female, "F", "M"),
            **_race(rng, is_student),
            "IsStudentName": is_student,
            # Some of the staff have children in the district.
            "IsGuardianName": (role == "guardian") | (role == "staff") & chance(rng, total, 0.08),
        }
    )


def student_rows(rng: Rng, pupils: pd.DataFrame, years_later: int) -> pd.DataFrame:
    """Rows of Student/Student, with the grade so many years later."""
    count = len(pupils)
    grade = pupils["grade"].to_numpy() + years_later
    language = rng.choice(np.arange(1, 7), count, p=[0.75, 0.21, 0.01, 0.01, 0.01, 0.01])
    unknown = chance(rng, count, 0.04)
    state = 1_000_000_000 + rng.permutation(count * 7)[:count] * 97
    return pd.DataFrame(
        {
            "StudentID": pupils["student_id"].to_numpy(),
            "NameID": pupils["name_id"].to_numpy(),
            "StudentNumber": padded(3_000 + rng.permutation(count * 3)[:count], 6),
            "Grade": grade_codes(grade),
            "GradeNumeric": grade,
            "CalculatedStudentStateID": only(chance(rng, count, 0.995), padded(state, 10)),
            "LanguageIDPrimary": only(~unknown, language),
            "LanguageIDNative": only(unknown | chance(rng, count, 0.4), language),
        }
    )


def first_names(rng: Rng, female: Array) -> Array:
    """A first name for each person."""
    return np.where(female, pick(rng, w.GIRLS, len(female)), pick(rng, w.BOYS, len(female)))


def _last_names(rng: Rng, persons: pd.DataFrame, families: int) -> Array:
    """Families share a last name. Some have two parts or a hyphen, and not every guardian bears it."""
    family, kind = persons["family"].to_numpy(), rng.random(families)
    one, two = (pick(rng, w.LAST_NAMES, families) for _ in range(2))
    shared = np.select([kind < 0.07, kind > 0.95], [one + " " + two, one + "-" + two], one)
    shared = np.append(shared, "")  # of staff, who have no family
    other = np.select([family < 0, persons["role"] == "student"], [1.0, 0.0], 0.25)
    own = pick(rng, w.LAST_NAMES, len(persons))
    return np.where(chance(rng, len(persons), other), own, shared[family])


def _birth_dates(rng: Rng, grade: Array, total: int, year: int) -> Array:
    """Children are five on 1 September of kindergarten. Most adults' birth dates are unknown."""
    autumn = (year + 1999 - 5 - grade - 1970).astype("datetime64[Y]").astype("datetime64[D]") + 243
    children = autumn - rng.integers(0, 365, len(grade))
    adults = np.datetime64("1955-01-01") + rng.integers(0, 19_000, total - len(grade))
    adults[chance(rng, len(adults), 0.8)] = np.datetime64("NaT")
    return np.concatenate([children, adults])


def _race(rng: Rng, known: Array) -> dict[str, Array]:
    """Race and ethnicity of students; nobody asks the others."""
    race, second = (rng.choice(len(_RACES), len(known), p=_RACE_SHARES) for _ in range(2))
    several = chance(rng, len(known), 0.1) & (second != race)
    text = np.where(several, "Two or More Races", np.array(list(_RACES.values()), object)[race])
    flags = {name: (race == n) | (several & (second == n)) for n, name in enumerate(_RACES)}
    columns = {"Race": text, "IsHispanic": chance(rng, len(known), 0.52), **flags}
    return {name: only(known, column) for name, column in columns.items()}


def guardianships(rng: Rng, persons: pd.DataFrame) -> pd.DataFrame:
    """A row per student and guardian, ranked. A few are under restricted access; for fewer it is unknown."""
    children, guardians = (persons[persons["role"] == role] for role in ("student", "guardian"))
    guardians = guardians[["family", "name_id", "relationship", "at_home"]]
    pairs = children[["family", "student_id"]].merge(guardians, on="family")
    count = len(pairs)
    restricted, unknown = np.zeros(count, bool), np.zeros(count, bool)
    separated = ((pairs["relationship"] == "Father") & ~pairs["at_home"]).to_numpy()
    restricted[some(rng, separated, 0.004, count)] = True
    unknown[some(rng, ~restricted, 0.0015, count)] = True
    contact = pairs["relationship"].isin(_CONTACTS).to_numpy()
    return pd.DataFrame(
        {
            "StudentGuardianID": 3_000_001 + np.arange(count),
            "StudentID": pairs["student_id"].astype(int),
            "NameIDGuardian": pairs["name_id"],
            "RelationshipID": only(
                chance(rng, count, 0.996), pairs["relationship"].map(ids_of("Demographics/Relationship"))
            ),
            "Rank": pairs.groupby("student_id").cumcount() + 1,
            "IsCustodialGuardian": ~contact & ~restricted & chance(rng, count, 0.97),
            "IsEmergencyContact": contact | chance(rng, count, 0.55),
            "HasActiveRestrictedAccess": only(~unknown, restricted),
        }
    )


def addresses_and_links(rng: Rng, persons: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Addresses and who has them: a home per family, homes of others, and PO boxes for some families."""
    at_home, relationship = persons["at_home"], persons["relationship"]
    has_home = at_home | (relationship == "Father") | chance(rng, len(persons), 0.55)
    alone = persons["family"].max() + 1 + persons.index
    homes = pd.DataFrame({"NameID": persons["name_id"], "home": persons["family"].where(at_home, alone)})
    homes = homes[has_home].assign(IsMailing=True, IsPhysical=True)
    boxed = at_home[homes.index] & chance(rng, len(alone) + int(alone[0]), 0.05)[homes["home"]]
    homes.loc[boxed, "IsMailing"] = False
    boxes = homes[boxed].assign(home=lambda rows: -1 - rows["home"], IsMailing=True, IsPhysical=False)
    links = pd.concat([homes, boxes])
    place, known = pd.factorize(links.pop("home"))
    ids = 40_001 + rng.permutation(len(known))
    links.insert(0, "NameAddressID", 900_001 + np.arange(len(links)))
    addresses, is_box = address_rows(rng, ids), np.asarray(known) < 0
    addresses["POBox"] = only(is_box, digits(rng, 1, 900, len(known)))
    addresses.loc[is_box, "StreetNumberAndNameIncludeSecondaryUnit"] = None
    return addresses, links.assign(AddressID=ids[place])


def address_rows(rng: Rng, ids: Array) -> pd.DataFrame:
    """Rows of Demographics/Address: a street each."""
    count = len(ids)
    number, unit = digits(rng, 100, 19_999, count), " Apt " + digits(rng, 1, 40, count)
    street = number + " " + pick(rng, w.STREETS, count) + " " + pick(rng, w.STREET_TYPES, count)
    return pd.DataFrame(
        {
            "AddressID": ids,
            "StreetNumberAndNameIncludeSecondaryUnit": street + np.where(chance(rng, count, 0.1), unit, ""),
            "AddressLine2": only(chance(rng, count, 0.01), "Lot 7"),
            "POBox": np.full(count, None),
            "CountyID": 10 + chance(rng, count, 0.06),
            "ZipID": only(chance(rng, count, 0.998), 300 + np.minimum(rng.geometric(0.42, count) - 1, 6)),
            "ZipCodeAddOn": only(chance(rng, count, 0.35), digits(rng, 1000, 9999, count)),
        }
    )


def phones(rng: Rng, persons: pd.DataFrame) -> pd.DataFrame:
    """Phones of persons, ranked. Mostly the cell phone comes first."""
    group = persons["role"].map({"student": 0, "guardian": 2, "staff": 3})
    group = (group + (persons["grade"] >= 6)).to_numpy()
    has = {kind: chance(rng, len(group), np.array(shares)[group]) for kind, shares in _PHONE_SHARES.items()}
    person = np.concatenate([np.flatnonzero(each) for each in has.values()])
    kind = np.repeat(list(has), [each.sum() for each in has.values()])
    order = np.lexsort((rng.random(len(person)) + np.where(kind == "Cell", 0.0, 0.7), person))
    person, kind = person[order], kind[order]
    count = len(person)
    extension = (kind == "Work") & chance(rng, count, 0.4)
    return pd.DataFrame(
        {
            "NamePhoneID": 2_000_001 + np.arange(count),
            "NameID": persons["name_id"].to_numpy()[person],
            **phone_numbers(rng, count),
            "Extension": only(extension, digits(rng, 100, 9999, count)),
            "PhoneTypeID": pd.Series(kind).map(ids_of("Demographics/PhoneType")),
            "Rank": _ranks(person),
            "IsConfidential": chance(rng, count, 0.025),
        }
    )


def phone_numbers(rng: Rng, count: int) -> dict[str, Array]:
    """Both columns of as many phone numbers."""
    area, last = pick(rng, w.AREA_CODES, count), padded(rng.integers(0, 10_000, count), 4)
    return {"PhoneNumber": area + "555" + last, "FormattedPhoneNumber": "(" + area + ") 555-" + last}


def emails(rng: Rng, names: pd.DataFrame, role: Array, slug: str) -> pd.DataFrame:
    """Most guardians have an e-mail address, some two, some none; staff always have one."""
    share = np.select([role == "student", role == "guardian"], [0.5, 0.83], 1.0)
    has = chance(rng, len(role), share)
    person = np.repeat(np.arange(len(role)), has.astype(int) + (has & chance(rng, len(role), 0.07)))
    role, names, count = role[person], names.iloc[person], len(person)
    both = names["FirstName"] + "." + names["LastName"]
    plain = both.str.normalize("NFKD").str.lower().str.replace(r"[^a-z.]", "", regex=True).to_numpy(object)
    private = pick(rng, ("example.com", "example.org", "example.net"), count)
    domain = np.where(role == "guardian", private, f"{slug}.example")
    return pd.DataFrame(
        {
            "NameEmailID": 700_001 + np.arange(count),
            "NameID": names["NameID"].to_numpy(),
            "EmailAddress": plain + digits(rng, 1, 9999, count) + "@" + domain,
            "Rank": _ranks(person),
        }
    )


def _ranks(person: Array) -> Array:
    """1, 2, … for the rows of each person, which are consecutive."""
    return np.arange(len(person)) - np.searchsorted(person, person) + 1
