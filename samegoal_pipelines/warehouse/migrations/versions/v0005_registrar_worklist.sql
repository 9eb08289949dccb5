set local role samegoal_owner;

create table samegoal.registrar_worklist (
    district_id text not null,
    snapshot_date date not null,
    student_id bigint,
    student_number text,
    building text,
    building_reporting_id text,
    problem text not null,
    enrollment_id bigint,
    detail text not null,
    fix text not null,
    line integer not null,
    constraint registrar_worklist_pkey primary key (district_id, line)
);

create unique index registrar_worklist_problem_key
    on samegoal.registrar_worklist (district_id, problem, student_id, enrollment_id) nulls not distinct;

comment on table samegoal.registrar_worklist is 'What a registrar should look at in Qmlativ, as of the last night published or held; one row per student, enrollment and problem';
comment on column samegoal.registrar_worklist.district_id is 'The district, as registered';
comment on column samegoal.registrar_worklist.snapshot_date is 'The night that found it';
comment on column samegoal.registrar_worklist.student_id is 'Qmlativ''s StudentID; null where the enrollment has none';
comment on column samegoal.registrar_worklist.student_number is 'Qmlativ''s StudentNumber, as it came';
comment on column samegoal.registrar_worklist.building is 'Name of the enrollment''s school';
comment on column samegoal.registrar_worklist.building_reporting_id is 'The state''s id of that school';
comment on column samegoal.registrar_worklist.problem is 'What is wrong, in a few words that are always the same';
comment on column samegoal.registrar_worklist.enrollment_id is 'Qmlativ''s EntryWithdrawalID; null where it was unreadable';
comment on column samegoal.registrar_worklist.detail is 'Days, codes and ids by which to find the enrollment, and what is odd about it';
comment on column samegoal.registrar_worklist.fix is 'The Qmlativ screen, and what to change there';
comment on column samegoal.registrar_worklist.line is 'Order in which to work through the list: by school, problem and student';

alter table samegoal.registrar_worklist enable row level security;
alter table samegoal.registrar_worklist force row level security;
create policy named_district on samegoal.registrar_worklist
    using (district_id = nullif(current_setting('samegoal.district_id', true), ''))
    with check (district_id = nullif(current_setting('samegoal.district_id', true), ''));
create policy every_district on samegoal.registrar_worklist for select to samegoal_operator using (true);

grant select, insert, update, delete on samegoal.registrar_worklist to samegoal_writer;
grant select on samegoal.registrar_worklist to samegoal_operator;
