do $$
begin
    -- Publishing needs temporary tables. Everybody else could fill the disk with them.
    execute format('grant temporary on database %I to samegoal_writer', current_database());
    execute format('revoke temporary on database %I from public', current_database());
exception when insufficient_privilege then
    null;  -- only the database's owner may: see docs/production.md
end
$$;

do $$
declare
    setting text;
begin
    -- Defaults for a login as the role itself. A login that is a member needs its own: see docs/production.md.
    foreach setting in array array[
        'statement_timeout = ''60s''',
        'idle_in_transaction_session_timeout = ''60s''',
        'temp_file_limit = ''1GB'''
    ] loop
        begin
            execute format('alter role samegoal_reader set %s', setting);
        exception when insufficient_privilege or serialization_failure or internal_error then
            null;  -- not ours to set, or another database's migration sets it at this moment
        end;
    end loop;
end
$$;

set local role samegoal_owner;

revoke all on
    samegoal.current_snapshots, samegoal.student_status_history, samegoal.student_demographics_history,
    samegoal.parent_demographics_history
    from samegoal_reader;
revoke all on all functions in schema samegoal from samegoal_reader;

create function samegoal.districts_in_sight() returns text[]
language plpgsql stable parallel safe as $$
begin
    if pg_has_role('samegoal_operator', 'usage') then
        return (select array_agg(district_id) from samegoal.current_snapshots);
    end if;
    return array[nullif(current_setting('samegoal.district_id', true), '')];
end
$$;

comment on function samegoal.districts_in_sight() is 'The districts whose current rows the views show to whoever asks: all to an operator, else the one that the transaction names';

revoke all on function samegoal.districts_in_sight() from public;
grant execute on function samegoal.districts_in_sight() to samegoal_writer, samegoal_operator, samegoal_reader;

-- The views read the history with their owner's rights. So the owner is shown what whoever asks may see, in one
-- condition, which an index serves. The condition on the night comes before any of the reader's own.
do $$
declare
    behind text;
    named constant text := 'district_id = nullif(current_setting(''samegoal.district_id'', true), '''')';
begin
    foreach behind in array array[
        'current_snapshots', 'student_status_history', 'student_demographics_history',
        'parent_demographics_history'
    ] loop
        execute format('alter policy named_district on samegoal.%I to samegoal_writer', behind);
        execute format(
            'create policy districts_in_sight on samegoal.%I to samegoal_owner'
            ' using (district_id = any ((select samegoal.districts_in_sight())::text[])) with check (%s)',
            behind, named
        );
    end loop;
end
$$;

alter view samegoal.student_status reset (security_invoker);
alter view samegoal.student_status set (security_barrier = true);
alter view samegoal.student_demographics reset (security_invoker);
alter view samegoal.student_demographics set (security_barrier = true);
alter view samegoal.parent_demographics reset (security_invoker);
alter view samegoal.parent_demographics set (security_barrier = true);
alter view samegoal.student_details reset (security_invoker);
alter view samegoal.student_details set (security_barrier = true);

comment on column samegoal.snapshots.added is 'Students who were not published before this attempt';
comment on column samegoal.snapshots.changed is 'Students who were published before this attempt, with any change';
comment on column samegoal.snapshots.removed is 'Students who were published before this attempt and are no longer';
