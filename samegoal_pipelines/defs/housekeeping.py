"""What is put away every day: landed nights that are older than the deployment keeps them.

What a replay can reach back to is decided here and by `SAMEGOAL_LANDING_NIGHTS`. Not here: a district's end
(`erasure`), nor Dagster's own record of runs.
"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from samegoal_pipelines.defs.steps import PLAIN_ERRORS
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.warehouse.publish import last_published

_NAMED = 10  # districts that a failure names


@dg.op(out=dg.Out(dg.Nothing))
def prune_landed_nights(context: dg.OpExecutionContext, deployment: dg.ResourceParam[Deployment]) -> None:
    """Delete every district's landed nights beyond the last SAMEGOAL_LANDING_NIGHTS; the published one stays.

    A district that cannot be pruned stops no other; the run fails at its end and names it.
    """
    pruned: dict[str, int] = {}
    faults: dict[str, str] = {}
    for district in deployment.registry.list():
        try:
            pruned[district.id] = len(prune_district(deployment, district, datetime.now(UTC)))
        except PLAIN_ERRORS as error:
            faults[district.id] = str(error).removeprefix(f"{district.id}: ")
        except Exception as error:
            faults[district.id] = f"unforeseen {type(error).__name__}; please report it"
    metadata: dict[str, dg.MetadataValue] = {
        "nights pruned": dg.MetadataValue.int(sum(pruned.values())),
        "by district": dg.MetadataValue.table(
            [
                dg.TableRecord({"district": district_id, "nights pruned": nights})
                for district_id, nights in pruned.items()
            ],
            schema=dg.TableSchema(
                [dg.TableColumn("district", "string"), dg.TableColumn("nights pruned", "int")]
            ),
        ),
    }
    if faults:
        named = "; ".join(f"{district_id}: {fault}" for district_id, fault in [*faults.items()][:_NAMED])
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise dg.Failure(
            f"pruning the landing: {len(faults)} of {len(faults) + len(pruned)} district(s) failed: "
            f"{named}{more}",
            metadata=metadata,
            allow_retries=False,
        )
    context.add_output_metadata(metadata)


def prune_district(deployment: Deployment, district: District, now: datetime) -> list[date]:
    """Delete one district's nights that lie further back than is kept; which these were.

    The published night stays however old it is: the next one is compared with its rows.
    """
    today = now.astimezone(ZoneInfo(district.timezone)).date()
    published = last_published(deployment.warehouse, district.id)
    return deployment.landing.prune(
        district.id,
        keep_from=today - timedelta(days=deployment.settings.landing_nights),
        also_keep={published.snapshot_date} if published else set(),
    )


@dg.job(
    description="Delete the landed nights that are older than SAMEGOAL_LANDING_NIGHTS, of every district.",
    executor_def=dg.in_process_executor,
)
def prune_landing() -> None:
    """One step for all districts: there is next to nothing to do for each."""
    prune_landed_nights()


nightly_prune = dg.ScheduleDefinition(
    name="nightly_prune",
    job=prune_landing,
    cron_schedule="0 12 * * *",  # when the night is over in every time zone of the United States
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once a day, when the nights are over.",
)
