"""Do the rooms that Python finds stand in the same house as this file?

`memory` and `toolsets` are names that a person may well give to a file of their own, next to their notebook, where
Python looks first. In comes the folder that holds `workbench`, out goes nothing, or one sentence that names the file
in the way. Neighbour: `workbench/__init__.py` asks before anything else is imported. Nothing is imported here: a room
is looked up, not loaded.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

from workbench.errors import WorkbenchError

ROOMS = ("hogwild", "hogwild_kernels", "memory", "toolsets")


class ShadowedRoom(WorkbenchError, ImportError):
    """A file that is not ours bears the name of one of our rooms, or a room is not there at all."""


def check_rooms(home: Path | None = None) -> None:
    """Raises ShadowedRoom for the first room that Python would not take from `home`, the folder that holds us."""
    home = (home or Path(__file__).parent.parent).resolve()
    for room in ROOMS:
        found = locate(room)
        if found is None:
            raise ShadowedRoom(
                f"The package `{room}`, a part of the workbench, is missing from {home}: install agent-workbench again."
            )
        # A wheel puts all rooms side by side; a clone keeps hogwild_kernels in kernels/.
        if found.resolve() not in (home / room / "__init__.py", home / "kernels" / room / "__init__.py"):
            raise ShadowedRoom(
                f"{found} hides the workbench's own package `{room}`: rename it, or start Python in another folder."
            )


def locate(room: str) -> Path | None:
    """The file that `import room` gives, or has given already: the folder, where it is one without an __init__.py."""
    spec = _spec(room)
    if spec is None:
        return None
    if spec.origin is not None and spec.has_location:
        return Path(spec.origin)
    folders = list(spec.submodule_search_locations or ())
    return Path(folders[0]) if folders else None


def _spec(room: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(room)
    except ValueError:  # already imported, by something that leaves no spec: ask the module itself
        file = getattr(sys.modules[room], "__file__", None)
        return importlib.util.spec_from_file_location(room, file) if file else None
