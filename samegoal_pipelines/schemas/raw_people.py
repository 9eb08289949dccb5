"""Models of what lands for students, their parents, and how to reach them.

Here: Qmlativ's objects behind `raw_students` and `raw_parents`, columns named as Qmlativ names them. Not
here: enrollments and what all raw models share (`raw_enrollments`).
"""

from samegoal_pipelines.schemas.fields import Day, Flag, Integer, Text, optional
from samegoal_pipelines.schemas.raw_enrollments import RawObject


class Student(RawObject):
    """A student in one school year: Qmlativ computes some fields per year, so one row for each."""

    _key = ("StudentID", "SchoolYearIDAsked")

    StudentID: Integer = optional("Key of the student (Student/Student)")
    NameID: Integer = optional("The student as a person, in Name")
    StudentNumber: Text = optional(
        "The number by which the district knows the student; text, leading zeros belong to it"
    )
    Grade: Text = optional("Grade in the year asked for; text such as 05, KG, EE")
    CalculatedStudentStateID: Text = optional("The state's number of the student; text")
    LanguageIDPrimary: Integer = optional("Language spoken at home, in Language. Null where not granted")
    LanguageIDNative: Integer = optional("First language, in Language. Null where not granted")
    SchoolYearIDAsked: Integer = optional("The school year for which the row was asked")


class GuardianName(RawObject):
    """A guardian as a person: names only."""

    _key = ("NameID",)

    NameID: Integer = optional("Key of the person (Demographics/Name)")
    FirstName: Text = optional("First name in use")
    MiddleName: Text = optional("Middle name in use")
    LastName: Text = optional("Last name in use; None, NULL and NaN are names")
    NameSuffixID: Integer = optional("Jr., III and the like, in NameSuffix")


class StudentName(GuardianName):
    """A student as a person: names, birth date, and what the state asks about gender and race."""

    FirstNameLegal: Text = optional("First name on record")
    MiddleNameLegal: Text = optional("Middle name on record")
    LastNameLegal: Text = optional("Last name on record")
    BirthDate: Day = optional("Date of birth")
    Gender: Text = optional("Gender as shown")
    GenderCode: Text = optional("Gender as a code; used where Gender is empty")
    Race: Text = optional("Race as Qmlativ words it")
    IsHispanic: Flag = optional("Hispanic or Latino. Null where not granted or not answered")
    IsWhite: Flag = optional("White. Null where not granted or not answered")
    IsBlack: Flag = optional("Black or African American. Null where not granted or not answered")
    IsAsian: Flag = optional("Asian. Null where not granted or not answered")
    IsAlaskan: Flag = optional("American Indian or Alaska Native. Null where not granted or not answered")
    IsHawaiian: Flag = optional("Native Hawaiian or Pacific Islander. Null where not granted or not answered")


class NameSuffix(RawObject):
    """Suffixes of names."""

    _key = ("NameSuffixID",)

    NameSuffixID: Integer = optional("Key of the suffix (Demographics/NameSuffix)")
    Code: Text = optional("Short form; used where the description is empty")
    Description: Text = optional("The suffix as written, such as Jr.")


class NameAddress(RawObject):
    """Which addresses a person has, and for what."""

    _key = ("NameAddressID",)

    NameAddressID: Integer = optional("Key of the use of an address (Demographics/NameAddress)")
    NameID: Integer = optional("The person")
    AddressID: Integer = optional("The address")
    IsMailing: Flag = optional("Mail goes there; null counts as false")
    IsPhysical: Flag = optional("The person lives there; null counts as false")


class Address(RawObject):
    """An address, shared by everybody who has it."""

    _key = ("AddressID",)

    AddressID: Integer = optional("Key of the address (Demographics/Address)")
    StreetNumberAndNameIncludeSecondaryUnit: Text = optional("House number, street and apartment in one line")
    AddressLine2: Text = optional("Second line")
    POBox: Text = optional("Post office box; used where there is no street")
    CountyID: Integer = optional("The county")
    ZipID: Integer = optional("ZIP code and city, in Zip")
    ZipCodeAddOn: Text = optional("The four digits after the ZIP code; text")


class Zip(RawObject):
    """ZIP codes with their cities."""

    _key = ("ZipID",)

    ZipID: Integer = optional("Key (Demographics/Zip)")
    City: Text = optional("The city")
    ZipCode: Text = optional("Five digits; text, leading zeros belong to it")
    StateID: Integer = optional("The state")


class County(RawObject):
    """Counties."""

    _key = ("CountyID",)

    CountyID: Integer = optional("Key (Demographics/County)")
    Name: Text = optional("The county's name")


class State(RawObject):
    """States of the union."""

    _key = ("StateID",)

    StateID: Integer = optional("Key (SkySys/State)")
    Code: Text = optional("Two letters, such as TX")


class NamePhone(RawObject):
    """Phones of a person, in the order in which to call them."""

    _key = ("NamePhoneID",)

    NamePhoneID: Integer = optional("Key (Demographics/NamePhone)")
    NameID: Integer = optional("The person")
    PhoneNumber: Text = optional("Digits; used where the formatted number is empty")
    FormattedPhoneNumber: Text = optional("The number as shown")
    Extension: Text = optional("Extension behind the number")
    PhoneTypeID: Integer = optional("Home, cell, work and so on, in PhoneType")
    Rank: Integer = optional("1 is called first; a phone without a rank comes last")
    IsConfidential: Flag = optional("True or null: the number goes nowhere")


class PhoneType(RawObject):
    """Kinds of phones, named by each district."""

    _key = ("PhoneTypeID",)

    PhoneTypeID: Integer = optional("Key (Demographics/PhoneType)")
    Code: Text = optional("Short name of the kind")
    Description: Text = optional(
        "Name of the kind: home, cell or mobile, work or business are told apart by it"
    )


class NameEmail(RawObject):
    """E-mail addresses of a person, in order."""

    _key = ("NameEmailID",)

    NameEmailID: Integer = optional("Key (Demographics/NameEmail)")
    NameID: Integer = optional("The person")
    EmailAddress: Text = optional("The address")
    Rank: Integer = optional("1 comes first; an address without a rank comes last")


class Language(RawObject):
    """Languages."""

    _key = ("LanguageID",)

    LanguageID: Integer = optional("Key (Demographics/Language)")
    Description: Text = optional("Name of the language")


class Relationship(RawObject):
    """How a guardian is related to a student."""

    _key = ("RelationshipID",)

    RelationshipID: Integer = optional("Key (Demographics/Relationship)")
    Code: Text = optional("Short form; used where the description is empty")
    Description: Text = optional("Mother, grandfather and so on")


class StudentGuardian(RawObject):
    """Who is a guardian of whom."""

    _key = ("StudentGuardianID",)

    StudentGuardianID: Integer = optional("Key (Family/StudentGuardian)")
    StudentID: Integer = optional("The student")
    NameIDGuardian: Integer = optional(
        "The guardian as a person, in Name; the same pair may come several times"
    )
    RelationshipID: Integer = optional("How they are related, in Relationship")
    Rank: Integer = optional("1 is the first guardian to turn to; one without a rank comes last")
    IsCustodialGuardian: Flag = optional("True where the guardian has custody")
    IsEmergencyContact: Flag = optional("True where the guardian is called in an emergency")
    HasActiveRestrictedAccess: Flag = optional(
        "True: a court or the district restricts the guardian's access, so no contact is passed on. "
        "Null counts as true where the field is granted"
    )
