set local role samegoal_owner;

-- Only writers have rights to it: an advisory lock could be taken, and kept, by whoever may log in.
create table samegoal.locks (
    key bigint not null,
    constraint locks_pkey primary key (key)
);

comment on table samegoal.locks is 'Rows to lock, so that one at a time publishes a district, or sends an alarm; what they hold means nothing';
comment on column samegoal.locks.key is 'A hash of what is locked';

grant select, insert, update on samegoal.locks to samegoal_writer;
