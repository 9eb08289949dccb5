"""The commands of `samegoal-pipelines`, one module per subject; `main` gathers them.

Commands parse, call one function of another package, and print. Rules about students, SQL and HTTP live
elsewhere. Heavy imports wait until a command needs them, so that `--help` answers at once.
"""
