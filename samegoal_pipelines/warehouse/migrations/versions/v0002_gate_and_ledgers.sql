-- -- settings of a district --

alter table samegoal.districts
    add column gate_limits jsonb not null default '{}',
    add column show_restricted_contacts boolean not null default false,
    add column show_confidential_phones boolean not null default false;

comment on column samegoal.districts.gate_limits is 'Limits of the gate that differ from the usual ones, by name';
comment on column samegoal.districts.show_restricted_contacts is 'Publish contact data of parents under active restricted access; off unless set';
comment on column samegoal.districts.show_confidential_phones is 'Publish confidential phones; off unless set';

-- -- what is known of an attempt --

alter table samegoal.snapshots
    add column landed_run_id text,
    add column enrollment_rows integer,
    add column set_aside integer,
    add column lost integer,
    add column lost_by_time integer,
    add column notes text[] not null default '{}',
    add column content_hash bytea,
    add column compared_with bigint;

comment on column samegoal.snapshots.landed_run_id is 'The run whose landed rows the snapshot was made from';
comment on column samegoal.snapshots.enrollment_rows is 'Enrollment rows that Qmlativ gave';
comment on column samegoal.snapshots.set_aside is 'Of these, rows that could not be relied on';
comment on column samegoal.snapshots.lost is 'Students last published as ENROLLED or PRE-ENROLLED who are so no longer';
comment on column samegoal.snapshots.lost_by_time is 'Of these, the ones whom passing time alone explains; null where it was not asked';
comment on column samegoal.snapshots.notes is 'What a reader of the snapshot should know, such as a field that is not granted';
comment on column samegoal.snapshots.content_hash is 'Hash of all that was to be published';
comment on column samegoal.snapshots.compared_with is 'The snapshot_id that was current when this one was held';

create table samegoal.releases (
    district_id text not null,
    held_snapshot_id bigint not null,
    published_snapshot_id bigint not null,
    snapshot_date date not null,
    released_by text not null,
    reason text not null,
    released_at timestamptz default now() not null,
    constraint releases_pkey primary key (held_snapshot_id)
);

comment on table samegoal.releases is 'Held snapshots that a person has published';
comment on column samegoal.releases.district_id is 'The district, as registered';
comment on column samegoal.releases.held_snapshot_id is 'The held attempt in snapshots';
comment on column samegoal.releases.published_snapshot_id is 'The row of snapshots that its release wrote';
comment on column samegoal.releases.snapshot_date is 'The night; the release holds for no other';
comment on column samegoal.releases.released_by is 'Who released it, as configured';
comment on column samegoal.releases.reason is 'Why, in that person''s words';
comment on column samegoal.releases.released_at is 'When';

-- -- students who are gone --

create table samegoal.departures (
    district_id text not null,
    snapshot_date date not null,
    student_id bigint not null,
    student_number text,
    last_status text not null,
    why text not null,
    constraint departures_pkey primary key (district_id, snapshot_date, student_id),
    constraint departures_last_status_check check (last_status in ('ENROLLED', 'PRE-ENROLLED', 'GRADUATED', 'INACTIVE')),
    constraint departures_why_check check (why in ('left the import window', 'CECS only', 'rows unreadable', 'no rows in Qmlativ', 'never effective only'))
);

comment on table samegoal.departures is 'The ageing-out ledger: one row per student and night on which the student left the published tables';
comment on column samegoal.departures.district_id is 'The district, as registered';
comment on column samegoal.departures.snapshot_date is 'The first night without the student';
comment on column samegoal.departures.student_id is 'Qmlativ''s StudentID';
comment on column samegoal.departures.student_number is 'Qmlativ''s StudentNumber, as it was last published';
comment on column samegoal.departures.last_status is 'The status that was last published';
comment on column samegoal.departures.why is 'What Qmlativ''s enrollments of the student say that night';

-- -- districts that were erased --

create table samegoal.erasures (
    erasure_id bigint generated always as identity,
    district_id text not null,
    erased_at timestamptz default now() not null,
    erased_by text not null,
    rows_erased jsonb not null,
    files_erased bigint,
    constraint erasures_pkey primary key (erasure_id)
);

create index erasures_district_id_idx on samegoal.erasures (district_id);

comment on table samegoal.erasures is 'Which districts were erased, when, and how much; nothing about anybody in them';
comment on column samegoal.erasures.erasure_id is 'Order of the erasures';
comment on column samegoal.erasures.district_id is 'The district, as it was registered';
comment on column samegoal.erasures.erased_at is 'When its rows were erased';
comment on column samegoal.erasures.erased_by is 'Who erased it, as configured';
comment on column samegoal.erasures.rows_erased is 'Rows erased, by table';
comment on column samegoal.erasures.files_erased is 'Landed files erased by the try that came to the end; where one before it was stopped, fewer than there were. Null: the landing has yet to be emptied';

-- -- what was published as of a night --

create function samegoal.student_status_as_of(night date)
returns table (
    district_id text, student_id bigint, student_number text, status text, reason text, enrollment_id bigint,
    first_day date, last_day date, withdrawal_code text, school_year_id bigint, entity_id bigint,
    building text, building_reporting_id text, snapshot_date date
)
language sql stable security invoker
begin atomic
    select
        history.district_id, history.student_id, history.student_number, history.status, history.reason,
        history.enrollment_id, history.first_day, history.last_day, history.withdrawal_code,
        history.school_year_id, history.entity_id, history.building, history.building_reporting_id,
        published.snapshot_date
    from samegoal.student_status_history as history
    join (
        select snapshots.district_id, max(snapshots.snapshot_date) as snapshot_date from samegoal.snapshots
        where snapshots.state = 'published' and snapshots.snapshot_date <= night
        group by snapshots.district_id
    ) as published on published.district_id = history.district_id
    where history.valid_from <= night and (history.valid_to is null or history.valid_to > night);
end;

comment on function samegoal.student_status_as_of(date) is 'The view student_status as it was after that night';

create function samegoal.student_demographics_as_of(night date)
returns table (
    district_id text, student_id bigint, student_number text, student_reporting_id text, first_name text,
    middle_name text, last_name text, suffix text, legal_first_name text, legal_middle_name text,
    legal_last_name text, birth_date date, gender text, grade text, race text, is_hispanic boolean,
    is_white boolean, is_black boolean, is_asian boolean, is_native_american boolean,
    is_pacific_islander boolean, home_language text, street text, city text, state text, zip text,
    county text, phone text, email text, building text, building_reporting_id text, snapshot_date date
)
language sql stable security invoker
begin atomic
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
    join (
        select snapshots.district_id, max(snapshots.snapshot_date) as snapshot_date from samegoal.snapshots
        where snapshots.state = 'published' and snapshots.snapshot_date <= night
        group by snapshots.district_id
    ) as published on published.district_id = history.district_id
    where history.valid_from <= night and (history.valid_to is null or history.valid_to > night);
end;

comment on function samegoal.student_demographics_as_of(date) is 'The view student_demographics as it was after that night';

create function samegoal.parent_demographics_as_of(night date)
returns table (
    district_id text, student_id bigint, student_number text, parent_id bigint, relationship text,
    rank bigint, first_name text, middle_name text, last_name text, suffix text, is_custodial boolean,
    is_emergency_contact boolean, has_restricted_access boolean, home_language text, street text, city text,
    state text, zip text, home_phone text, cell_phone text, work_phone text, email text, snapshot_date date
)
language sql stable security invoker
begin atomic
    select
        history.district_id, history.student_id, history.student_number, history.parent_id,
        history.relationship, history.rank, history.first_name, history.middle_name, history.last_name,
        history.suffix, history.is_custodial, history.is_emergency_contact, history.has_restricted_access,
        history.home_language, history.street, history.city, history.state, history.zip,
        history.home_phone, history.cell_phone, history.work_phone, history.email, published.snapshot_date
    from samegoal.parent_demographics_history as history
    join (
        select snapshots.district_id, max(snapshots.snapshot_date) as snapshot_date from samegoal.snapshots
        where snapshots.state = 'published' and snapshots.snapshot_date <= night
        group by snapshots.district_id
    ) as published on published.district_id = history.district_id
    where history.valid_from <= night and (history.valid_to is null or history.valid_to > night);
end;

comment on function samegoal.parent_demographics_as_of(date) is 'The view parent_demographics as it was after that night';
