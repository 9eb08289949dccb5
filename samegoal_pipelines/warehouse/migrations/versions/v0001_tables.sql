-- Tables of the schema samegoal. Frozen: change them in a later migration.

create table samegoal.current_snapshots (
    district_id text not null,
    snapshot_date date not null,
    snapshot_id bigint not null,
    content_hash bytea not null,
    constraint current_snapshots_pkey primary key (district_id)
);

comment on table samegoal.current_snapshots is 'Which snapshot of each district the current views show: the last published one';
comment on column samegoal.current_snapshots.district_id is 'The district, as registered';
comment on column samegoal.current_snapshots.snapshot_date is 'The night that is current';
comment on column samegoal.current_snapshots.snapshot_id is 'Its row in snapshots';
comment on column samegoal.current_snapshots.content_hash is 'Hash of all that was to be published that night';

create table samegoal.districts (
    district_id text not null,
    name text not null,
    base_url text not null,
    token_url text,
    entity_id bigint,
    timezone text not null,
    expires date,
    active boolean default true not null,
    source_host text not null,
    qmlativ_district_id bigint,
    qmlativ_entity_id bigint,
    qmlativ_code text,
    qmlativ_name text,
    registered_at timestamptz default now() not null,
    constraint districts_pkey primary key (district_id),
    constraint districts_district_id_check check (district_id ~ '^[a-z0-9][a-z0-9-]{0,39}$')
);

create unique index districts_identity_key on samegoal.districts (source_host, qmlativ_district_id, qmlativ_code, qmlativ_entity_id);

create unique index districts_source_key on samegoal.districts (base_url, entity_id) nulls not distinct;

comment on table samegoal.districts is 'The registered districts, without their secrets';
comment on column samegoal.districts.district_id is 'The district, as registered';
comment on column samegoal.districts.name is 'The district''s name, for people';
comment on column samegoal.districts.base_url is 'Qmlativ''s API Base URL, without a slash at its end';
comment on column samegoal.districts.token_url is 'Where tokens come from, if not {base_url}/oauth/token';
comment on column samegoal.districts.entity_id is 'Qmlativ entity to read through, if not the district''s own';
comment on column samegoal.districts.timezone is 'IANA time zone that decides the district''s date';
comment on column samegoal.districts.expires is 'Last day of the Integration Access in Qmlativ';
comment on column samegoal.districts.active is 'Runs by schedule';
comment on column samegoal.districts.source_host is 'Host of base_url: what limits simultaneous runs';
comment on column samegoal.districts.qmlativ_district_id is 'Qmlativ''s DistrictID, remembered at the first contact';
comment on column samegoal.districts.qmlativ_entity_id is 'The EntityID that was read at the first contact';
comment on column samegoal.districts.qmlativ_code is 'Qmlativ''s code of the district, remembered at the first contact';
comment on column samegoal.districts.qmlativ_name is 'Qmlativ''s name of the district, remembered at the first contact';
comment on column samegoal.districts.registered_at is 'When the district was added';

create table samegoal.parent_demographics_history (
    district_id text not null,
    student_id bigint not null,
    student_number text,
    parent_id bigint not null,
    relationship text,
    rank bigint,
    first_name text,
    middle_name text,
    last_name text,
    suffix text,
    is_custodial boolean,
    is_emergency_contact boolean,
    has_restricted_access boolean,
    home_language text,
    street text,
    city text,
    state text,
    zip text,
    home_phone text,
    cell_phone text,
    work_phone text,
    email text,
    snapshot_date date generated always as (valid_from) stored,
    valid_from date not null,
    valid_to date,
    row_hash bigint not null,
    constraint parent_demographics_history_pkey primary key (district_id, student_id, parent_id, valid_from),
    constraint parent_demographics_history_valid_to_check check (valid_to > valid_from)
);

create unique index parent_demographics_history_current_key on samegoal.parent_demographics_history (district_id, student_id, parent_id) include (row_hash) where valid_to is null;

comment on table samegoal.parent_demographics_history is 'Who the parents of each student are, from which night to which; one row per student and parent';
comment on column samegoal.parent_demographics_history.district_id is 'The district, as registered';
comment on column samegoal.parent_demographics_history.student_id is 'Qmlativ''s StudentID';
comment on column samegoal.parent_demographics_history.student_number is 'Qmlativ''s StudentNumber (SameGoal''s Student Id), as it came';
comment on column samegoal.parent_demographics_history.parent_id is 'Qmlativ''s NameID of the guardian';
comment on column samegoal.parent_demographics_history.relationship is 'What the parent is to the student';
comment on column samegoal.parent_demographics_history.rank is 'Order among the student''s parents';
comment on column samegoal.parent_demographics_history.first_name is 'First name';
comment on column samegoal.parent_demographics_history.middle_name is 'Middle name';
comment on column samegoal.parent_demographics_history.last_name is 'Last name';
comment on column samegoal.parent_demographics_history.suffix is 'Suffix of the name';
comment on column samegoal.parent_demographics_history.is_custodial is 'Custodial guardian';
comment on column samegoal.parent_demographics_history.is_emergency_contact is 'Emergency contact';
comment on column samegoal.parent_demographics_history.has_restricted_access is 'Active restricted access: contact columns are empty; null: not granted';
comment on column samegoal.parent_demographics_history.home_language is 'Language spoken at home';
comment on column samegoal.parent_demographics_history.street is 'Street and number, or PO Box';
comment on column samegoal.parent_demographics_history.city is 'City';
comment on column samegoal.parent_demographics_history.state is 'State';
comment on column samegoal.parent_demographics_history.zip is 'ZIP code, with its four further digits where known';
comment on column samegoal.parent_demographics_history.home_phone is 'Home phone';
comment on column samegoal.parent_demographics_history.cell_phone is 'Cell phone';
comment on column samegoal.parent_demographics_history.work_phone is 'Work phone';
comment on column samegoal.parent_demographics_history.email is 'E-mail address';
comment on column samegoal.parent_demographics_history.snapshot_date is 'The night that wrote this row: valid_from';
comment on column samegoal.parent_demographics_history.valid_from is 'First night on which this was so';
comment on column samegoal.parent_demographics_history.valid_to is 'First night on which it was so no longer; null: it is so now';
comment on column samegoal.parent_demographics_history.row_hash is 'Hash of what a snapshot says';

create table samegoal.snapshots (
    district_id text not null,
    snapshot_date date not null,
    state text not null,
    students integer,
    enrolled integer,
    pre_enrolled integer,
    graduated integer,
    inactive integer,
    added integer,
    changed integer,
    removed integer,
    held_reason text,
    run_id text not null,
    started_at timestamptz not null,
    published_at timestamptz,
    snapshot_id bigint generated always as identity,
    kept integer,
    constraint snapshots_pkey primary key (snapshot_id),
    constraint snapshots_state_check check (state in ('published', 'held', 'failed', 'superseded'))
);

create unique index snapshots_published_key on samegoal.snapshots (district_id, snapshot_date) where state = 'published';

create unique index snapshots_run_key on samegoal.snapshots (run_id, district_id);

comment on table samegoal.snapshots is 'One row per district and attempted snapshot';
comment on column samegoal.snapshots.district_id is 'The district, as registered';
comment on column samegoal.snapshots.snapshot_date is 'The night: the district''s local date of the run';
comment on column samegoal.snapshots.state is 'published, held, failed, or superseded by a rerun of the same night';
comment on column samegoal.snapshots.students is 'Students in the snapshot';
comment on column samegoal.snapshots.enrolled is 'Students with status ENROLLED';
comment on column samegoal.snapshots.pre_enrolled is 'Students with status PRE-ENROLLED';
comment on column samegoal.snapshots.graduated is 'Students with status GRADUATED';
comment on column samegoal.snapshots.inactive is 'Students with status INACTIVE';
comment on column samegoal.snapshots.added is 'Students that the night before did not have';
comment on column samegoal.snapshots.changed is 'Students of both nights with any change';
comment on column samegoal.snapshots.removed is 'Students that the night before had';
comment on column samegoal.snapshots.held_reason is 'Why it was held, or why it failed';
comment on column samegoal.snapshots.run_id is 'Dagster''s id of the run';
comment on column samegoal.snapshots.started_at is 'When the run began';
comment on column samegoal.snapshots.published_at is 'When the snapshot became what SameGoal reads';
comment on column samegoal.snapshots.snapshot_id is 'Order in which the attempts were made';
comment on column samegoal.snapshots.kept is 'Students who kept their last published rows: not readable tonight';

create table samegoal.student_changes (
    district_id text not null,
    snapshot_date date not null,
    student_id bigint not null,
    student_number text,
    change text not null,
    old_status text,
    new_status text,
    changed_columns text[] not null,
    constraint student_changes_pkey primary key (district_id, snapshot_date, student_id),
    constraint student_changes_change_check check (change in ('added', 'status', 'demographics', 'parents', 'removed'))
);

comment on table samegoal.student_changes is 'One row per student and night with a change';
comment on column samegoal.student_changes.district_id is 'The district, as registered';
comment on column samegoal.student_changes.snapshot_date is 'The night that brought the change';
comment on column samegoal.student_changes.student_id is 'Qmlativ''s StudentID';
comment on column samegoal.student_changes.student_number is 'Qmlativ''s StudentNumber, as it came';
comment on column samegoal.student_changes.change is 'The weightiest of: added, removed; else the table whose row changed: status, demographics, parents';
comment on column samegoal.student_changes.old_status is 'Status the night before; null if added';
comment on column samegoal.student_changes.new_status is 'Status since; null if removed';
comment on column samegoal.student_changes.changed_columns is 'Names of the columns that changed; those of parents as parents.<column>, or parents alone for a parent who came or went';

create table samegoal.student_demographics_history (
    district_id text not null,
    student_id bigint not null,
    student_number text,
    student_reporting_id text,
    first_name text,
    middle_name text,
    last_name text,
    suffix text,
    legal_first_name text,
    legal_middle_name text,
    legal_last_name text,
    birth_date date,
    gender text,
    grade text,
    race text,
    is_hispanic boolean,
    is_white boolean,
    is_black boolean,
    is_asian boolean,
    is_native_american boolean,
    is_pacific_islander boolean,
    home_language text,
    street text,
    city text,
    state text,
    zip text,
    county text,
    phone text,
    email text,
    building text,
    building_reporting_id text,
    snapshot_date date generated always as (valid_from) stored,
    valid_from date not null,
    valid_to date,
    row_hash bigint not null,
    constraint student_demographics_history_pkey primary key (district_id, student_id, valid_from),
    constraint student_demographics_history_valid_to_check check (valid_to > valid_from)
);

create unique index student_demographics_history_current_key on samegoal.student_demographics_history (district_id, student_id) include (row_hash) where valid_to is null;

comment on table samegoal.student_demographics_history is 'Who each student is, from which night to which';
comment on column samegoal.student_demographics_history.district_id is 'The district, as registered';
comment on column samegoal.student_demographics_history.student_id is 'Qmlativ''s StudentID';
comment on column samegoal.student_demographics_history.student_number is 'Qmlativ''s StudentNumber (SameGoal''s Student Id), as it came';
comment on column samegoal.student_demographics_history.student_reporting_id is 'The state''s id of the student';
comment on column samegoal.student_demographics_history.first_name is 'First name in use';
comment on column samegoal.student_demographics_history.middle_name is 'Middle name in use';
comment on column samegoal.student_demographics_history.last_name is 'Last name in use';
comment on column samegoal.student_demographics_history.suffix is 'Suffix of the name';
comment on column samegoal.student_demographics_history.legal_first_name is 'Legal first name';
comment on column samegoal.student_demographics_history.legal_middle_name is 'Legal middle name';
comment on column samegoal.student_demographics_history.legal_last_name is 'Legal last name';
comment on column samegoal.student_demographics_history.birth_date is 'Date of birth';
comment on column samegoal.student_demographics_history.gender is 'Gender, as Qmlativ has it';
comment on column samegoal.student_demographics_history.grade is 'Grade in the year of the deciding enrollment';
comment on column samegoal.student_demographics_history.race is 'Race, as Qmlativ has it';
comment on column samegoal.student_demographics_history.is_hispanic is 'Hispanic or Latino; null: not known or not granted';
comment on column samegoal.student_demographics_history.is_white is 'White; null: not known or not granted';
comment on column samegoal.student_demographics_history.is_black is 'Black or African American; null: not known or not granted';
comment on column samegoal.student_demographics_history.is_asian is 'Asian; null: not known or not granted';
comment on column samegoal.student_demographics_history.is_native_american is 'American Indian or Alaska Native; null: not known or not granted';
comment on column samegoal.student_demographics_history.is_pacific_islander is 'Native Hawaiian or other Pacific Islander; null: not known or not granted';
comment on column samegoal.student_demographics_history.home_language is 'Language spoken at home';
comment on column samegoal.student_demographics_history.street is 'Street and number, or PO Box';
comment on column samegoal.student_demographics_history.city is 'City';
comment on column samegoal.student_demographics_history.state is 'State';
comment on column samegoal.student_demographics_history.zip is 'ZIP code, with its four further digits where known';
comment on column samegoal.student_demographics_history.county is 'County';
comment on column samegoal.student_demographics_history.phone is 'The first phone that is not confidential';
comment on column samegoal.student_demographics_history.email is 'The first e-mail address';
comment on column samegoal.student_demographics_history.building is 'Name of the deciding enrollment''s school';
comment on column samegoal.student_demographics_history.building_reporting_id is 'The state''s id of that school';
comment on column samegoal.student_demographics_history.snapshot_date is 'The night that wrote this row: valid_from';
comment on column samegoal.student_demographics_history.valid_from is 'First night on which this was so';
comment on column samegoal.student_demographics_history.valid_to is 'First night on which it was so no longer; null: it is so now';
comment on column samegoal.student_demographics_history.row_hash is 'Hash of what a snapshot says';

create table samegoal.student_status_history (
    district_id text not null,
    student_id bigint not null,
    student_number text,
    status text not null,
    reason text not null,
    enrollment_id bigint,
    first_day date,
    last_day date,
    withdrawal_code text,
    school_year_id bigint,
    entity_id bigint,
    building text,
    building_reporting_id text,
    snapshot_date date generated always as (valid_from) stored,
    valid_from date not null,
    valid_to date,
    row_hash bigint not null,
    constraint student_status_history_pkey primary key (district_id, student_id, valid_from),
    constraint student_status_history_valid_to_check check (valid_to > valid_from),
    constraint student_status_history_status_check check (status in ('ENROLLED', 'PRE-ENROLLED', 'GRADUATED', 'INACTIVE'))
);

create unique index student_status_history_current_key on samegoal.student_status_history (district_id, student_id) include (row_hash) where valid_to is null;

comment on table samegoal.student_status_history is 'Which status each student had, from which night to which';
comment on column samegoal.student_status_history.district_id is 'The district, as registered';
comment on column samegoal.student_status_history.student_id is 'Qmlativ''s StudentID';
comment on column samegoal.student_status_history.student_number is 'Qmlativ''s StudentNumber (SameGoal''s Student Id), as it came';
comment on column samegoal.student_status_history.status is 'ENROLLED, PRE-ENROLLED, GRADUATED or INACTIVE';
comment on column samegoal.student_status_history.reason is 'The rule that decided the status';
comment on column samegoal.student_status_history.enrollment_id is 'The enrollment that decided it: Qmlativ''s EntryWithdrawalID';
comment on column samegoal.student_status_history.first_day is 'First day of that enrollment';
comment on column samegoal.student_status_history.last_day is 'Last day of that enrollment, inclusive; null: open';
comment on column samegoal.student_status_history.withdrawal_code is 'Withdrawal code of that enrollment';
comment on column samegoal.student_status_history.school_year_id is 'School year of that enrollment';
comment on column samegoal.student_status_history.entity_id is 'Entity of that enrollment';
comment on column samegoal.student_status_history.building is 'Name of that enrollment''s school';
comment on column samegoal.student_status_history.building_reporting_id is 'The state''s id of that school';
comment on column samegoal.student_status_history.snapshot_date is 'The night that wrote this row: valid_from';
comment on column samegoal.student_status_history.valid_from is 'First night on which this was so';
comment on column samegoal.student_status_history.valid_to is 'First night on which it was so no longer; null: it is so now';
comment on column samegoal.student_status_history.row_hash is 'Hash of what a snapshot says';

create table samegoal.district_credentials (
    district_id text not null,
    client_key text not null,
    sealed_secret bytea not null,
    sealed_at timestamptz not null,
    constraint district_credentials_pkey primary key (district_id),
    constraint district_credentials_district_id_fkey foreign key(district_id) references samegoal.districts (district_id) on delete cascade
);

comment on table samegoal.district_credentials is 'What it takes to log in to each district''s Qmlativ; nobody but the pipeline reads this';
comment on column samegoal.district_credentials.district_id is 'The district, as registered';
comment on column samegoal.district_credentials.client_key is 'Client Key of the Integration Access';
comment on column samegoal.district_credentials.sealed_secret is 'Client Secret, sealed with SAMEGOAL_SECRET_KEY';
comment on column samegoal.district_credentials.sealed_at is 'When the secret was last set';
