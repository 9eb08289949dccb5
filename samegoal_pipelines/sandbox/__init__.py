"""A sandbox Qmlativ: a server that conforms to the Custom API contract, with synthetic districts of any size.

Tests, the demo and the benchmarks talk to it over a real socket. Everyone in it is made up.

- ``district``: the objects, and a district's rows, settings and grants
- ``generate``, ``people``, ``enrollments``: synthetic districts, and what changes from night to night
- ``server``, ``listings``: the Custom API; ``faults``: for tests
"""

from samegoal_pipelines.sandbox.district import SandboxDistrict
from samegoal_pipelines.sandbox.faults import Fault, Faults
from samegoal_pipelines.sandbox.generate import Sandbox
from samegoal_pipelines.sandbox.server import SandboxServer, serve

__all__ = ["Fault", "Faults", "Sandbox", "SandboxDistrict", "SandboxServer", "serve"]
