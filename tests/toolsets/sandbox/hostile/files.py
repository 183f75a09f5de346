"""Attempts to read, link, write and change files. What is read is returned after OUT."""

import ctypes
import glob
import mmap
import os
import shutil
import socket
import sqlite3
import tempfile

OUT = "OUT"


def _read(path):
    with open(path, "rb") as file:
        return f"{OUT}: {file.read(4096)!r}"


def read_secret(target):
    return _read(target["secret"])


def read_password_file(target):
    return _read("/etc/passwd")


def read_shadow_file(target):
    return _read("/etc/shadow")


def read_resolver(target):
    return _read("/etc/resolv.conf")


def list_home(target):
    return f"{OUT}: {os.listdir(target['home'])}"


def list_root(target):
    return f"{OUT}: {os.listdir('/')}"


def read_repository(target):
    return _read(os.path.join(target["repository"], "pyproject.toml"))


def walk_everywhere(target):
    roots = ("/home", "/root", "/tmp", "/var", "/run", "/opt", "/etc", "/proc", "/sys", "/dev")
    found = [path for root in roots for path in glob.glob(f"{root}/*")]
    return f"{OUT}: {found}" if found else "nothing"


def read_secret_beneath_a_readable_folder(target):
    return _read(f"/usr/lib/../..{target['secret']}")


def read_secret_by_its_directory(target):
    directory = os.open(os.path.dirname(target["secret"]), os.O_PATH)
    return OUT + os.read(os.open(os.path.basename(target["secret"]), os.O_RDONLY, dir_fd=directory), 99).decode()


def read_secret_through_an_o_path_descriptor(target):
    descriptor = os.open(target["secret"], os.O_PATH)
    return _read(f"/proc/self/fd/{descriptor}")


def read_secret_through_proc_root(target):
    return _read(f"/proc/self/root{target['secret']}")


def read_secret_through_parents_root(target):
    return _read(f"/proc/{target['pid']}/root{target['secret']}")


def map_secret(target):
    with open(target["secret"], "rb") as file:
        return OUT + mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:].decode()


def read_secret_as_a_module(target):
    import runpy

    return f"{OUT}: {runpy.run_path(target['secret'])}"


def read_secret_as_a_shared_library(target):
    try:
        ctypes.CDLL(target["secret"])
    except OSError as error:
        return f"{OUT}: {error}" if "ELF" in str(error) or "short" in str(error) else "refused"
    return OUT


def read_secret_by_sqlite(target):
    address = f"file:{target['secret']}?mode=ro"
    return f"{OUT}: {sqlite3.connect(address, uri=True).execute('select * from x')}"


def read_environment_of_parent(target):
    return _read(f"/proc/{target['pid']}/environ")


def read_environment_of_bystander(target):
    return _read(f"/proc/{target['bystander']}/environ")


def read_environment_of_server(target):
    return _read(f"/proc/{os.getppid()}/environ")


def read_memory_of_parent(target):
    with open(f"/proc/{target['pid']}/mem", "rb", buffering=0) as memory:
        memory.seek(target["address"])
        return f"{OUT}: {memory.read(64)!r}"


def read_command_lines(target):
    return f"{OUT}: {[_read(path) for path in glob.glob('/proc/[0-9]*/cmdline')] or 1 / 0}"


def read_descriptors_of_parent(target):
    descriptors = f"/proc/{target['pid']}/fd"
    return f"{OUT}: {os.listdir(descriptors)}"


def follow_links_of_parent(target):
    link = f"/proc/{target['pid']}/cwd"
    return f"{OUT}: {os.readlink(link)}"


def read_disk(target):
    devices = ("/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/mem", "/dev/kmsg")
    return next(_read(path) for path in devices if os.path.exists(path))


def read_by_handle(target):
    c = ctypes.CDLL(None)
    handle = ctypes.create_string_buffer(b"\x80\0\0\0", 8 + 128)
    made = c.name_to_handle_at(-100, target["secret"].encode(), handle, ctypes.byref(ctypes.c_int()), 0)
    return OUT if made == 0 else "refused"


def link_secret(target):
    os.link(target["secret"], f"{target['folder']}/{target['marker']}")
    return OUT


def symlink_to_secret(target):
    os.symlink(target["secret"], f"{target['folder']}/{target['marker']}")
    return OUT


def write_file(target):
    with open(f"{target['open_folder']}/{target['marker']}", "w") as file:
        file.write("out")
    return OUT


def write_file_by_ctypes(target):
    c = ctypes.CDLL(None)
    descriptor = c.open(f"{target['open_folder']}/{target['marker']}".encode(), os.O_CREAT | os.O_WRONLY, 0o666)
    return OUT if descriptor >= 0 else "refused"


def write_wherever_it_works(target):
    places = [
        "/tmp",
        "/var/tmp",
        "/dev/shm",
        "/run",
        "/",
        "/usr/lib",
        target["home"],
        target["repository"],
        os.getcwd(),
    ]
    for place in places:
        try:
            with open(os.path.join(place, target["marker"]), "w") as file:
                file.write("out")
            return f"{OUT}: {place}"
        except OSError:
            continue
    return "nowhere"


def write_temporary_file(target):
    with tempfile.NamedTemporaryFile() as file:
        return f"{OUT}: {file.name}"


def write_unnamed_file(target):
    return f"{OUT}: {os.open(target['open_folder'], os.O_TMPFILE | os.O_RDWR)}"


def append_to_file(target):
    with open(target["open_file"], "a") as file:
        file.write("out")
    return OUT


def truncate_file_by_name(target):
    os.truncate(target["open_file"], 0)
    return OUT


def truncate_while_opening_to_read(target):
    return f"{OUT}: {os.open(target['open_file'], os.O_RDONLY | os.O_TRUNC)}"


def change_mode(target):
    os.chmod(target["secret"], 0o777)
    return OUT


def change_mode_by_number(target):
    """fchmodat2, which filters of before Linux 6.6 have never heard of."""
    answer = ctypes.CDLL(None).syscall(452, -100, target["open_file"].encode(), 0o777, 0)
    return OUT if answer == 0 else "refused"


def change_times(target):
    os.utime(target["open_file"], (0, 0))
    return OUT


def change_attributes(target):
    os.setxattr(target["open_file"], "user.out", b"out")
    return OUT


def rename_file(target):
    os.rename(target["open_file"], f"{target['open_folder']}/{target['marker']}")
    return OUT


def delete_file(target):
    os.unlink(target["open_file"])
    return OUT


def delete_tree(target):
    shutil.rmtree(target["open_folder"])
    return OUT


def make_directory(target):
    os.mkdir(f"{target['open_folder']}/{target['marker']}")
    return OUT


def make_pipe(target):
    os.mkfifo(f"{target['open_folder']}/{target['marker']}")
    return OUT


def make_device(target):
    os.mknod(f"{target['open_folder']}/{target['marker']}", 0o20666, os.makedev(1, 3))
    return OUT


def bind_socket_file(target):
    socket.socket(socket.AF_UNIX).bind(f"{target['open_folder']}/{target['marker']}")
    return OUT


def write_bytecode_next_to_the_library(target):
    import json

    with open(f"{os.path.dirname(json.__file__)}/{target['marker']}", "w") as file:
        file.write("out")
    return OUT


def host_name(target):
    """Where mounts and names are its own, the machine's name is not shown."""
    return f"{OUT}: {os.uname().nodename}" if os.uname().nodename == target["host"] else "hidden"
