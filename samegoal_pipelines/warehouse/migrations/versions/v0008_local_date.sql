set local role samegoal_owner;

alter table samegoal.snapshots add column local_date date;
comment on column samegoal.snapshots.local_date is 'The district''s date when the run began; before snapshot_date: a rehearsal of a night to come';
