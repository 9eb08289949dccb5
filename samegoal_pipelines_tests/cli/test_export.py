"""`export` writes both files for a person and records who took them."""

import json
from datetime import date

from samegoal_pipelines_tests.warehouse.factories import publish_night, snapshot, student

COMPLETE = {
    "first_name": "Ana",
    "last_name": "Tran",
    "birth_date": date(2015, 3, 4),
    "gender": "Female",
    "building": "Elm",
    "building_reporting_id": "001",
}


def test_export_names_both_files_who_is_excluded_and_the_operator(deployment, ask, tmp_path):
    deployment.registry.add(
        id="grand-bend",
        name="Grand Bend ISD",
        base_url="https://a.example/api",
        client_key="k",
        client_secret="s",
    )
    whole, refused = student(1, **COMPLETE, parents={10: {}}), student(2, parents={20: {}})
    publish_night(deployment.warehouse, 0, snapshot(whole, refused))
    folder = tmp_path / "files"
    result = ask("export", "grand-bend", "--to", str(folder), SAMEGOAL_OPERATOR="Pat Miller")
    assert result.returncode == 0
    assert "1 student and 1 parent row of the snapshot 2026-09-01" in result.stdout
    assert result.stderr.startswith("excluded: 00002: no Last Name")
    assert sorted(path.name for path in folder.iterdir()) == ["parents.csv", "students.csv"]
    as_json = json.loads(ask("export", "grand-bend", "--to", str(folder), "--json").stdout)
    assert (as_json["students"], as_json["parents"]) == (1, 1)
    assert as_json["parents_file"] == str(folder / "parents.csv")
    with deployment.warehouse.connect() as connection:
        recorded = connection.exec_driver_sql(
            "select disclosed_by, what, students, parents from samegoal.disclosures order by disclosure_id"
        ).all()
    assert recorded[0] == ("Pat Miller", "export", 1, 1)
    assert len(recorded) == 2
