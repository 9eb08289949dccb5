set local role samegoal_owner;

-- -- districts that are left out for a while --

create table samegoal.pauses (
    district_id text not null,
    paused_from date not null,
    paused_to date not null,
    reason text,
    set_by text not null,
    set_at timestamptz default now() not null,
    constraint pauses_pkey primary key (district_id),
    constraint pauses_district_id_fkey foreign key (district_id) references samegoal.districts (district_id) on delete cascade,
    constraint pauses_paused_to_check check (paused_to >= paused_from)
);

comment on table samegoal.pauses is 'Districts that the schedule leaves out for a while, such as over the summer';
comment on column samegoal.pauses.district_id is 'The district, as registered';
comment on column samegoal.pauses.paused_from is 'First night that is left out, by the district''s calendar';
comment on column samegoal.pauses.paused_to is 'Last night that is left out, by the district''s calendar';
comment on column samegoal.pauses.reason is 'Why, in the words of whoever paused it';
comment on column samegoal.pauses.set_by is 'Who paused it, as configured';
comment on column samegoal.pauses.set_at is 'When it was paused';

alter table samegoal.pauses enable row level security;
alter table samegoal.pauses force row level security;
create policy named_district on samegoal.pauses
    using (district_id = nullif(current_setting('samegoal.district_id', true), ''))
    with check (district_id = nullif(current_setting('samegoal.district_id', true), ''));
create policy every_district on samegoal.pauses for select to samegoal_operator using (true);

grant select, insert, update, delete on samegoal.pauses to samegoal_writer;
grant select on samegoal.pauses to samegoal_operator;

-- -- what people were told of --

create table samegoal.alarms_sent (
    night date not null,
    deadline timestamptz not null,
    channel text not null,
    part integer not null,
    sent_at timestamptz not null,
    districts integer not null,
    digest text not null,
    constraint alarms_sent_pkey primary key (night, deadline, channel, part)
);

comment on table samegoal.alarms_sent is 'Which alarms went out through which channel, so that none goes out twice';
comment on column samegoal.alarms_sent.night is 'The night that it is about, by the districts'' calendar';
comment on column samegoal.alarms_sent.deadline is 'The moment at which the snapshots of these districts were to be there';
comment on column samegoal.alarms_sent.channel is 'How it was sent, such as email';
comment on column samegoal.alarms_sent.part is '1: the look at the deadline; then every further message about trouble that came later';
comment on column samegoal.alarms_sent.sent_at is 'When it was sent';
comment on column samegoal.alarms_sent.districts is 'How many districts it named; 0: nothing was wrong, and nothing was sent';
comment on column samegoal.alarms_sent.digest is 'What was told: district, state and kind of failure on each line';

grant select, insert on samegoal.alarms_sent to samegoal_writer;
grant select on samegoal.alarms_sent to samegoal_operator;

-- -- a night across all districts --

create index snapshots_snapshot_date_idx on samegoal.snapshots (snapshot_date);
