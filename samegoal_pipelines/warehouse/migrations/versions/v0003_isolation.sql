-- Roles belong to the whole server: another database's migration or an administrator may have made them.
-- They are made without login; whoever logs in is made a member (docs/production.md).
do $$
declare
    role_name text;
begin
    foreach role_name in array array['samegoal_owner', 'samegoal_writer', 'samegoal_operator', 'samegoal_reader'] loop
        begin
            if not exists (select from pg_roles where rolname = role_name) then
                execute format('create role %I nologin', role_name);
            end if;
        exception when duplicate_object or unique_violation then
            null;  -- made by another database's migration at the same moment
        end;
        if not (select rolsuper from pg_roles where rolname = current_user) then
            begin
                execute format('grant %I to current_user', role_name);
            exception when insufficient_privilege then
                null;  -- an administrator has made us a member, or the next statement says that we are none
            end;
        end if;
    end loop;
    -- A reader who runs several statements in one transaction must not see two nights mixed.
    foreach role_name in array array['samegoal_operator', 'samegoal_reader'] loop
        begin
            execute format('alter role %I set default_transaction_isolation = ''repeatable read''', role_name);
        exception when insufficient_privilege or serialization_failure or internal_error then
            null;  -- also in every URL that `database-url` prints
        end;
    end loop;
end
$$;

-- The schema goes last: a login that does not inherit its roles' rights loses its way into it with that.
grant usage, create on schema samegoal to samegoal_owner;

do $$
declare
    relation record;
    routine record;
begin
    for relation in
        select relname from pg_class where relnamespace = 'samegoal'::regnamespace and relkind in ('r', 'v')
    loop
        execute format('alter table samegoal.%I owner to samegoal_owner', relation.relname);
    end loop;
    for routine in
        select oid::regprocedure as signature from pg_proc where pronamespace = 'samegoal'::regnamespace
    loop
        execute format('alter function %s owner to samegoal_owner', routine.signature);
    end loop;
    -- Publishing goes by way of temporary tables, which a careful administrator may have taken from everybody.
    begin
        execute format('grant temporary on database %I to samegoal_writer', current_database());
    exception when insufficient_privilege then
        null;  -- not ours to give
    end;
end
$$;

alter schema samegoal owner to samegoal_owner;

-- From here on, and in every later migration, the owner is at work.
set local role samegoal_owner;

grant usage on schema samegoal to samegoal_writer, samegoal_operator, samegoal_reader;
grant select on samegoal.alembic_version to samegoal_writer, samegoal_operator;

grant select, insert, update, delete on
    samegoal.districts, samegoal.district_credentials, samegoal.snapshots, samegoal.current_snapshots,
    samegoal.student_changes, samegoal.departures, samegoal.releases, samegoal.erasures,
    samegoal.student_status_history, samegoal.student_demographics_history,
    samegoal.parent_demographics_history
    to samegoal_writer;

grant select on
    samegoal.student_status, samegoal.student_demographics, samegoal.parent_demographics,
    samegoal.student_details
    to samegoal_writer;

-- Everything but the credentials, which nobody but the pipeline reads.
grant select on
    samegoal.districts, samegoal.snapshots, samegoal.current_snapshots, samegoal.student_changes,
    samegoal.departures, samegoal.releases, samegoal.erasures, samegoal.student_status_history,
    samegoal.student_demographics_history, samegoal.parent_demographics_history, samegoal.student_status,
    samegoal.student_demographics, samegoal.parent_demographics, samegoal.student_details
    to samegoal_operator;

grant select on
    samegoal.snapshots, samegoal.current_snapshots, samegoal.student_changes, samegoal.departures,
    samegoal.student_status_history, samegoal.student_demographics_history,
    samegoal.parent_demographics_history, samegoal.student_status, samegoal.student_demographics,
    samegoal.parent_demographics, samegoal.student_details
    to samegoal_reader;

-- Functions may be called by everybody unless that is taken back.
revoke execute on all functions in schema samegoal from public;
grant execute on all functions in schema samegoal to samegoal_writer, samegoal_operator, samegoal_reader;

-- One rule for everybody, the owner included: the district that the transaction has named, or nothing.
-- Only the operator reads every district, except for its credentials. A setting that a transaction of the same
-- session has had is the empty text afterwards.
do $$
declare
    guarded text;
    named constant text := 'district_id = nullif(current_setting(''samegoal.district_id'', true), '''')';
begin
    foreach guarded in array array[
        'districts', 'district_credentials', 'snapshots', 'current_snapshots', 'student_changes', 'departures',
        'releases', 'erasures', 'student_status_history', 'student_demographics_history',
        'parent_demographics_history'
    ] loop
        execute format('alter table samegoal.%I enable row level security', guarded);
        execute format('alter table samegoal.%I force row level security', guarded);
        execute format('create policy named_district on samegoal.%I using (%s) with check (%s)', guarded, named, named);
        if guarded <> 'district_credentials' then
            execute format('create policy every_district on samegoal.%I for select to samegoal_operator using (true)', guarded);
        end if;
    end loop;
end
$$;
