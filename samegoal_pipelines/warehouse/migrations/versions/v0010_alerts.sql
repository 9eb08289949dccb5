set local role samegoal_owner;

alter table samegoal.alarms_sent rename to alerts_sent;
alter table samegoal.alerts_sent rename constraint alarms_sent_pkey to alerts_sent_pkey;

comment on table samegoal.alerts_sent is 'Which alerts were sent to which address, so that none is sent twice';
comment on column samegoal.alerts_sent.channel is 'Address by its service and position, such as slack 2';
comment on column samegoal.alerts_sent.part is '1: the check at the deadline; then every further message about trouble that came later';
comment on table samegoal.locks is 'Rows to lock, so that one process at a time publishes a district or sends an alert; their content means nothing';
