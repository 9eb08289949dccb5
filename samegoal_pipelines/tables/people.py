"""Students and parents: what Qmlativ gives about them and how to reach them, and what is published."""

from dataclasses import replace

from samegoal_pipelines.tables.declaration import (
    YEAR_ASKED,
    Table,
    day,
    flag,
    integer,
    qmlativ_object,
    table,
    text,
)
from samegoal_pipelines.tables.enrollments import STUDENT_STATUS, student_ids

# -- as Qmlativ gives them --

STUDENT = qmlativ_object(
    "Student/Student",
    "A student in one school year: Qmlativ computes some fields per year, so one row for each",
    integer("NameID", "The student as a person, in Name"),
    text("StudentNumber", "The number by which the district knows the student; text, 00123 is not 123"),
    text("Grade", "Grade in the year asked for; text such as 05, KG, EE"),
    text("CalculatedStudentStateID", "The state's number of the student; text"),
    integer("LanguageIDPrimary", "Language spoken at home, in Language", optional=True),
    integer("LanguageIDNative", "First language, in Language", optional=True),
    year_bound=True,
    year_column=YEAR_ASKED.name,
)
_PERSON = (
    text("FirstName", "First name in use"),
    text("MiddleName", "Middle name in use"),
    text("LastName", "Last name in use; None, NULL and NaN are names"),
    integer("NameSuffixID", "Jr., III and the like, in NameSuffix"),
)
STUDENT_NAME = qmlativ_object(
    "Demographics/Name",
    "A student as a person: names, birth date, and what the state asks about gender and race",
    *_PERSON,
    text("FirstNameLegal", "First name on record"),
    text("MiddleNameLegal", "Middle name on record"),
    text("LastNameLegal", "Last name on record"),
    day("BirthDate", "Date of birth"),
    text("Gender", "Gender as shown"),
    text("GenderCode", "Gender as a code; used where Gender is empty"),
    text("Race", "Race as Qmlativ words it"),
    flag("IsHispanic", "Hispanic or Latino", optional=True),
    flag("IsWhite", "White", optional=True),
    flag("IsBlack", "Black or African American", optional=True),
    flag("IsAsian", "Asian", optional=True),
    flag("IsAlaskan", "American Indian or Alaska Native", optional=True),
    flag("IsHawaiian", "Native Hawaiian or Pacific Islander", optional=True),
    only="IsStudentName",
)
GUARDIAN_NAME = qmlativ_object(
    "Demographics/Name", "A guardian as a person: names only", *_PERSON, only="IsGuardianName"
)
STUDENT_GUARDIAN = qmlativ_object(
    "Family/StudentGuardian",
    "The guardians of each student",
    integer("StudentID", "The student"),
    integer("NameIDGuardian", "The guardian's NameID; the same pair may occur several times"),
    integer("RelationshipID", "How they are related, in Relationship"),
    integer("Rank", "1 is the first guardian to contact; a guardian without a rank comes last"),
    flag("IsCustodialGuardian", "True if the guardian has custody"),
    flag("IsEmergencyContact", "True if the guardian is called in an emergency"),
    flag(
        "HasActiveRestrictedAccess",
        "A court or the district restricts access. True, or null where granted: no contact is passed on",
        optional=True,
    ),
)
NAME_PHONE = qmlativ_object(
    "Demographics/NamePhone",
    "Phones of a person, in the order in which to call them",
    integer("NameID", "The person"),
    text("PhoneNumber", "Digits; used where the formatted number is empty"),
    text("FormattedPhoneNumber", "The number as shown"),
    text("Extension", "Extension behind the number"),
    integer("PhoneTypeID", "Home, cell, work and so on, in PhoneType"),
    integer("Rank", "1 is called first; a phone without a rank comes last"),
    flag("IsConfidential", "True or null: the number is withheld"),
)
NAME_EMAIL = qmlativ_object(
    "Demographics/NameEmail",
    "E-mail addresses of a person, in order",
    integer("NameID", "The person"),
    text("EmailAddress", "The address"),
    integer("Rank", "1 comes first; an address without a rank comes last"),
)
NAME_ADDRESS = qmlativ_object(
    "Demographics/NameAddress",
    "Which addresses a person has, and for what",
    integer("NameID", "The person"),
    integer("AddressID", "The address"),
    flag("IsMailing", "Mail goes there; null counts as false"),
    flag("IsPhysical", "The person lives there; null counts as false"),
)
ADDRESS = qmlativ_object(
    "Demographics/Address",
    "An address, shared by everyone who has it",
    text("StreetNumberAndNameIncludeSecondaryUnit", "House number, street and apartment in one line"),
    text("AddressLine2", "Second line"),
    text("POBox", "Post office box; used if there is no street"),
    integer("CountyID", "The county"),
    integer("ZipID", "ZIP code and city, in Zip"),
    text("ZipCodeAddOn", "The four digits after the ZIP code; text"),
)
ZIP = qmlativ_object(
    "Demographics/Zip",
    "ZIP codes with their cities",
    text("City", "The city"),
    text("ZipCode", "Five digits; text, 01234 is not 1234"),
    integer("StateID", "The state"),
)
COUNTY = qmlativ_object("Demographics/County", "Counties", text("Name", "The county's name"))
STATE = qmlativ_object("SkySys/State", "States of the union", text("Code", "Two letters, such as TX"))
_CODE = text("Code", "Short form; used where the description is empty")
NAME_SUFFIX = qmlativ_object(
    "Demographics/NameSuffix", "Suffixes of names", _CODE, text("Description", "As written, such as Jr.")
)
PHONE_TYPE = qmlativ_object(
    "Demographics/PhoneType",
    "Kinds of phones, named by each district",
    text("Code", "Short name of the kind"),
    text("Description", "Name of the kind, which shows whether it is home, cell or mobile, work or business"),
)
RELATIONSHIP = qmlativ_object(
    "Demographics/Relationship",
    "How a guardian is related to a student",
    _CODE,
    text("Description", "Mother, grandfather and so on"),
)
LANGUAGE = qmlativ_object("Demographics/Language", "Languages", text("Description", "Name of the language"))

# -- what students and parents have in common --

PARENT_CONTACTS = ("street", "city", "state", "zip", "home_phone", "cell_phone", "work_phone", "email")


def _contact_paths(also: str = "") -> dict[str, str]:
    """The objects that a person leads to. `also` decides as well whether contacts are published."""
    return {
        "NameSuffix": "Name.NameSuffixID > NameSuffix.NameSuffixID",
        "NameAddress": "Name.NameID > NameAddress.NameID + NameAddress.IsPhysical NameAddress.IsMailing "
        f"NameAddress.NameAddressID {also}",
        "Address": "NameAddress.AddressID > Address.AddressID",
        "Zip": "Address.ZipID > Zip.ZipID",
        "State": "Zip.StateID > State.StateID",
        "County": "Address.CountyID > County.CountyID",
        "NamePhone": "Name.NameID > NamePhone.NameID > NamePhone.IsConfidential + NamePhone.Rank "
        f"NamePhone.NamePhoneID {also}",
        "NameEmail": f"Name.NameID > NameEmail.NameID + NameEmail.Rank NameEmail.NameEmailID {also}",
    }


_SUFFIX = text(
    "suffix", "Suffix of the name: its description, else its code", "NameSuffix.Description|NameSuffix.Code"
)
_STREET = "Address.StreetNumberAndNameIncludeSecondaryUnit|Address.POBox + Address.AddressLine2"
_CITY = (
    text("city", "City of that address", "Zip.City"),
    text("state", "State of that address, two letters", "State.Code"),
    text(
        "zip",
        "ZIP code of that address, its four further digits after a hyphen; text",
        "Zip.ZipCode + Address.ZipCodeAddOn",
    ),
)
_PHONE = "NamePhone.FormattedPhoneNumber|NamePhone.PhoneNumber + NamePhone.Extension"
_EMAIL = text("email", "The first e-mail address by rank", "NameEmail.EmailAddress")

# -- students --

STUDENT_PATHS = {
    "Student": "student_status.student_id > Student.StudentID + student_status.school_year_id",
    "Name": "Student.NameID > Name.NameID",
    "Language": "Student.LanguageIDPrimary|Student.LanguageIDNative > Language.LanguageID",
    **_contact_paths(),
}
_UNANSWERED = "null: not answered or not granted"

STUDENT_DEMOGRAPHICS = table(
    "student_demographics",
    "One row per student with a status: who they are, where they live, how to reach them",
    integer("student_id", "Qmlativ's StudentID", "Name.NameID > student_status.student_id", required=True),
    text(
        "student_number",
        "Qmlativ's StudentNumber (SameGoal's Student Id) as sent; text",
        "Student.StudentNumber",
    ),
    text(
        "student_reporting_id", "The state's number of the student; text", "Student.CalculatedStudentStateID"
    ),
    text("first_name", "First name in use", "Name.FirstName"),
    text("middle_name", "Middle name in use", "Name.MiddleName"),
    text("last_name", "Last name in use", "Name.LastName"),
    _SUFFIX,
    text("legal_first_name", "Legal first name", "Name.FirstNameLegal"),
    text("legal_middle_name", "Legal middle name", "Name.MiddleNameLegal"),
    text("legal_last_name", "Legal last name", "Name.LastNameLegal"),
    day("birth_date", "Date of birth; null for a placeholder such as 1900-01-01", "Name.BirthDate"),
    text("gender", "Gender as Qmlativ shows it, else its code", "Name.Gender|Name.GenderCode"),
    text(
        "grade",
        "Grade in the year of the deciding enrollment, if it is read whole, else in the latest; text",
        "Student.Grade",
    ),
    text("race", "Race as Qmlativ words it", "Name.Race"),
    flag("is_hispanic", f"Hispanic or Latino; {_UNANSWERED}", "Name.IsHispanic"),
    flag("is_white", f"White; {_UNANSWERED}", "Name.IsWhite"),
    flag("is_black", f"Black or African American; {_UNANSWERED}", "Name.IsBlack"),
    flag("is_asian", f"Asian; {_UNANSWERED}", "Name.IsAsian"),
    flag("is_native_american", f"American Indian or Alaska Native; {_UNANSWERED}", "Name.IsAlaskan"),
    flag(
        "is_pacific_islander", f"Native Hawaiian or other Pacific Islander; {_UNANSWERED}", "Name.IsHawaiian"
    ),
    text("home_language", "Language spoken at home, else the first language", "Language.Description"),
    text("street", "Where the student lives, or else gets mail; a PO box if there is no street", _STREET),
    *_CITY,
    text("county", "County of that address", "County.Name"),
    text("phone", "The first phone by rank that is not confidential", _PHONE),
    _EMAIL,
    *(replace(column, origin=f"student_status.{column.name}") for column in STUDENT_STATUS.columns[-2:]),
    key=("student_id",),
)
STUDENTS_WITHOUT_RECORD = student_ids(
    "without_record",
    "Students with a status but no record in Student or Name: their last published rows are carried over",
)

# -- parents --

_PAIR = "StudentID NameIDGuardian"
_RESTRICTED = "HasActiveRestrictedAccess"
_FIRST = f"{_PAIR} Rank StudentGuardianID"
_KIND = "NamePhone.PhoneTypeID > PhoneType.PhoneTypeID > PhoneType.Code|PhoneType.Description"
PARENT_PATHS = {
    "Name": "NameIDGuardian > Name.NameID",
    "Relationship": f"RelationshipID > Relationship.RelationshipID + {_FIRST}",
    **_contact_paths(f"{_RESTRICTED} {_PAIR}"),
}

PARENT_DEMOGRAPHICS = table(
    "parent_demographics",
    "One row per student and parent: who they are to the student, and how to reach them",
    integer("student_id", "Qmlativ's StudentID", "student_status.student_id > StudentID", required=True),
    integer("parent_id", "Qmlativ's NameID of the guardian", "Name.NameID > NameIDGuardian", required=True),
    text(
        "relationship",
        "What the parent is to the student: the description, else the code",
        "Relationship.Description|Relationship.Code",
    ),
    integer("rank", "Order among the student's parents: 1 is first", f"Rank + {_FIRST}"),
    text("first_name", "First name", "Name.FirstName"),
    text("middle_name", "Middle name", "Name.MiddleName"),
    text("last_name", "Last name", "Name.LastName"),
    _SUFFIX,
    flag("is_custodial", "Custodial guardian", f"IsCustodialGuardian + {_FIRST}"),
    flag("is_emergency_contact", "Emergency contact", f"IsEmergencyContact + {_FIRST}"),
    flag(
        "has_restricted_access",
        "Active restricted access in any row of the pair; unanswered counts as true. True: all contact "
        "columns are empty. Null: not granted",
        f"{_RESTRICTED} + {_PAIR}",
    ),
    text("home_language", "Always null: Qmlativ has no field for it"),
    text(
        "street", "Where mail goes, or else where the parent lives; a PO box if there is no street", _STREET
    ),
    *_CITY,
    *(
        text(
            f"{kind.partition(' ')[0]}_phone",
            f"First phone by rank whose type is {kind}, unless confidential",
            f"{_KIND} > {_PHONE}",
        )
        for kind in ("home", "cell or mobile", "work or business")
    ),
    _EMAIL,
    key=("student_id", "parent_id"),
)


def parents_table(show_restricted_contacts: bool) -> Table:
    """The parents' table of a district that shows or withholds contacts under restriction."""
    inapplicable = ["restricted access leaves no contact"] if show_restricted_contacts else []
    return replace(PARENT_DEMOGRAPHICS, without_checks=frozenset(inapplicable))


RESTRICTION_KNOWN = table(
    "restriction",
    "Whether tonight's rows say who is under restriction: one row, even without any parent",
    flag("is_known", "StudentGuardian.HasActiveRestrictedAccess is granted", required=True),
)
WITHHOLDING_USED = table(
    "withholding",
    "The district's contact switches that the rows were made with: one row",
    flag("shows_restricted_contacts", "Contacts under restricted access are included", required=True),
    flag("shows_confidential_phones", "Phones that are marked as confidential are included", required=True),
)
RESTRICTED_PAIRS = table(
    "restricted",
    "Pairs of student and guardian with restricted access tonight, published or not",
    integer("student_id", "Qmlativ's StudentID", required=True),
    integer("parent_id", "Qmlativ's NameID of the guardian", required=True),
    key=("student_id", "parent_id"),
)
CONFIDENTIAL_PHONES = table(
    "confidential",
    "Confidential phone numbers of students and parents tonight, published or not",
    integer("student_id", "Qmlativ's StudentID; null: the number is a parent's"),
    integer("parent_id", "Qmlativ's NameID of the guardian; null: the number is a student's own"),
    text(
        "digits",
        "Digits without country code and extension; empty if unreadable: all phones withheld",
        required=True,
    ),
)
