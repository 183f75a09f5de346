"""`workbench doctor`: what this machine has, and whether what is kept on it is sound.

In: nothing. Out: a line for each fact, or, with `--json`, one object; nothing is changed. Neighbours: `cli`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from memory.errors import LibraryError
from memory.store import FILE_NAME, examine
from workbench.command_options import AsJson
from workbench.errors import LogError
from workbench.log import RunLog
from workbench.models import embedded_directory
from workbench.paths import data_dir, library_folder, log_path

_PACKAGES = ("agent-workbench", "torch", "transformers", "anywidget", "jupyterlab")
_OPTIONAL = {
    "mcp": "for tools of MCP servers, pip install agent-workbench[mcp]",
    "faiss-cpu": "for fast search in a large library, pip install agent-workbench[library]",
    "sentence-transformers": "for search by meaning, pip install agent-workbench[library]",
    "pandas": "for the tools of tables, pip install agent-workbench[tools]",
    "pint": "for the tools of units, pip install agent-workbench[tools]",
}


def doctor(as_json: AsJson = False) -> None:
    """Versions, device, memory, and what is missing."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    from hogwild_kernels.compiled import state

    found: dict[str, Any] = {"python": sys.version.split()[0]}
    for name in (*_PACKAGES, *_OPTIONAL):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    found["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {os.cpu_count()} cores"
    found["cpu_attention"] = state()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found["memory_gib"] = round(pages / 2**30, 1)
    found["embedded_model"] = (embedded_directory() / "model.safetensors").is_file()
    found["data_dir"] = str(data_dir())
    found["runs"] = _runs()
    found["library"] = _library()
    found |= _isolation()
    if as_json:
        print(json.dumps(found))
        return
    width = max(map(len, found))
    for name, value in found.items():
        missing = f"missing{f': {_OPTIONAL[name]}' if name in _OPTIONAL else ''}"
        print(f"{name:>{width}}  {missing if value is None or value is False else value}")


def _runs() -> int | str:
    """How many runs the log holds, or why it cannot hold any."""
    here = next(one for one in (data_dir().absolute(), *data_dir().absolute().parents) if one.exists())
    if not (here.is_dir() and os.access(here, os.W_OK | os.X_OK)):
        return f"{here} is no folder that can be written to: set WORKBENCH_DATA_DIR to another folder."
    try:
        return len(RunLog().runs()) if log_path().exists() else 0
    except LogError as error:
        return str(error)


def _library() -> str:
    """Whether the library can be read, all of it."""
    folder = library_folder()
    if not (folder / FILE_NAME).exists():
        return "none yet"
    try:
        return f"{examine(folder)} rows, sound"
    except LibraryError as error:
        return str(error)


def _isolation() -> dict[str, str]:
    """How tools whose code nobody vouches for are isolated here: not asked for, but tried."""
    from toolsets.sandbox import probe

    lines = (line.partition(": ") for line in probe().lines())
    return {name if name == "sandbox" else f"sandbox, {name}": text for name, _, text in lines}
