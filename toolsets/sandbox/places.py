"""What a sandboxed interpreter may read, and how it is started.

In: this interpreter. Out: folders and the command line. Neighbours: `client` starts the server with them.
The libraries of the system and of Python are readable, the rest of /usr is not: containers often keep the program that
uses us, and its secrets, in /usr/src.
"""

import os
import site
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from toolsets.sandbox.errors import SandboxError

_SYSTEM_LIBRARIES: Final = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/usr/share", "/lib", "/lib64")
_STORES: Final = ("/nix/store",)

_SPACES: Final = ("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try")
_SERVERS_CAPABILITIES: Final = ("CAP_SETUID", "CAP_SETGID", "CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH", "CAP_KILL")

# The packages are not imported by their own __init__, which would bring in half of the project: bare stand-ins with the
# right folders let the server's modules find each other by their usual names.
_BOOT: Final = """
import sys, types
for name, folder in (("toolsets", sys.argv[2]), ("toolsets.sandbox", sys.argv[2] + "/sandbox")):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [folder]
from toolsets.sandbox.server import main
main(int(sys.argv[1]))
"""


def readable_folders() -> list[str]:
    """Folders with the standard library, installed packages and shared libraries; real paths, each once."""
    paths = [*_SYSTEM_LIBRARIES, *_STORES, *_python_folders()]
    kept: list[str] = []
    for path in sorted({os.path.realpath(path) for path in paths if os.path.isdir(path)}):
        if not any(f"{path}/".startswith(f"{upper}/") for upper in kept):
            kept.append(path)
    return kept


def package_folders() -> list[str]:
    """Where installed packages lie: all that is added to the search path of the bare interpreter."""
    return [os.path.realpath(folder) for folder in site.getsitepackages()]


def command(control_fd: int, bubblewrap: str) -> list[str]:
    """The server's command line; inside bubblewrap where a path to it is given."""
    if not sys.executable:
        raise SandboxError("The sandbox needs a Python program to start: run it from a normal interpreter.")
    folder = str(Path(__file__).parents[1])
    # Isolated, without site (its .pth files run code), no bytecode written, UTF-8 whatever the empty environment says.
    python = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", _BOOT, str(control_fd), folder]
    return [*_wrapper(bubblewrap, folder), *python] if bubblewrap else python


def _wrapper(bubblewrap: str, folder: str) -> list[str]:
    binds: list[str] = []
    for path in sorted({*readable_folders(), os.path.join(folder, "sandbox"), *_interpreter_folders()}):
        binds += ["--ro-bind", path, path]
    for name in ("/lib", "/lib64", "/bin"):
        if os.path.islink(name):
            binds += ["--symlink", os.readlink(name), name]
    wrapper = [bubblewrap, *_SPACES, "--hostname", "sandbox", "--clearenv"]
    if os.geteuid() == 0:
        # In a user namespace root could not become another user. The server keeps what it needs for that and for
        # mounts, the child of a call gives it up.
        wrapper += [word for name in _SERVERS_CAPABILITIES for word in ("--cap-add", name)]
    else:
        wrapper.append("--unshare-user")
    return [*wrapper, *binds, "--proc", "/proc", "--dir", "/tmp", "--remount-ro", "/", "--chdir", "/", "--"]


def _python_folders() -> Iterable[str]:
    yield from _standard_folders()
    yield from package_folders()
    prefix = os.path.realpath(sys.base_prefix)
    if prefix not in ("/", "/usr", "/usr/local", os.path.realpath(Path.home())):
        yield os.path.join(prefix, "lib")


def _standard_folders() -> Iterable[str]:
    for name in ("stdlib", "platstdlib"):
        yield sysconfig.get_path(name, vars={"base": sys.base_prefix, "platbase": sys.base_prefix})


def _interpreter_folders() -> Iterable[str]:
    """Where the program lies: the link of a virtual environment, its configuration, and what it leads to."""
    executable = Path(sys.executable)
    yield str(executable.parent)
    yield str(executable.resolve().parent)
    if (configuration := executable.parent.parent / "pyvenv.cfg").exists():
        yield str(configuration)
