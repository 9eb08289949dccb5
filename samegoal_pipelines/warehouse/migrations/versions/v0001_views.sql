-- What SameGoal reads: the current row of each key, as of each district's last published snapshot.
-- The views run with their reader's rights, so that row-level security on the tables guards them too.

create view samegoal.student_status with (security_invoker = true) as
select
    history.district_id, history.student_id, history.student_number, history.status, history.reason,
    history.enrollment_id, history.first_day, history.last_day, history.withdrawal_code,
    history.school_year_id, history.entity_id, history.building, history.building_reporting_id,
    published.snapshot_date
from samegoal.student_status_history as history
join samegoal.current_snapshots as published using (district_id)
where history.valid_to is null;

comment on view samegoal.student_status is 'Every student''s status, as of the last published snapshot';
comment on column samegoal.student_status.district_id is 'The district, as registered';
comment on column samegoal.student_status.student_id is 'Qmlativ''s StudentID';
comment on column samegoal.student_status.student_number is 'Qmlativ''s StudentNumber (SameGoal''s Student Id), as it came';
comment on column samegoal.student_status.status is 'ENROLLED, PRE-ENROLLED, GRADUATED or INACTIVE';
comment on column samegoal.student_status.reason is 'The rule that decided the status';
comment on column samegoal.student_status.enrollment_id is 'The enrollment that decided it: Qmlativ''s EntryWithdrawalID';
comment on column samegoal.student_status.first_day is 'First day of that enrollment';
comment on column samegoal.student_status.last_day is 'Last day of that enrollment, inclusive; null: open';
comment on column samegoal.student_status.withdrawal_code is 'Withdrawal code of that enrollment';
comment on column samegoal.student_status.school_year_id is 'School year of that enrollment';
comment on column samegoal.student_status.entity_id is 'Entity of that enrollment';
comment on column samegoal.student_status.building is 'Name of that enrollment''s school';
comment on column samegoal.student_status.building_reporting_id is 'The state''s id of that school';
comment on column samegoal.student_status.snapshot_date is 'The night of the district''s last published snapshot';

create view samegoal.student_demographics with (security_invoker = true) as
select
    history.district_id, history.student_id, history.student_number, history.student_reporting_id,
    history.first_name, history.middle_name, history.last_name, history.suffix,
    history.legal_first_name, history.legal_middle_name, history.legal_last_name, history.birth_date,
    history.gender, history.grade, history.race, history.is_hispanic, history.is_white,
    history.is_black, history.is_asian, history.is_native_american, history.is_pacific_islander,
    history.home_language, history.street, history.city, history.state, history.zip, history.county,
    history.phone, history.email, history.building, history.building_reporting_id,
    published.snapshot_date
from samegoal.student_demographics_history as history
join samegoal.current_snapshots as published using (district_id)
where history.valid_to is null;

comment on view samegoal.student_demographics is 'Who every student is, as of the last published snapshot';
comment on column samegoal.student_demographics.district_id is 'The district, as registered';
comment on column samegoal.student_demographics.student_id is 'Qmlativ''s StudentID';
comment on column samegoal.student_demographics.student_number is 'Qmlativ''s StudentNumber (SameGoal''s Student Id), as it came';
comment on column samegoal.student_demographics.student_reporting_id is 'The state''s id of the student';
comment on column samegoal.student_demographics.first_name is 'First name in use';
comment on column samegoal.student_demographics.middle_name is 'Middle name in use';
comment on column samegoal.student_demographics.last_name is 'Last name in use';
comment on column samegoal.student_demographics.suffix is 'Suffix of the name';
comment on column samegoal.student_demographics.legal_first_name is 'Legal first name';
comment on column samegoal.student_demographics.legal_middle_name is 'Legal middle name';
comment on column samegoal.student_demographics.legal_last_name is 'Legal last name';
comment on column samegoal.student_demographics.birth_date is 'Date of birth';
comment on column samegoal.student_demographics.gender is 'Gender, as Qmlativ has it';
comment on column samegoal.student_demographics.grade is 'Grade in the year of the deciding enrollment';
comment on column samegoal.student_demographics.race is 'Race, as Qmlativ has it';
comment on column samegoal.student_demographics.is_hispanic is 'Hispanic or Latino; null: not known or not granted';
comment on column samegoal.student_demographics.is_white is 'White; null: not known or not granted';
comment on column samegoal.student_demographics.is_black is 'Black or African American; null: not known or not granted';
comment on column samegoal.student_demographics.is_asian is 'Asian; null: not known or not granted';
comment on column samegoal.student_demographics.is_native_american is 'American Indian or Alaska Native; null: not known or not granted';
comment on column samegoal.student_demographics.is_pacific_islander is 'Native Hawaiian or other Pacific Islander; null: not known or not granted';
comment on column samegoal.student_demographics.home_language is 'Language spoken at home';
comment on column samegoal.student_demographics.street is 'Street and number, or PO Box';
comment on column samegoal.student_demographics.city is 'City';
comment on column samegoal.student_demographics.state is 'State';
comment on column samegoal.student_demographics.zip is 'ZIP code, with its four further digits where known';
comment on column samegoal.student_demographics.county is 'County';
comment on column samegoal.student_demographics.phone is 'The first phone that is not confidential';
comment on column samegoal.student_demographics.email is 'The first e-mail address';
comment on column samegoal.student_demographics.building is 'Name of the deciding enrollment''s school';
comment on column samegoal.student_demographics.building_reporting_id is 'The state''s id of that school';
comment on column samegoal.student_demographics.snapshot_date is 'The night of the district''s last published snapshot';

create view samegoal.parent_demographics with (security_invoker = true) as
select
    history.district_id, history.student_id, history.student_number, history.parent_id,
    history.relationship, history.rank, history.first_name, history.middle_name, history.last_name,
    history.suffix, history.is_custodial, history.is_emergency_contact, history.has_restricted_access,
    history.home_language, history.street, history.city, history.state, history.zip,
    history.home_phone, history.cell_phone, history.work_phone, history.email, published.snapshot_date
from samegoal.parent_demographics_history as history
join samegoal.current_snapshots as published using (district_id)
where history.valid_to is null;

comment on view samegoal.parent_demographics is 'The parents of every student, as of the last published snapshot; one row per student and parent';
comment on column samegoal.parent_demographics.district_id is 'The district, as registered';
comment on column samegoal.parent_demographics.student_id is 'Qmlativ''s StudentID';
comment on column samegoal.parent_demographics.student_number is 'Qmlativ''s StudentNumber (SameGoal''s Student Id), as it came';
comment on column samegoal.parent_demographics.parent_id is 'Qmlativ''s NameID of the guardian';
comment on column samegoal.parent_demographics.relationship is 'What the parent is to the student';
comment on column samegoal.parent_demographics.rank is 'Order among the student''s parents';
comment on column samegoal.parent_demographics.first_name is 'First name';
comment on column samegoal.parent_demographics.middle_name is 'Middle name';
comment on column samegoal.parent_demographics.last_name is 'Last name';
comment on column samegoal.parent_demographics.suffix is 'Suffix of the name';
comment on column samegoal.parent_demographics.is_custodial is 'Custodial guardian';
comment on column samegoal.parent_demographics.is_emergency_contact is 'Emergency contact';
comment on column samegoal.parent_demographics.has_restricted_access is 'Active restricted access: contact columns are empty; null: not granted';
comment on column samegoal.parent_demographics.home_language is 'Language spoken at home';
comment on column samegoal.parent_demographics.street is 'Street and number, or PO Box';
comment on column samegoal.parent_demographics.city is 'City';
comment on column samegoal.parent_demographics.state is 'State';
comment on column samegoal.parent_demographics.zip is 'ZIP code, with its four further digits where known';
comment on column samegoal.parent_demographics.home_phone is 'Home phone';
comment on column samegoal.parent_demographics.cell_phone is 'Cell phone';
comment on column samegoal.parent_demographics.work_phone is 'Work phone';
comment on column samegoal.parent_demographics.email is 'E-mail address';
comment on column samegoal.parent_demographics.snapshot_date is 'The night of the district''s last published snapshot';

create view samegoal.student_details with (security_invoker = true) as
select
    status.district_id, status.student_id, status.student_number, status.status, status.reason,
    status.enrollment_id, status.first_day, status.last_day, status.withdrawal_code,
    status.school_year_id, status.entity_id, status.building, status.building_reporting_id,
    student.student_reporting_id, student.first_name, student.middle_name, student.last_name,
    student.suffix, student.legal_first_name, student.legal_middle_name, student.legal_last_name,
    student.birth_date, student.gender, student.grade, student.race, student.is_hispanic,
    student.is_white, student.is_black, student.is_asian, student.is_native_american,
    student.is_pacific_islander, student.home_language, student.street, student.city, student.state,
    student.zip, student.county, student.phone, student.email,
    coalesce(
        (
            select json_agg(json_build_object(
                'parent_id', parent.parent_id,
                'relationship', parent.relationship,
                'rank', parent.rank,
                'first_name', parent.first_name,
                'middle_name', parent.middle_name,
                'last_name', parent.last_name,
                'suffix', parent.suffix,
                'is_custodial', parent.is_custodial,
                'is_emergency_contact', parent.is_emergency_contact,
                'has_restricted_access', parent.has_restricted_access,
                'home_language', parent.home_language,
                'street', parent.street,
                'city', parent.city,
                'state', parent.state,
                'zip', parent.zip,
                'home_phone', parent.home_phone,
                'cell_phone', parent.cell_phone,
                'work_phone', parent.work_phone,
                'email', parent.email
            ) order by parent.rank nulls last, parent.parent_id)
            from samegoal.parent_demographics_history as parent
            where parent.district_id = status.district_id
                and parent.student_id = status.student_id
                and parent.valid_to is null
        ),
        '[]'::json
    ) as parents,
    published.snapshot_date
from samegoal.student_status_history as status
join samegoal.student_demographics_history as student using (district_id, student_id)
join samegoal.current_snapshots as published using (district_id)
where status.valid_to is null and student.valid_to is null;

comment on view samegoal.student_details is 'One row per student: status, demographics and parents, as of the last published snapshot';
comment on column samegoal.student_details.district_id is 'The district, as registered';
comment on column samegoal.student_details.student_id is 'Qmlativ''s StudentID';
comment on column samegoal.student_details.student_number is 'Qmlativ''s StudentNumber (SameGoal''s Student Id), as it came';
comment on column samegoal.student_details.status is 'ENROLLED, PRE-ENROLLED, GRADUATED or INACTIVE';
comment on column samegoal.student_details.reason is 'The rule that decided the status';
comment on column samegoal.student_details.enrollment_id is 'The enrollment that decided it: Qmlativ''s EntryWithdrawalID';
comment on column samegoal.student_details.first_day is 'First day of that enrollment';
comment on column samegoal.student_details.last_day is 'Last day of that enrollment, inclusive; null: open';
comment on column samegoal.student_details.withdrawal_code is 'Withdrawal code of that enrollment';
comment on column samegoal.student_details.school_year_id is 'School year of that enrollment';
comment on column samegoal.student_details.entity_id is 'Entity of that enrollment';
comment on column samegoal.student_details.building is 'Name of that enrollment''s school';
comment on column samegoal.student_details.building_reporting_id is 'The state''s id of that school';
comment on column samegoal.student_details.student_reporting_id is 'The state''s id of the student';
comment on column samegoal.student_details.first_name is 'First name in use';
comment on column samegoal.student_details.middle_name is 'Middle name in use';
comment on column samegoal.student_details.last_name is 'Last name in use';
comment on column samegoal.student_details.suffix is 'Suffix of the name';
comment on column samegoal.student_details.legal_first_name is 'Legal first name';
comment on column samegoal.student_details.legal_middle_name is 'Legal middle name';
comment on column samegoal.student_details.legal_last_name is 'Legal last name';
comment on column samegoal.student_details.birth_date is 'Date of birth';
comment on column samegoal.student_details.gender is 'Gender, as Qmlativ has it';
comment on column samegoal.student_details.grade is 'Grade in the year of the deciding enrollment';
comment on column samegoal.student_details.race is 'Race, as Qmlativ has it';
comment on column samegoal.student_details.is_hispanic is 'Hispanic or Latino; null: not known or not granted';
comment on column samegoal.student_details.is_white is 'White; null: not known or not granted';
comment on column samegoal.student_details.is_black is 'Black or African American; null: not known or not granted';
comment on column samegoal.student_details.is_asian is 'Asian; null: not known or not granted';
comment on column samegoal.student_details.is_native_american is 'American Indian or Alaska Native; null: not known or not granted';
comment on column samegoal.student_details.is_pacific_islander is 'Native Hawaiian or other Pacific Islander; null: not known or not granted';
comment on column samegoal.student_details.home_language is 'Language spoken at home';
comment on column samegoal.student_details.street is 'Street and number, or PO Box';
comment on column samegoal.student_details.city is 'City';
comment on column samegoal.student_details.state is 'State';
comment on column samegoal.student_details.zip is 'ZIP code, with its four further digits where known';
comment on column samegoal.student_details.county is 'County';
comment on column samegoal.student_details.phone is 'The first phone that is not confidential';
comment on column samegoal.student_details.email is 'The first e-mail address';
comment on column samegoal.student_details.parents is 'The student''s parents as a JSON array in order of rank; empty if there are none';
comment on column samegoal.student_details.snapshot_date is 'The night of the district''s last published snapshot';
