set local role samegoal_owner;

alter table samegoal.districts add column due_since timestamptz;
comment on column samegoal.districts.due_since is 'When it was last enabled, resumed or moved to another time zone; a night that had begun by then is not late';
