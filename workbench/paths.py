"""Where the workbench keeps its data.

In: the environment. Out: paths; nothing is created here, whoever writes creates.
Neighbours: the run log and the library below, the command line and the session above.
"""

import os
from pathlib import Path

import platformdirs

DATA_DIR_VARIABLE = "WORKBENCH_DATA_DIR"


def data_dir() -> Path:
    """The folder of the run log and its locks: $WORKBENCH_DATA_DIR, else the platform's own place for user data."""
    chosen = os.environ.get(DATA_DIR_VARIABLE, "")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path(platformdirs.user_data_dir("workbench", appauthor=False))


def log_path(folder: Path | None = None) -> Path:
    """The run log's file in `folder`, by default in the data folder."""
    return (folder or data_dir()).absolute() / "runs.sqlite3"


def library_folder(folder: Path | None = None) -> Path:
    """Where the library of tools and concepts lies in `folder`, by default in the data folder."""
    return (folder or data_dir()).absolute() / "library"
