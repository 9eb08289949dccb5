"""The commands of `samegoal-pipelines`, by what they are about; `cli` gathers them.

Commands parse, call one function of another room and print. No rule about students, no SQL and no HTTP lives
here. Heavy imports wait until a command needs them, so that `--help` answers at once.
"""
