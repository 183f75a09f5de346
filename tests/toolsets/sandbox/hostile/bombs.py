"""Attempts to take more than the limits: memory, time, output. All of them are named in `Outcome.limits_hit`."""

import mmap
import os
import re
import signal
import sys
import time

OUT = "OUT"


def memory_at_once(target):
    return f"{OUT}: {len(bytearray(1 << 31))}"


def memory_bit_by_bit(target):
    kept = []
    while len(kept) < 4096:
        kept.append(bytearray(1 << 20))
    return OUT


def memory_of_small_things(target):
    kept = []
    while len(kept) < 1 << 26:
        kept.append([len(kept)])
    return OUT


def memory_that_survives_errors(target):
    kept = []
    for _ in range(4096):
        try:
            kept.append(b"x" * (1 << 22))
        except MemoryError:
            continue
    return f"{OUT}: {len(kept) << 22}" if len(kept) << 22 > target["max_memory"] else len(kept) << 22


def memory_by_mapping(target):
    kept = []
    while len(kept) < 4096:
        kept.append(mmap.mmap(-1, 1 << 20))
    return OUT


def memory_by_shared_mapping(target):
    return f"{OUT}: {len(mmap.mmap(-1, 1 << 31, flags=mmap.MAP_SHARED))}"


def text_that_doubles(target):
    text = "x"
    while len(text) < 1 << 31:
        text += text
    return OUT


def disk(target):
    with open(f"/tmp/{target['marker']}", "wb") as file:
        while file.tell() < 1 << 26:
            file.write(b"x" * (1 << 20))
    return OUT


def endless_loop(target):
    while True:
        pass


def endless_loop_in_c(target):
    return OUT + str(sum(iter(int, 1)))


def endless_match(target):
    return f"{OUT}: {re.match('(a+)+$', 'a' * 60 + 'b')}"


def endless_power(target):
    return f"{OUT}: {len(str(7 ** (7**11)))}"


def endless_sleep(target):
    time.sleep(1e6)
    return OUT


def endless_loop_that_ignores_signals(target):
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            continue
    while True:
        try:
            time.sleep(0)
        except BaseException:
            continue


def endless_wait_for_itself(target):
    os.kill(os.getpid(), signal.SIGSTOP)
    return OUT


def endless_result(target):
    class Endless(dict):
        def items(self):
            while True:
                yield "x", 1

    return Endless(x=1)


def endless_error(target):
    class Endless(Exception):
        def __str__(self):
            while True:
                pass

    raise Endless


def endless_goodbye(target):
    class Endless:
        def write(self, text):
            return None

        def flush(self):
            while True:
                pass

    sys.stdout = Endless()
    return "a value that never arrives"


def huge_output(target):
    for _ in range(1 << 12):
        os.write(1, b"x" * (1 << 16))
    return "done"


def huge_error_output(target):
    sys.stderr.write("x" * (1 << 24))
    return "done"


def huge_result(target):
    return "x" * (1 << 22)


def huge_result_by_sharing(target):
    """Little memory here, 10**50 items as JSON."""
    value = []
    for _ in range(50):
        value = [value] * 10
    return value


def huge_error(target):
    raise ValueError("x" * (1 << 22))


def deep_recursion(target):
    sys.setrecursionlimit(1 << 30)

    def deeper():
        return repr(deeper())

    return deeper()
