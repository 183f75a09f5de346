"""What a sandboxed call gives back: values, faults with their line, output, limits by name."""

import doctest
import importlib
import json
import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolsets import ArgumentError
from toolsets.sandbox import Isolation, Limits, Sandbox, SandboxError
from toolsets.sandbox.answers import read_answer
from toolsets.sandbox.exchange import Raw
from toolsets.sandbox.isolation import PROCESS_ONLY
from toolsets.sandbox.values import MAX_DEPTH, NotPlain, plain, read_json

TOOL = "def tool(x=None):\n"


def body(line: str) -> str:
    return f"{TOOL}    {line}\n"


@pytest.mark.parametrize(
    "value", [None, True, 0, -1.5, 10**3000, "", "ä\n\0\u2028𝄞", [], {}, [1, [2, {"a": [None]}]], {"a": {"b": "$15"}}]
)
def test_a_json_value_goes_in_and_comes_back(sandbox: Sandbox, value: Any) -> None:
    outcome = sandbox.call_sync(body("return x"), "tool", {"x": value})
    assert (outcome.value, outcome.error, outcome.limits_hit) == (value, None, ())
    assert outcome.succeeded
    assert outcome.isolation.isolated


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("return float('nan')", "The result is nan, which JSON cannot say"),
        ("return [1.0, -1e999]", "The result[1] is -inf, which JSON cannot say"),
        ("return 7 ** 10_000", "The result is an integer of more than 4,000 digits"),
        ("x = []; x.append(x); return x", "nested deeper than 100 levels, or contains itself"),
        ("x = {}; x['x'] = x; return x", "nested deeper than 100 levels, or contains itself"),
        ("return {(1, 2): 3}", "The result has a key of type tuple: use texts as keys."),
        ("return {'a': [object()]}", "The result['a'][0] is of type object, which is no JSON value"),
        ("return {1, b'x'}", "The result[1] is of type bytes"),
        ("return b'x'", "The result is of type bytes"),
        ("return tool", "The result is of type function"),
        ("return (i for i in range(3))", "The result is of type generator"),
        ("return [[0] * 1000] * 2000", "The result holds more than 1,000,000 values: return less."),
    ],
)
def test_what_is_no_json_value_is_refused_with_its_place(sandbox: Sandbox, line: str, message: str) -> None:
    outcome = sandbox.call_sync(body(line), "tool", {})
    assert outcome.error is not None
    assert (outcome.value, outcome.error.kind) == (None, "result")
    assert message in outcome.error.message


def test_near_relatives_of_json_values_become_them(sandbox: Sandbox) -> None:
    source = """
import collections, datetime, decimal, enum, fractions
from dataclasses import dataclass

@dataclass
class Row:
    day: datetime.date

class Colour(enum.IntEnum):
    RED = 1

Point = collections.namedtuple("Point", "x y")

def tool():
    numbers = [decimal.Decimal("2.50"), fractions.Fraction(6, 3)]
    relatives = [{10, 9}, {"b", 1}, Row(datetime.date(2024, 2, 29)), {1: 2.0}, *numbers]
    return [Colour.RED, Point(1, 2.0), collections.OrderedDict(a=1), "half \\ud800", *relatives]
"""
    relatives = [[9, 10], ["b", 1], {"day": "2024-02-29"}, {"1": 2.0}, 2.5, 2]
    assert sandbox.call_sync(source, "tool", {}).value == [1, [1, 2.0], {"a": 1}, "half \ufffd", *relatives]


def test_arrays_and_tables_are_told_as_lists_and_records() -> None:
    table = pd.DataFrame({"n": [1, 2], "day": pd.to_datetime(["2024-02-29", "2024-03-01"])})
    assert plain([table["n"].sum(), np.arange(2), table]) == [
        3,
        [0, 1],
        [{"n": 1, "day": "2024-02-29T00:00:00"}, {"n": 2, "day": "2024-03-01T00:00:00"}],
    ]


def test_an_error_is_told_with_the_line_of_the_tools_own_source(sandbox: Sandbox) -> None:
    source = "import json\n\ndef helper(x):\n    return json.loads(x)\n\ndef tool(x):\n    return helper(x)\n"
    fault = sandbox.call_sync(source, "tool", {"x": "{"}).error
    assert fault is not None
    assert (fault.kind, fault.type, fault.line, fault.source_line) == (
        "error",
        "JSONDecodeError",
        4,
        "return json.loads(x)",
    )
    assert str(fault).endswith("(line 4: return json.loads(x))")


@pytest.mark.parametrize(
    ("source", "arguments", "kind", "line", "message"),
    [
        (body("return 1 / 0"), {}, "ZeroDivisionError", 2, "division by zero"),
        ("x = 1\ny = = 2\n", {}, "SyntaxError", 2, "invalid syntax"),
        ("x = 1\n\nraise ValueError('at import')\n", {}, "ValueError", 3, "at import"),
        ("def other(): pass\n", {}, "NameError", None, "The code defines no function 'tool'."),
        ("tool = 3\n", {}, "NameError", None, "The code defines no function 'tool'."),
        (body("return x"), {"y": 1}, "TypeError", None, "unexpected keyword argument 'y'"),
        (body("import no_such_module"), {}, "ModuleNotFoundError", 2, "No module named 'no_such_module'"),
        (body("return tool()"), {}, "RecursionError", 2, "maximum recursion depth exceeded"),
        (body("raise SystemExit(3)"), {}, "SystemExit", 2, "3"),
        (body("raise Exception('\\ud800' + 'x' * 5000)"), {}, "Exception", 2, "\ufffdxxx"),
        ("\0", {}, "ValueError", None, "source code string cannot contain null bytes"),
    ],
)
def test_an_error_is_data(
    sandbox: Sandbox, source: str, arguments: dict[str, Any], kind: str, line: int | None, message: str
) -> None:
    fault = sandbox.call_sync(source, "tool", arguments).error
    assert fault is not None
    assert (fault.kind, fault.line) == ("error", line)
    # A null byte is a SyntaxError from Python 3.12 on.
    assert fault.type in (kind, "SyntaxError")
    assert message in fault.message
    assert len(fault.message) <= 2000


def test_an_ended_process_is_told_with_how_it_ended(sandbox: Sandbox) -> None:
    for line, words in (
        ("import os; os._exit(3)", "The code ended its process without a result (exit status 3)."),
        ("import os; os.kill(os.getpid(), 9)", "The code's process was ended by SIGKILL without a result."),
    ):
        fault = sandbox.call_sync(body(line), "tool", {}).error
        assert fault is not None
        assert (fault.kind, fault.message) == ("ended", words)


def test_a_failed_set_up_can_be_claimed_but_no_more_than_that(sandbox: Sandbox) -> None:
    fault = sandbox.call_sync(body("import os; os._exit(125)"), "tool", {}).error
    assert fault is not None
    assert fault.kind == "lost"


def test_everything_printed_is_kept_in_order_even_when_time_runs_out(sandbox: Sandbox) -> None:
    source = """
import os, sys

def tool():
    print("one")
    print("two", file=sys.stderr, flush=True)
    os.write(1, b"three \\xff\\n")
    while True:
        pass
"""
    outcome = sandbox.call_sync(source, "tool", {}, limits=Limits(time_s=0.5))
    assert outcome.stdout == "one\ntwo\nthree \ufffd\n"
    assert outcome.limits_hit == ("time limit of 0.5 s",)
    assert outcome.error is not None
    assert str(outcome.error) == "The code was stopped at its time limit of 0.5 s."


def test_output_beyond_its_limit_is_cut_and_costs_no_result(sandbox: Sandbox) -> None:
    limits = Limits(output_kb=1)
    outcome = sandbox.call_sync(body("print('x' * 5000); return 7"), "tool", {}, limits=limits)
    assert (outcome.value, outcome.stdout, outcome.limits_hit) == (7, "x" * 1024, ("output limit of 1 KB",))
    assert sandbox.call_sync(body("print('x' * 1023)"), "tool", {}, limits=limits).limits_hit == ()


def test_a_result_may_fill_its_limit_and_not_exceed_it(sandbox: Sandbox) -> None:
    limits = Limits(result_kb=1)
    room = 1024 - len('{"value": ""}')
    for length, fits in ((room, True), (room + 1, False)):
        outcome = sandbox.call_sync(body(f"return 'x' * {length}"), "tool", {}, limits=limits)
        assert outcome.succeeded == fits
        assert outcome.limits_hit == (() if fits else ("result limit of 1 KB",))


def test_memory_is_counted_on_top_of_the_interpreter(sandbox: Sandbox) -> None:
    source = body("return len(bytearray(x << 20))")
    limits = Limits(memory_mb=64)
    assert sandbox.call_sync(source, "tool", {"x": 48}, limits=limits).value == 48 << 20
    outcome = sandbox.call_sync(source, "tool", {"x": 64}, limits=limits)
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.line) == ("limit", 2)
    assert outcome.limits_hit == ("memory limit of 64 MB",)


def test_threads_run_up_to_their_number(sandbox: Sandbox) -> None:
    if not sandbox.isolation.mechanisms.own_count:
        pytest.skip("threads cannot be counted here, so none are allowed")
    source = """
import threading

def tool(number):
    barrier = threading.Barrier(number + 1)
    threads = [threading.Thread(target=barrier.wait) for _ in range(number)]
    for thread in threads:
        thread.start()
    barrier.wait()
    for thread in threads:
        thread.join()
    return number
"""
    assert sandbox.call_sync(source, "tool", {"number": 3}, limits=Limits(threads=3)).value == 3
    outcome = sandbox.call_sync(source, "tool", {"number": 4}, limits=Limits(threads=3))
    assert outcome.limits_hit == ("limit of 3 threads",)
    outcome = sandbox.call_sync(source, "tool", {"number": 1}, limits=Limits(threads=0))
    assert outcome.limits_hit == ("limit of 0 threads",)


def test_asyncio_and_installed_packages_work_inside(sandbox: Sandbox) -> None:
    source = """
import asyncio, decimal, json, re, sqlite3, statistics, zoneinfo

async def later():
    await asyncio.sleep(0)
    return statistics.mean([1, 2, 3])

def tool():
    rows = sqlite3.connect(":memory:").execute("select 1 + 1").fetchall()
    import numpy
    return [asyncio.run(later()), rows[0][0], str(decimal.Decimal("0.1") * 3), int(numpy.ones(3).sum())]
"""
    outcome = sandbox.call_sync(source, "tool", {}, limits=Limits(time_s=20))
    assert outcome.value == [2, 2, "0.3", 3], outcome


def test_a_scratch_directory_is_empty_sized_and_gone_afterwards(sandbox: Sandbox) -> None:
    if not sandbox.isolation.mechanisms.scratch:
        pytest.skip("no scratch directory can be mounted here")
    source = """
import os, shutil, tempfile

def tool(size):
    before = os.listdir()
    with open("file", "wb") as file:
        file.write(b"x" * size)
    os.mkdir("folder")
    os.rename("file", "folder/moved")
    with tempfile.TemporaryDirectory() as folder:
        beneath = folder.startswith(os.getcwd())
    return [before, os.path.getsize("folder/moved"), beneath]
"""
    limits = Limits(scratch_mb=1)
    for _ in range(2):
        assert sandbox.call_sync(source, "tool", {"size": 1 << 19}, limits=limits).value == [[], 1 << 19, True]
    full = sandbox.call_sync(source, "tool", {"size": 1 << 21}, limits=limits).error
    assert full is not None
    assert full.type == "OSError"
    many = "def tool():\n    for i in range(10 ** 6):\n        open(str(i), 'w').close()\n"
    bomb = sandbox.call_sync(many, "tool", {}, limits=limits).error
    assert bomb is not None
    assert "No space left" in bomb.message


def test_a_scratch_directory_opens_no_other_place(sandbox: Sandbox, world) -> None:
    if not sandbox.isolation.mechanisms.scratch:
        pytest.skip("no scratch directory can be mounted here")
    limits = Limits(scratch_mb=1)
    source = """
import os

def tool(target):
    got_out = []
    for name, attempt in {
        "write": lambda: open(target["open_file"], "w"),
        "link": lambda: os.link(target["secret"], "link"),
        "rename": lambda: os.rename(target["open_file"], "moved"),
        "truncate": lambda: os.truncate(target["open_file"], 0),
        "mode": lambda: os.chmod(target["open_file"], 0o600),
        "read": lambda: open(target["secret"]).read(),
        "device": lambda: os.mknod("null", 0o20666, os.makedev(1, 3)),
        "socket": lambda: __import__("socket").socket(),
    }.items():
        try:
            attempt()
            got_out.append(name)
        except OSError:
            pass
    return got_out
"""
    world.renew()
    outcome = sandbox.call_sync(source, "tool", {"target": world.target}, limits=limits)
    assert world.breaches(outcome) == []
    assert outcome.value == []


def test_the_examples_in_the_documentation_run(isolation: Isolation) -> None:
    for module in ("toolsets.sandbox.values", "toolsets.sandbox.sandbox"):
        failed, tried = doctest.testmod(importlib.import_module(module))
        assert (failed, tried > 0) == (0, True)


@pytest.mark.parametrize("arguments", [{"x": float("nan")}, {"x": object()}, {"x": {1, 2}}])
def test_arguments_must_be_json(sandbox: Sandbox, arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="cannot be written as JSON"):
        sandbox.call_sync(TOOL, "tool", arguments)


def test_a_large_request_passes_and_a_huge_one_is_refused(sandbox: Sandbox) -> None:
    assert sandbox.call_sync(body("return len(x)"), "tool", {"x": "x" * (4 << 20)}).value == 4 << 20
    with pytest.raises(ArgumentError, match="larger than 64 MB"):
        sandbox.call_sync(body("return len(x)"), "tool", {"x": "x" * (65 << 20)})


@pytest.mark.parametrize(
    "values", [{"time_s": 0}, {"time_s": float("nan")}, {"memory_mb": 1}, {"threads": -1}, {"output_kb": 1.5}]
)
def test_senseless_limits_are_refused_by_name(values: dict[str, Any]) -> None:
    (name,) = values
    with pytest.raises(SandboxError, match=name):
        Limits(**values)


def test_every_limit_has_a_name() -> None:
    limits = replace(Limits(), time_s=2.5)
    assert [limits.named(limit) for limit in ("time", "cpu", "memory", "threads", "output", "result")] == [
        "time limit of 2.5 s",
        "CPU time limit of 4 s",
        "memory limit of 256 MB",
        "limit of 8 threads",
        "output limit of 64 KB",
        "result limit of 1024 KB",
    ]


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ({"code": -signal.SIGXCPU, "cpu_s": 6.0}, "limit", "CPU time limit of 6 s"),
        ({"code": -signal.SIGKILL, "cpu_s": 6.5}, "limit", "CPU time limit of 6 s"),
        ({"code": -signal.SIGKILL, "cpu_s": 1.0}, "ended", "SIGKILL"),
        ({"code": -70, "cpu_s": 1.0}, "ended", "signal 70"),
        ({"code": 0, "cpu_s": 1.0, "timed_out": True}, "limit", "time limit of 5 s"),
        ({"failed": "no more processes"}, "lost", "no more processes"),
        (None, "lost", "call again"),
    ],
)
def test_the_servers_word_decides_how_a_call_ended(status: dict[str, Any] | None, kind: str, words: str) -> None:
    raw = Raw(json.dumps({"timed_out": False, **status}).encode() if status else b"", b"", b"", 1.0, False)
    outcome = read_answer(raw, Limits(), "", PROCESS_ONLY)
    assert outcome.error is not None
    assert outcome.error.kind == kind
    assert words in outcome.error.message
    assert outcome.limits_hit == ((words,) if kind == "limit" else ())


# ------------------------------------------------------------------------------------------ values, without a process

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_a_plain_value_is_its_own_copy_and_survives_json(value: Any) -> None:
    assert plain(value) == value
    assert read_json(json.dumps(value).encode()) == value


@given(st.binary())
def test_bytes_from_outside_are_json_or_refused(raw: bytes) -> None:
    try:
        value = read_json(raw)
    except NotPlain:
        return
    assert plain(value) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"NaN",
        b"[Infinity]",
        b"9" * 5000,
        b"[" * 100_000,
        b'"\xff"',
        b"1 2",
        b"",
        b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2),
    ],
)
def test_hostile_json_is_refused(raw: bytes) -> None:
    with pytest.raises(NotPlain):
        read_json(raw)
