"""A sandbox Qmlativ: a server that conforms to the Custom API contract, with synthetic districts of any size.

Tests, the demo and the benchmarks talk to it over a real socket. Nobody in it exists. It imports no other
room, and no other room but the terminal imports it.
"""

from samegoal_pipelines.sandbox.command import SandboxError, run
from samegoal_pipelines.sandbox.district import SandboxDistrict
from samegoal_pipelines.sandbox.faults import Fault, Faults
from samegoal_pipelines.sandbox.sandbox import Sandbox
from samegoal_pipelines.sandbox.server import SandboxServer, serve

__all__ = ["Fault", "Faults", "Sandbox", "SandboxDistrict", "SandboxError", "SandboxServer", "run", "serve"]
