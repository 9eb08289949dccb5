"""Runs start from a process that has imported everything: else that is half the work of a small night.

Dagster's code server starts a process for every run by Python's `spawn`, which imports Dagster, pandas and
this package each time anew. Steps may start from a fork server instead (`start_method: forkserver`), runs may
not; here Python's fork server answers to `spawn`. It is made at the first run, holds imported modules and no
connection, and ends with the code server: new code is read when that is new.
"""

from __future__ import annotations

import gc
from multiprocessing import set_forkserver_preload, util
from multiprocessing.context import ForkServerProcess, SpawnContext

from samegoal_pipelines.postgres import server

PRELOADED = [
    "dagster._grpc.impl",
    "samegoal_pipelines.definitions",
    "samegoal_pipelines.defs.instance",
    # What these import when they are first used, as every run uses them.
    "cryptography.fernet",
    "dagster._core.storage.local_compute_log_manager",
    "pandera.backends.pandas.builtin_checks",
    "pandera.backends.pandas.container",
    "pyarrow.dataset",
    "upath.implementations.local",
]


def start_runs_warm() -> None:
    """From now on, processes that this one starts by `spawn` come from a fork server."""
    set_forkserver_preload([*PRELOADED])
    SpawnContext.Process = ForkServerProcess  # type: ignore[assignment]


def _begin(_: object) -> None:
    """What was imported stays; a process of a fork server ends without Python's exit."""
    gc.freeze()  # else going through it for garbage takes a third of a second of every few runs
    util.Finalize(None, server.release_all, exitpriority=0)


util.register_after_fork(start_runs_warm, _begin)
