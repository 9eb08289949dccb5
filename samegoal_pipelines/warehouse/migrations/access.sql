-- Access to the schema samegoal: roles, owner, grants and policies. Each statement can run again, because
-- `engine.migrate` runs all of it after every upgrade. A change here reaches existing databases with the next
-- migration. Add an empty migration if necessary.

set local role none;

-- Roles belong to the whole server, so another database's migration or an administrator may have created them.
-- They are created without login. A login becomes a member (docs/production.md).
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
end
$$;

do $$
begin
    -- Publishing needs temporary tables. Everybody else could fill the disk with them.
    execute format('grant temporary on database %I to samegoal_writer', current_database());
    execute format('revoke temporary on database %I from public', current_database());
exception when insufficient_privilege then
    null;  -- only the database's owner may: see docs/production.md
end
$$;

-- Defaults for a login as the role itself. A login that is a member needs its own: see docs/production.md. A
-- reader who runs several statements in one transaction must not see two nights mixed; the isolation is also in
-- every URL that `database-url` prints.
do $$
declare
    setting text;
begin
    foreach setting in array array[
        'samegoal_operator set default_transaction_isolation = ''repeatable read''',
        'samegoal_reader set default_transaction_isolation = ''repeatable read''',
        'samegoal_reader set statement_timeout = ''60s''',
        'samegoal_reader set idle_in_transaction_session_timeout = ''60s''',
        'samegoal_reader set temp_file_limit = ''1GB'''
    ] loop
        begin
            execute 'alter role ' || setting;
        exception when insufficient_privilege or serialization_failure or internal_error then
            null;  -- not ours to set, or another database's migration sets it at this moment
        end;
    end loop;
end
$$;

-- Everything that this login created goes to the owner. The schema goes last, because a login that does not
-- inherit its roles' rights then loses access to it.
do $$
declare
    made text;
begin
    if (select nspowner <> 'samegoal_owner'::regrole from pg_namespace where nspname = 'samegoal') then
        grant usage, create on schema samegoal to samegoal_owner;
    end if;
    for made in
        select format('table %s', oid::regclass) from pg_class
        where relnamespace = 'samegoal'::regnamespace and relkind in ('r', 'v')
            and relowner <> 'samegoal_owner'::regrole
        union all
        select format('function %s', oid::regprocedure) from pg_proc
        where pronamespace = 'samegoal'::regnamespace and proowner <> 'samegoal_owner'::regrole
    loop
        execute format('alter %s owner to samegoal_owner', made);
    end loop;
    if (select nspowner <> 'samegoal_owner'::regrole from pg_namespace where nspname = 'samegoal') then
        alter schema samegoal owner to samegoal_owner;
    end if;
end
$$;

set local role samegoal_owner;

-- Revoke the grants of earlier versions. All grants follow.
revoke all on all tables in schema samegoal from samegoal_writer, samegoal_operator, samegoal_reader;
revoke all on all functions in schema samegoal from public, samegoal_writer, samegoal_operator, samegoal_reader;

grant usage on schema samegoal to samegoal_writer, samegoal_operator, samegoal_reader;

-- The writer: the pipeline, in one district.
grant select on samegoal.alembic_version to samegoal_writer;
grant select, insert, update, delete on
    samegoal.districts, samegoal.district_credentials, samegoal.snapshots, samegoal.current_snapshots,
    samegoal.student_changes, samegoal.departures, samegoal.releases, samegoal.erasures, samegoal.student_erasures,
    samegoal.disclosures, samegoal.pauses, samegoal.registrar_worklist, samegoal.student_status_history,
    samegoal.student_demographics_history, samegoal.parent_demographics_history
    to samegoal_writer;
grant select, insert, update on samegoal.locks to samegoal_writer;
grant select, insert on samegoal.alerts_sent to samegoal_writer;
grant select on
    samegoal.student_status, samegoal.student_demographics, samegoal.parent_demographics, samegoal.student_details
    to samegoal_writer;

-- The operator: data engineers and the schedule, in every district. Everything but the credentials and the
-- markers of erased students, which only the pipeline reads, and the locks.
grant select on
    samegoal.alembic_version, samegoal.districts, samegoal.snapshots, samegoal.current_snapshots,
    samegoal.student_changes, samegoal.departures, samegoal.releases, samegoal.erasures, samegoal.disclosures,
    samegoal.pauses, samegoal.registrar_worklist, samegoal.alerts_sent, samegoal.student_status_history,
    samegoal.student_demographics_history, samegoal.parent_demographics_history, samegoal.student_status,
    samegoal.student_demographics, samegoal.parent_demographics, samegoal.student_details
    to samegoal_operator;

-- The reader: SameGoal, in one district. Only what is current, and no history.
grant select on
    samegoal.student_status, samegoal.student_demographics, samegoal.parent_demographics,
    samegoal.student_details, samegoal.student_changes, samegoal.departures, samegoal.snapshots
    to samegoal_reader;

create or replace function samegoal.districts_in_sight() returns text[]
language plpgsql stable parallel safe as $$
begin
    if pg_has_role('samegoal_operator', 'usage') then
        return (select array_agg(district_id) from samegoal.current_snapshots);
    end if;
    return array[nullif(current_setting('samegoal.district_id', true), '')];
end
$$;

comment on function samegoal.districts_in_sight() is 'The districts whose current rows the views show to the caller: all to an operator, otherwise the one that the transaction names';

revoke all on function samegoal.districts_in_sight() from public;
grant execute on all functions in schema samegoal to samegoal_writer, samegoal_operator;
grant execute on function samegoal.districts_in_sight() to samegoal_reader;

-- One policy for every table with a district's rows and for every role, including the owner: only the district
-- that the transaction names. Only the operator reads every district, except its credentials. After a
-- transaction, its setting is an empty text in the session.
--
-- The views read their tables with their owner's rights. So the policy limits the owner to what the caller may
-- see, in one condition that uses an index. The condition on the night precedes the reader's own conditions.
do $$
declare
    guarded regclass;
    behind_views constant regclass[] = array[
        'samegoal.current_snapshots', 'samegoal.student_status_history', 'samegoal.student_demographics_history',
        'samegoal.parent_demographics_history'
    ];
    named constant text := 'district_id = nullif(current_setting(''samegoal.district_id'', true), '''')';
begin
    for guarded in
        select relation.oid from pg_class as relation
        join pg_attribute as attribute on attribute.attrelid = relation.oid
        where relation.relnamespace = 'samegoal'::regnamespace and relation.relkind = 'r'
            and attribute.attname = 'district_id'
    loop
        execute format('alter table %s enable row level security', guarded);
        execute format('alter table %s force row level security', guarded);
        execute format('drop policy if exists named_district on %s', guarded);
        execute format('drop policy if exists districts_in_sight on %s', guarded);
        execute format('create policy named_district on %s using (%s) with check (%s)', guarded, named, named);
        if guarded = any (behind_views) then
            execute format('alter policy named_district on %s to samegoal_writer', guarded);
            execute format(
                'create policy districts_in_sight on %s to samegoal_owner'
                ' using (district_id = any ((select samegoal.districts_in_sight())::text[])) with check (%s)',
                guarded, named
            );
        end if;
        execute format('drop policy if exists every_district on %s', guarded);
        if guarded not in ('samegoal.district_credentials'::regclass, 'samegoal.student_erasures'::regclass) then
            execute format('create policy every_district on %s for select to samegoal_operator using (true)', guarded);
        end if;
    end loop;
end
$$;
