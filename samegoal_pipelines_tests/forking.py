"""Processes forked from one that has imported the product: they start in 0.1 s and can be killed."""

import multiprocessing

forking = multiprocessing.get_context("forkserver")
forking.set_forkserver_preload(
    [
        "pytest",
        "samegoal_pipelines.definitions",
        "samegoal_pipelines_tests.warehouse.test_killed_publish",
    ]
)
