"""How much memory a process may still take, as far as the system tells.

In: what Linux tells of the machine and of the process's control groups, the limits of a container. Out: bytes. Above:
`packed.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

FILES = {"": ("memory.max", "memory.current"), "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes")}
"""By the controllers that `/proc/self/cgroup` names: version 2 has one hierarchy, version 1 has this one for memory."""


def free_bytes(root: Path = Path("/")) -> float:
    """Memory that could be taken before the machine or one of the groups of this process has none left."""
    machine = re.search(r"MemAvailable:\s+(\d+) kB", _text(root / "proc/meminfo"))
    return min([1024 * int(machine[1]) if machine else math.inf, *_left_in_groups(root)])


def _left_in_groups(root: Path) -> Iterator[float]:
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers not in FILES:
            continue
        top = root / "sys/fs/cgroup" / controllers
        # In a container the group may be named as the machine sees it; then its files lie at the top.
        for folder in {top, *(top / part for part in _with_parents(group))}:
            limit, used = (_text(folder / name).strip() for name in FILES[controllers])
            if limit.isdigit() and used.isdigit():
                files = re.search(r"^(?:total_)?inactive_file (\d+)$", _text(folder / "memory.stat"), re.M)
                yield int(limit) - int(used) + (int(files[1]) if files else 0)


def _with_parents(group: str) -> Iterator[str]:
    parts = group.strip("/").split("/")
    return ("/".join(parts[: end + 1]) for end in range(len(parts)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
