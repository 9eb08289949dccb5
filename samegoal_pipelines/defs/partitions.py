"""The one partition dimension: a district. The night is data, not a partition.

Qmlativ only answers for now, so a date partition could not be filled later.
"""

import dagster as dg

DISTRICTS = dg.DynamicPartitionsDefinition(name="district")
"""Keys are district ids. `districts add` adds them without a restart."""
