"""Reading a file in SameGoal's layout, and comparing students with it."""

from datetime import date

import pytest

from samegoal_pipelines.transforms.students_csv import (
    COLUMNS,
    Comparison,
    StudentsFileError,
    compare,
    read_students_csv,
)

HEADER = "Student Id,Last Name,Date of Birth,Gender,District Enrollment,Grade"
TRAN = '00123,"Tran, Jr",2015-03-04,Female,PRE_ENROLLED,01'
STUDENT = {
    "student_number": "00123",
    "last_name": "Tran, Jr",
    "birth_date": date(2015, 3, 4),
    "gender": "Female",
    "status": "PRE-ENROLLED",
    "grade": "01",
    "student_id": 7,
}


def file(*lines: str, end: str = "\n") -> bytes:
    return end.join([*lines, ""]).encode()


def compared(*lines: str, students=(STUDENT,)) -> Comparison:
    return compare(students, read_students_csv(file(HEADER, *lines)))


def test_every_cell_is_text_and_a_byte_order_mark_windows_line_ends_and_blank_lines_are_fine():
    plain = read_students_csv(file(HEADER, TRAN))
    cells = plain.students["00123"]
    assert (cells["Grade"], cells["Last Name"]) == ("01", "Tran, Jr")
    assert read_students_csv(b"\xef\xbb\xbf" + file(HEADER, TRAN, "", ",, ,,,", end="\r\n")) == plain


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (file(HEADER, TRAN).decode().encode("utf-16"), "it is UTF-16, not UTF-8"),
        (file(HEADER, TRAN) + "4,Nuñez,,F,ENROLLED,01".encode("cp1252"), "line 3 is not UTF-8"),
        (file(HEADER.replace(",", ";"), TRAN), "line 1: the columns are not separated by commas"),
        (file("Student Id,Nickname"), "line 1, column 2: no column of the layout"),
        (file(TRAN), "line 1, column 1: no column of the layout"),
        (file("Student Id,Grade,Grade"), "line 1, column 3: Grade comes twice"),
        (file("Last Name,Grade"), "line 1: no column Student Id"),
        (file(HEADER, TRAN, "5,Tran"), "line 3: 2 columns, and the header has 6"),
        (file(HEADER, " ,Tran,,F,ENROLLED,01"), "line 2, column Student Id: blank"),
        (file(HEADER, TRAN, '6,"Two\nlines",,F,ENROLLED,01', TRAN), "lines 2 and 5 have the same Student Id"),
        (file(HEADER, TRAN.replace("2015-03-04", "4 March")), "line 2, column Date of Birth: no date"),
        (file(HEADER, TRAN.replace("2015-03-04", "2015-13-04")), "line 2, column Date of Birth: no date"),
        (file(HEADER, TRAN, '8,"Tran'), "line 3: quotes that do not match"),
    ],
)
def test_a_bad_file_is_refused_with_its_line_and_never_a_value(content, reason):
    with pytest.raises(StudentsFileError) as refused:
        read_students_csv(content)
    assert reason in refused.value.detail
    for value in ("Tran", "Nickname", "00123", "March", "Nu"):
        assert value not in str(refused.value)


@pytest.mark.parametrize("birth", ["03/04/2015", "03-04-2015", "2015/03/04", "3/4/2015"])
@pytest.mark.parametrize("gender", ["F", "f", "female"])
def test_the_same_student_in_another_spelling_of_the_layout_is_no_difference(birth, gender):
    assert compared(f'00123,"Tran, Jr",{birth},{gender},PRE-ENROLLED,01').same == 1


def test_what_a_spreadsheet_was_kept_from_running_is_no_difference():
    assert compared("1,'=Bo,,,,", students=[{"student_number": "1", "last_name": "=Bo"}]).same == 1


def test_students_are_new_missing_or_different_by_column():
    students = [{**STUDENT, "student_number": number} for number in ("00123", "00124", "00125")]
    others = ("00124,Tran,2015-03-05,M,PRE_ENROLLED,1", "123,Tran,2015-03-04,F,ENROLLED,01")
    found = compared(TRAN, *others, students=students)
    assert (found.students_in_file, found.same) == (3, 1)
    assert found.new == ("00125",)
    assert found.missing == ("123",), "a number without its zeros is another number"
    assert found.differ_in_leading_zeros == 0, "00123 is in the file, too"
    assert found.different == {"00124": ("Last Name", "Date of Birth", "Gender", "Grade")}
    assert found.different_by_column == {"Last Name": 1, "Date of Birth": 1, "Gender": 1, "Grade": 1}


def test_numbers_that_a_spreadsheet_stripped_of_zeros_are_counted():
    students = [{**STUDENT, "student_number": number} for number in ("00123", "00124", "0", "A1")]
    lines = [f"{number},Tran,,,," for number in ("123", "0124", "125", "A1")]
    found = compared(*lines, students=students)
    assert found.missing == ("0124", "123", "125")
    assert found.differ_in_leading_zeros == 2


def test_columns_that_one_side_lacks_are_not_compared():
    found = compared(TRAN)
    assert "District of Residence" in found.not_compared
    assert "City" in found.not_compared
    assert {"Grade", "Gender"}.isdisjoint(found.not_compared)
    everything = compare([STUDENT], read_students_csv(file(",".join(COLUMNS))))
    assert everything.not_compared == ("District of Residence",)


def test_students_without_a_number_of_their_own_are_counted_and_are_not_missing():
    students = [STUDENT, {**STUDENT, "student_id": 8}, {**STUDENT, "student_number": None}]
    found = compared(TRAN, students=students)
    assert found.without_usable_number == 3
    assert (found.new, found.missing, found.same) == ((), (), 0)
