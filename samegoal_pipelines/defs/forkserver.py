"""Start runs from a process that has imported everything, which saves half the work of a small night.

Dagster's code server starts a process for every run with Python's `spawn`, which imports Dagster, pandas and
this package each time. Dagster offers a fork server for steps (`start_method: forkserver`) but not for runs,
so here `spawn` uses Python's fork server. It starts with the first run, holds imported modules but no
connection, and ends with the code server, so a new code server reads new code.
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
    # Modules that these import on first use, which every run needs.
    "cryptography.fernet",
    "dagster._core.storage.local_compute_log_manager",
    "pandera.backends.pandas.builtin_checks",
    "pandera.backends.pandas.container",
    "pyarrow.dataset",
    "upath.implementations.local",
]


def start_runs_warm() -> None:
    """From now on, start this process's `spawn` processes from a fork server."""
    set_forkserver_preload([*PRELOADED])
    SpawnContext.Process = ForkServerProcess  # type: ignore[assignment]


def _begin(_: object) -> None:
    """Keep imported modules out of garbage collection. A fork server's process ends without Python's exit."""
    gc.freeze()  # otherwise a collection takes a third of a second in every few runs
    util.Finalize(None, server.release_all, exitpriority=0)


util.register_after_fork(start_runs_warm, _begin)
