"""What the pipeline costs, as ratios against peers and limits measured in the same run.

`python -m benchmarks` (or `make bench`) runs everything; `docs/performance.md` tells what is measured.
Here: one module per path, what they share (`cases`, `contestant`), and the server that one reads from. No
timed test: nothing here ever fails because it was slow.
"""
