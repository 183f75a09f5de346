"""Where an engine lies: one for each data folder and model.

In: a data folder and a model's name. Out: paths, and what the engine has written about itself. The lock dies with its
process, so a stale one cannot be; the socket lies in a folder of its owner's (a socket's path may have only 107
characters), the secret beside the run log. Neighbours: `service` takes a place, `client` looks into it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import EngineError
from workbench.paths import data_dir
from workbench.runlock import is_held


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one engine."""

    folder: Path
    model: str

    @property
    def name(self) -> str:
        return hashlib.sha256(self.model.encode(errors="surrogatepass")).hexdigest()[:12]

    @property
    def lock(self) -> Path:
        return self.folder / f"{self.name}.lock"

    @property
    def info(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def output(self) -> Path:
        """What the process says beside the log; looked into when it does not start."""
        return self.folder / f"{self.name}.out"

    @property
    def socket(self) -> Path:
        where = hashlib.sha256(str(self.lock.absolute()).encode(errors="surrogatepass")).hexdigest()[:20]
        return _own_folder() / f"{where}.sock"

    def is_held(self) -> bool:
        """Whether the engine's process lives."""
        return is_held(self.lock)

    def read(self) -> dict[str, Any] | None:
        """pid, secret, socket, since, as the engine wrote them; None where it did not, or took them back."""
        try:
            found = json.loads(self.info.read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write(self, info: dict[str, Any]) -> None:
        """For the owner's eyes only, and whole or not at all."""
        part = self.info.with_suffix(f".{os.getpid()}")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(info, file)
        part.replace(self.info)

    def clear(self) -> None:
        self.info.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)


def place_of(model: str, data: Path | None = None) -> Place:
    return Place((data or data_dir()) / "engines", model)


def models_at(data: Path | None = None) -> list[str]:
    """The models whose engines have left a note in this data folder."""
    found = []
    for note in sorted(((data or data_dir()) / "engines").glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found.append(str(json.loads(note.read_text())["model"]))
    return found


def _own_folder() -> Path:
    """A folder for sockets that nobody else can look into; raises EngineError where somebody else has taken it."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"agent-workbench-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise EngineError(f"{folder} must be a folder that only you can open: remove it, and try again.")
    return folder
