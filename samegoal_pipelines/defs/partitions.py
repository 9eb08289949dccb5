"""The one partition dimension: a district. The night is data, not a partition.

Qmlativ answers only for now; a date partition would promise to fetch last Tuesday, and could not.
"""

import dagster as dg

DISTRICTS = dg.DynamicPartitionsDefinition(name="district")
"""Keys are district ids; `districts add` adds them, without a restart."""
