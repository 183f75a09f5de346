"""The sandbox: runs code that nobody vouches for, in a process that can compute and nothing else.

A call's way: `Sandbox.call` -> `exchange` -> the fork server (`server`), which forks -> `lockdown` -> `tool_process`
-> `answers` -> `Outcome`. `probe` says how well this machine isolates. POSIX only; isolation needs Linux.
"""

from toolsets.sandbox.errors import IsolationError, SandboxError
from toolsets.sandbox.isolation import Isolation
from toolsets.sandbox.limits import Limits
from toolsets.sandbox.outcome import Fault, Outcome
from toolsets.sandbox.probe import probe
from toolsets.sandbox.sandbox import Sandbox

__all__ = ["Fault", "Isolation", "IsolationError", "Limits", "Outcome", "Sandbox", "SandboxError", "probe"]
