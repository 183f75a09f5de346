"""Attempts to start processes, to outlive the call, and to disturb other processes."""

import ctypes
import fcntl
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

OUT = "OUT"


def _libc():
    return ctypes.CDLL(None, use_errno=True)


def fork(target):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return f"{OUT}: {pid}"


def fork_bomb(target):
    born = 0
    for _ in range(1000):
        try:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            born += 1
        except OSError:
            break
    return f"{OUT}: {born}" if born else "refused"


def fork_by_number(target):
    """clone3, whose arguments seccomp cannot read."""
    arguments = (ctypes.c_uint64 * 11)()
    arguments[4] = signal.SIGCHLD
    pid = _libc().syscall(435, arguments, 88)
    if pid == 0:
        os._exit(0)
    return f"{OUT}: {pid}" if pid > 0 else "refused"


def run_command(target):
    return OUT + subprocess.run(["/bin/echo", "out"], capture_output=True, text=True).stdout


def run_shell(target):
    status = os.system(f"echo out > {target['open_folder']}/{target['marker']}")
    return OUT if status == 0 else "refused"


def spawn(target):
    return f"{OUT}: {os.posix_spawn('/bin/true', ['true'], {})}"


def become_another_program(target):
    os.execv(sys.executable, [sys.executable, "-c", f"open({target['open_folder'] + '/' + target['marker']!r}, 'w')"])


def become_a_shell(target):
    os.execv("/bin/sh", ["sh", "-c", f"echo out > {target['open_folder']}/{target['marker']}"])


def multiprocessing_pool(target):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return f"{OUT}: {pool.map(abs, [-1])}"


def daemon(target):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)
        os._exit(0)
    return OUT


def new_session(target):
    os.setsid()
    return OUT


def outlive_by_threads(target):
    """A thread that is no daemon, and an exit handler: neither may keep the process."""
    import atexit

    atexit.register(time.sleep, 60)
    threading.Thread(target=time.sleep, args=(60,)).start()
    return "started"


def thread_bomb(target):
    threads = []
    try:
        while len(threads) < 200:
            thread = threading.Thread(target=time.sleep, args=(60,), daemon=True)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        pass
    return f"{OUT}: {len(threads)}" if len(threads) > target["max_threads"] else len(threads)


def signal_parent(target):
    os.kill(target["pid"], signal.SIGUSR1)
    return OUT


def signal_server(target):
    os.kill(os.getppid(), signal.SIGKILL)
    return OUT


def signal_bystander(target):
    os.kill(target["bystander"], signal.SIGKILL)
    return OUT


def signal_everybody(target):
    os.kill(-1, signal.SIGUSR1)
    return OUT


def signal_groups(target):
    os.killpg(os.getpgid(target["bystander"]), signal.SIGKILL)
    return OUT


def signal_a_thread_of_the_parent(target):
    c = _libc()
    answers = [c.syscall(number, target["pid"], signal.SIGUSR1) for number in (200, 130)]
    answers.append(c.tgkill(target["pid"], target["pid"], signal.SIGUSR1))
    return OUT if 0 in answers else "refused"


def signal_by_descriptor(target):
    signal.pidfd_send_signal(os.pidfd_open(target["pid"]), signal.SIGUSR1)
    return OUT


def signal_by_descriptor_by_number(target):
    c = _libc()
    descriptor = c.syscall(434, target["pid"], 0)
    return OUT if descriptor >= 0 and c.syscall(424, descriptor, signal.SIGUSR1, None, 0) == 0 else "refused"


def signal_with_a_value(target):
    value = ctypes.c_void_p(0)
    return OUT if _libc().sigqueue(target["pid"], signal.SIGUSR1, value) == 0 else "refused"


def signal_by_owning_a_descriptor(target):
    """The kernel sends the signal when data arrives: kill() is never called."""
    one, other = socket.socketpair()
    fcntl.fcntl(one, fcntl.F_SETOWN, target["pid"])
    fcntl.fcntl(one, 10, signal.SIGUSR1)  # F_SETSIG
    fcntl.fcntl(one, fcntl.F_SETFL, fcntl.fcntl(one, fcntl.F_GETFL) | os.O_ASYNC)
    other.send(b"x")
    return OUT


def trace_parent(target):
    return OUT if _libc().ptrace(16, target["pid"], None, None) == 0 else "refused"  # PTRACE_ATTACH


def be_traced(target):
    return OUT if _libc().ptrace(0, 0, None, None) == 0 else "refused"


def read_memory_of_parent(target):
    local = ctypes.create_string_buffer(64)
    here = (ctypes.c_void_p * 2)(ctypes.addressof(local), 64)
    there = (ctypes.c_void_p * 2)(target["address"], 64)
    c = _libc()
    c.process_vm_readv.restype = ctypes.c_ssize_t
    one, none = ctypes.c_ulong(1), ctypes.c_ulong(0)
    return OUT + repr(local.raw) if c.process_vm_readv(target["pid"], here, one, there, one, none) > 0 else "refused"


def write_memory_of_server(target):
    local = ctypes.create_string_buffer(b"out")
    here = (ctypes.c_void_p * 2)(ctypes.addressof(local), 1)
    c = _libc()
    c.process_vm_writev.restype = ctypes.c_ssize_t
    one, none = ctypes.c_ulong(1), ctypes.c_ulong(0)
    return OUT if c.process_vm_writev(os.getppid(), here, one, here, one, none) > 0 else "refused"


def take_a_descriptor_of_the_parent(target):
    c = _libc()
    descriptor = c.syscall(434, target["pid"], 0)
    return OUT if descriptor >= 0 and c.syscall(438, descriptor, 0, 0) >= 0 else "refused"


def limit_the_bystander(target):
    resource.prlimit(target["bystander"], resource.RLIMIT_CPU, (1, 1))
    return OUT


def lift_own_limits(target):
    for which in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE):
        resource.setrlimit(which, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return OUT


def slow_the_bystander(target):
    os.setpriority(os.PRIO_PROCESS, target["bystander"], 19)
    return OUT


def bind_the_bystander_to_a_processor(target):
    os.sched_setaffinity(target["bystander"], {0})
    return OUT


def regain_the_user(target):
    os.setresuid(0, 0, 0)
    return OUT if os.path.exists("/root") and os.access("/root", os.W_OK) else "nothing gained"
