"""Which mechanisms a sandbox uses: a plain value that travels to the fork server.

In: what `examine` found to work on this machine. Out: `Mechanisms`, read by `lockdown` inside and by
`isolation` outside. Standard library only.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, TypeAlias

OwnCount: TypeAlias = Literal["uid", "namespace", ""]
"""How a call gets a count of threads of its own: an unused user id (as root), a user namespace, or not at all."""


@dataclass(frozen=True, slots=True)
class Mechanisms:
    """landlock: its version, 0 for none. namespaces: network, mounts, host name and System V objects of its own.
    first_uid: calls run as this user id and those after it, where own_count is "uid". keep_reading: such a user may
    read what only root may read, because Python itself lies there. scratch: a tmpfs can be mounted. bubblewrap: the
    program's path. Everything off is a process with limits, and no sandbox."""

    landlock: int = 0
    seccomp: bool = False
    namespaces: bool = False
    own_count: OwnCount = ""
    first_uid: int = 0
    keep_reading: bool = False
    scratch: bool = False
    bubblewrap: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Mechanisms":
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})

    def __str__(self) -> str:
        parts = [
            "bubblewrap" if self.bubblewrap else "",
            f"Landlock {self.landlock}" if self.landlock else "",
            "seccomp" if self.seccomp else "",
            "namespaces" if self.namespaces else "",
            {"uid": "own user id", "namespace": "own user namespace", "": ""}[self.own_count],
        ]
        return " + ".join(part for part in parts if part) or "process limits only"


PLAIN_PROCESS: Final = Mechanisms()
"""Process limits and nothing else."""
