"""Tools from the library: built-in ones, composites that run their plan, code that runs in the sandbox."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memory.planning import plan_edit, plan_move
from memory.store import Library
from memory.values import Row, Snapshot
from toolsets import shelf
from toolsets.composites import Composite, Constant, Items, Parameter, Part, Result, python_of, read_composite
from toolsets.direct import run_direct
from toolsets.errors import ToolDefinitionError, ToolsetError
from toolsets.executor import Executor
from toolsets.parse import ToolCall
from toolsets.plan import Plan, PlannedCall, Ref
from toolsets.sandbox import Outcome, Sandbox
from toolsets.seeding import seed_library
from toolsets.shelf import tool_of, tools_of
from toolsets.standard import STANDARD
from toolsets.tool import Tool

DISCOUNT = Composite(
    {"price": {"type": "number"}, "percent": {"type": "number"}},
    (
        Part("1", "percent_of", {"percent": Parameter("percent"), "value": Parameter("price")}),
        Part("2", "subtract", {"a": Parameter("price"), "b": Result("1")}),
    ),
    "2",
)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as opened:
        yield opened


def put(library: Library, name: str, code: str, state: str = "active", **fields: Any) -> Row:
    return library.add(Snapshot("tool", {"name": name, "code": code, **fields}, state), author="ana")  # type: ignore[arg-type]


def put_composite(library: Library, name: str, composite: Composite, state: str = "active") -> Row:
    code = python_of(composite, name, "Price after a percentage is taken off.", STANDARD)
    return put(library, name, code, state, plan=composite.as_json())


def test_seeding_makes_every_standard_tool_active_and_seeding_again_changes_nothing(library: Library) -> None:
    assert seed_library(library) == len(STANDARD)
    assert seed_library(library) == 0
    rows = library.rows("tool")
    assert {row.name for row in rows} == set(STANDARD)
    assert {row.state for row in rows} == {"active"}
    gcd = library.active("tool", "gcd")
    assert gcd is not None
    assert gcd.content["calls"][0] == {"arguments": {"a": 12, "b": 18}, "result": 6}


def test_a_library_that_two_processes_fill_at_once_has_each_tool_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library(tmp_path) as slow, Library(tmp_path) as quick:
        real = slow.apply

        def late(plan: Any, **how: Any) -> Any:
            monkeypatch.setattr(slow, "apply", real)
            assert seed_library(quick) == len(STANDARD)
            return real(plan, **how)

        monkeypatch.setattr(slow, "apply", late)
        assert seed_library(slow) == 0
        assert len(slow.rows("tool")) == len(STANDARD)


def test_a_seeded_row_loads_as_the_standard_tool_itself(library: Library) -> None:
    seed_library(library)
    assert tools_of(library, ["gcd", "mean"]) == {"gcd": STANDARD["gcd"], "mean": STANDARD["mean"]}


def test_a_retired_and_an_edited_built_in_tool_stay_as_the_person_left_them(library: Library) -> None:
    seed_library(library)
    gcd, lcm = library.active("tool", "gcd"), library.active("tool", "lcm")
    assert gcd is not None
    assert lcm is not None
    library.apply(plan_move([library.row(gcd.row_id)], "retire"), author="ana")
    code = 'def lcm(a: int, b: int) -> int:\n    """Mine."""\n    return 1\n'
    library.apply(plan_edit(library.row(lcm.row_id), {**lcm.content, "code": code}), author="ana")
    assert seed_library(library) == 0
    assert library.active("tool", "gcd") is None
    assert tools_of(library, ["lcm"])["lcm"].description == "Mine"


def test_a_row_of_an_older_package_is_brought_up_to_date_and_keeps_its_problems(library: Library) -> None:
    old = {"name": "gcd", "code": "def gcd(a, b): ...", "builtin": "gcd", "problems": [{"text": "gcd of 4 and 6?"}]}
    library.add(Snapshot("tool", old, "active"), author="workbench")
    assert seed_library(library) == len(STANDARD)
    row = library.active("tool", "gcd")
    assert row is not None
    assert row.content["problems"] == old["problems"]
    assert tools_of(library, ["gcd"])["gcd"] is STANDARD["gcd"]


def test_a_composite_runs_its_plan(library: Library) -> None:
    put_composite(library, "discounted", DISCOUNT)
    tool = tools_of(library, ["discounted"])["discounted"]
    assert tool.line() == "Price after a percentage is taken off: discounted(price: number, percent: number)"
    assert (tool.effect, tool.idempotent, tool.trusted) == ("read", True, True)
    result = run_direct(ToolCall("discounted", {"price": 80, "percent": 25}, ""), {"discounted": tool})
    assert (result.text, result.value) == ("60", 60)


def test_a_composite_can_be_tried_in_a_thread_whose_loop_runs_as_in_a_notebook(library: Library) -> None:
    tool = tool_of(put_composite(library, "discounted", DISCOUNT), library)

    async def cell() -> Any:
        return tool.function(price=80, percent=25)

    assert asyncio.run(cell()) == 60


@pytest.mark.anyio
async def test_a_composite_runs_as_one_call_of_a_plan(library: Library) -> None:
    put_composite(library, "discounted", DISCOUNT)
    tools = {**STANDARD, **tools_of(library, ["discounted"])}
    plan = Plan(
        (
            PlannedCall("1", "discounted", {"price": 80, "percent": 25}),
            PlannedCall("2", "add", {"a": Ref("1"), "b": 1}),
        )
    )
    async with Executor(tools) as executor:
        assert [outcome.value for outcome in await executor.run(plan)] == [60, 61]


@pytest.mark.anyio
async def test_code_that_takes_longer_than_the_sandbox_allows_has_timed_out(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "LIMITS", replace(shelf.LIMITS, time_s=1.0))
    spin = 'def spin(n: int) -> int:\n    """Never end."""\n    while True:\n        n += 1\n'
    claims = (
        'class TimeLimit(Exception):\n    pass\n\n\ndef claims(n: int) -> int:\n    """Only say so."""\n'
        "    raise TimeLimit('over')\n"
    )
    for code in (spin, claims):
        library.add(Snapshot("tool", {"code": code}, "active"), author="ana")
    async with Executor(tools_of(library, ["spin", "claims"])) as executor:
        # First the one that ends: starting the sandbox is no part of the other's time.
        (claimed,) = await executor.run(Plan((PlannedCall("1", "claims", {"n": 1}),)))
        (spun,) = await executor.run(Plan((PlannedCall("2", "spin", {"n": 1}),)))
    assert (spun.state, spun.attempts) == ("timed_out", 1)
    assert "time limit of 1 s" in spun.text
    assert claimed.state == "failed"


def test_a_composite_may_call_another_one_and_never_itself(library: Library) -> None:
    put_composite(library, "discounted", DISCOUNT)
    twice = Composite(
        {"price": {"type": "number"}},
        (
            Part("1", "discounted", {"price": Parameter("price"), "percent": Constant(50)}),
            Part("2", "mean", {"numbers": Items((Result("1"), Parameter("price")))}),
        ),
        "2",
    )
    put_composite(library, "between", twice)
    assert tools_of(library, ["between"])["between"](price=8) == 6
    looped = Composite(twice.parameters, (Part("1", "between", {"price": Parameter("price")}),), "1")
    row = library.active("tool", "between")
    assert row is not None
    content = {**row.content, "plan": looped.as_json(), "code": python_of(looped, "between", "Loop.", {})}
    library.apply(plan_edit(library.row(row.row_id), content), author="ana")
    with pytest.raises(ToolDefinitionError, match="made of itself"):
        tools_of(library, ["between"])


def test_a_composite_whose_code_was_edited_without_its_plan_is_refused(library: Library) -> None:
    row = put_composite(library, "discounted", DISCOUNT)
    reworded = row.content["code"].replace("Price after", "What is left after")
    library.apply(plan_edit(library.row(row.row_id), {**row.content, "code": reworded}), author="ana")
    row = library.row(row.row_id)
    assert tools_of(library, ["discounted"])["discounted"].description.startswith("What is left")
    other = reworded.replace("subtract", "add")
    library.apply(plan_edit(library.row(row.row_id), {**row.content, "code": other}), author="ana")
    with pytest.raises(ToolDefinitionError, match="edit the plan"):
        tools_of(library, ["discounted"])


def test_a_composite_that_fails_names_the_call_that_failed(library: Library) -> None:
    ratio = Composite(
        {"n": {"type": "integer"}},
        (
            Part("1", "divide", {"a": Parameter("n"), "b": Constant(0)}),
            Part("2", "add", {"a": Result("1"), "b": Constant(1)}),
        ),
        "2",
    )
    put_composite(library, "ratio", ratio)
    result = run_direct(ToolCall("ratio", {"n": 3}, ""), tools_of(library, ["ratio"]))
    assert result.error == "divide within it did not succeed: Division by zero has no result: give another divisor."


def test_a_composite_of_a_tool_that_writes_writes(library: Library) -> None:
    sent: list[str] = []
    post = Tool.from_function(_post(sent), effect="write")
    put_composite(library, "notify", Composite({}, (Part("1", "post", {"text": Constant("hello")}),), "1"))
    tool = tools_of(library, ["notify"], more={"post": post})["notify"]
    assert tool.effect == "write"
    assert tool() == "sent"
    assert sent == ["hello"]


def _post(sent: list[str]) -> Any:
    def post(text: str) -> str:
        """Send a text."""
        sent.append(text)
        return "sent"

    return post


def test_the_python_of_a_composite_computes_the_same() -> None:
    code = python_of(DISCOUNT, "discounted", "Price after a percentage is taken off.", STANDARD)
    names: dict[str, Any] = {name: tool.function for name, tool in STANDARD.items()}
    exec(code, names)
    assert names["discounted"](80, 25) == 60
    assert "result_1 = percent_of(percent=percent, value=price)" in code


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"calls": []}, "1 to 64 calls"),
        ({"result": "9"}, "which is no call of it"),
        (
            {"calls": [{"id": "1", "tool": "gcd", "arguments": {"a": {"result": "2"}}}], "result": "1"},
            "does not come before",
        ),
        ({"calls": [{"id": "1", "tool": "gcd", "arguments": {"a": 3}}], "result": "1"}, "malformed"),
        (
            {"calls": [{"id": "1", "tool": "gcd", "arguments": {"a": {"parameter": "x"}}}], "result": "1"},
            "no parameter",
        ),
        ({"parameters": [{"name": "not a name", "schema": {}}]}, "plain word"),
        ({"calls": None}, "malformed"),
    ],
)
def test_a_malformed_plan_is_refused_with_what_is_wrong(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolDefinitionError, match=said):
        read_composite({**DISCOUNT.as_json(), **change})
    assert read_composite(DISCOUNT.as_json()) == DISCOUNT


def test_code_from_the_library_runs_in_the_sandbox_and_not_here(library: Library, sandbox: Sandbox) -> None:
    code = 'import os\n\ndef own_pid(n: int = 1) -> int:\n    """Process."""\n    return os.getpid() * n\n'
    put(library, "own_pid", code)
    tool = tools_of(library, ["own_pid"], sandbox=sandbox)["own_pid"]
    import os

    assert tool() != os.getpid()
    assert tool.trusted is False
    assert tool.signature() == "own_pid(n: int = 1)"


def test_what_a_tools_code_does_wrong_is_said_with_its_line(library: Library, sandbox: Sandbox) -> None:
    put(library, "halve", 'def halve(n: int) -> float:\n    """Half."""\n    return nn / 2\n')
    put(library, "spin", 'def spin() -> int:\n    """Never."""\n    while True:\n        pass\n')
    put(library, "gone", 'import no_such_module\n\ndef gone() -> int:\n    """Gone."""\n    return 1\n')
    tools = tools_of(library, ["halve", "gone"], sandbox=sandbox)
    wrong = run_direct(ToolCall("halve", {"n": 3}, ""), tools)
    assert wrong.error is not None
    assert "NameError" in wrong.error
    assert "line 3" in wrong.error
    missing = run_direct(ToolCall("gone", {}, ""), tools)
    assert missing.error is not None
    assert "no_such_module" in missing.error
    assert run_direct(ToolCall("halve", {"n": "many"}, ""), tools).error == (
        "n of halve must be a whole number, not 'many'."
    )


def test_a_tool_that_nobody_approved_is_tried_and_not_handed_out(library: Library, sandbox: Sandbox) -> None:
    row = put(library, "double", 'def double(n):\n    """Twice."""\n    return 2 * n\n', "proposed")
    with pytest.raises(ToolsetError, match="no active tool 'double'"):
        tools_of(library, ["double"])
    with pytest.raises(ToolsetError, match="is proposed: approve it"):
        tools_of(library, [row.row_id])
    assert tool_of(row, library, sandbox=sandbox)(n=4) == 8


def test_a_tool_that_cannot_be_used_is_left_out_and_told(library: Library) -> None:
    seed_library(library)
    put(library, "many", 'def many(*numbers):\n    """Many."""\n    return 1\n')
    said: dict[str, str] = {}
    tools = tools_of(library, ["many", "absent", "gcd"], refused=said.__setitem__)
    assert list(tools) == ["gcd"]
    assert "plain named parameters" in said["many"]
    assert "list the library" in said["absent"]


def test_code_that_takes_its_imports_for_granted_finds_them(library: Library, sandbox: Sandbox) -> None:
    code = 'def hypotenuse(a: float, b: float) -> float:\n    """Hypotenuse."""\n    return math.hypot(a, b)\n'
    put(library, "hypotenuse", code)
    assert tools_of(library, ["hypotenuse"], sandbox=sandbox)["hypotenuse"](a=3, b=4) == 5


def test_names_that_much_code_takes_for_granted_may_stand_in_its_signature_and_lines_keep_their_numbers(
    library: Library, sandbox: Sandbox
) -> None:
    code = (
        "UNIT = Fraction(1, 2)\n"
        "def area(radius: float, pi: float = math.pi) -> Fraction:\n"
        '    """Area."""\n'
        "    if radius < 0:\n"
        "        raise ValueError('No radius.')\n"
        "    return round(pi * radius**2 * UNIT, 4)\n"
    )
    put(library, "area", code)
    tools = tools_of(library, ["area"], sandbox=sandbox)
    assert run_direct(ToolCall("area", {"radius": 2}, ""), tools).value == 6.2832
    failed = run_direct(ToolCall("area", {"radius": -1}, ""), tools).text
    assert failed == "failed: ValueError: No radius. (line 5: raise ValueError('No radius.'))"


def test_of_two_functions_of_one_name_the_last_one_is_told_as_it_is_run(library: Library, sandbox: Sandbox) -> None:
    first, last = (
        f'def f({name}: int) -> int:\n    """The {name} one."""\n    return {name}\n' for name in ("old", "new")
    )
    put(library, "f", first + last)
    tools = tools_of(library, ["f"], sandbox=sandbox)
    assert tools["f"].line() == "The new one: f(new: int)"
    assert run_direct(ToolCall("f", {"new": 7}, ""), tools).value == 7


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        ("x: float = 1e999", "x: number"),
        (f"x: int = 0x{'f' * 9000}", "x: int"),
        (r"x: str = '\ud800'", "x: text"),
        ("x: Literal[b'a', 'b']", "x: value"),
        (r"x: Literal['\ud800']", "x: value"),
    ],
    ids=["infinity", "huge number", "half a character", "bytes", "half a character as choice"],
)
def test_what_a_signature_says_and_json_cannot_is_left_out(parameter: str, told: str) -> None:
    code = f'def f({parameter}):\n    """Half a \\ud800 character."""\n'
    tool = shelf.sandboxed("f", code)
    assert tool.line() == f"Half a \ufffd character: f({told})"
    assert json.dumps(tool.schema(), allow_nan=False, ensure_ascii=False).encode()


def test_code_that_is_nested_too_deeply_is_refused_with_this_reason() -> None:
    with pytest.raises(ToolDefinitionError, match="cannot be read \\(it is nested too deeply\\): repair it"):
        shelf.sandboxed("f", f"def f(): return {'-' * 100_000}1")


def test_type_hints_without_an_end_are_refused_in_a_sentence() -> None:
    with pytest.raises(ToolDefinitionError, match="nested too deeply"):
        shelf.sandboxed("f", f"def f(x: {' | '.join(['int'] * 2000)}): ...")


def test_a_composite_may_have_parameters_with_a_default(library: Library) -> None:
    price, percent = DISCOUNT.as_json()["parameters"]
    percent["schema"]["default"] = 50
    plan = {**DISCOUNT.as_json(), "parameters": [price, percent]}
    put(library, "discount", python_of(DISCOUNT, "discount", "Price.", STANDARD), plan=plan)
    tools = tools_of(library, ["discount"])
    assert run_direct(ToolCall("discount", {"price": 80}, ""), tools).value == 40
    assert run_direct(ToolCall("discount", {"price": 80, "percent": 25}, ""), tools).value == 60


def test_what_an_own_function_returned_can_be_passed_to_code_in_the_sandbox(library: Library, sandbox: Sandbox) -> None:
    def numbers() -> Any:
        """Numbers."""
        return np.array([[1, 2], [3, 4]])

    put(library, "flat", 'def flat(rows):\n    """All in one list."""\n    return [n for row in rows for n in row]\n')
    tools = {"numbers": Tool.from_function(numbers), **tools_of(library, ["flat"], sandbox=sandbox)}

    async def main() -> Any:
        async with Executor(tools) as executor:
            calls = (PlannedCall("1", "numbers", {}), PlannedCall("2", "flat", {"rows": Ref("1")}))
            return await executor.run(Plan(calls))

    assert asyncio.run(main())[1].value == [1, 2, 3, 4]


def cancelled_once_begun(tools: dict[str, Tool], call: PlannedCall, begun: threading.Event) -> None:
    """Run one call, and give it up when it has begun."""

    async def main() -> None:
        async with Executor(tools) as executor, executor.plan() as running:
            running.add(call)
            assert await asyncio.to_thread(begun.wait, 20)
            running.cancel()

    asyncio.run(main())


def test_code_whose_call_is_given_up_is_ended_and_not_left_to_its_time_limit() -> None:
    begun, ended = threading.Event(), threading.Event()
    outcomes: list[Outcome] = []

    class Watched(Sandbox):
        def call_sync(self, *args: Any, **how: Any) -> Outcome:
            begun.set()
            outcomes.append(super().call_sync(*args, **how))
            ended.set()
            return outcomes[0]

    with Watched() as sandbox:
        spin = shelf.sandboxed("spin", "def spin():\n    while True: pass\n", sandbox=sandbox)
        cancelled_once_begun({"spin": spin}, PlannedCall("1", "spin", {}), begun)
        assert ended.wait(20)
    assert outcomes[0].error is not None
    assert outcomes[0].error.type == "Cancelled"


def test_a_composite_that_is_given_up_begins_no_further_call(library: Library) -> None:
    begun, free, ended = threading.Event(), threading.Event(), threading.Event()
    changes: list[int] = []

    def first() -> int:
        """Begin."""
        begun.set()
        free.wait(20)
        return 1

    def second(n: int) -> int:
        """Change something."""
        changes.append(n)
        return n

    parts = {"first": Tool.from_function(first), "second": Tool.from_function(second, effect="write")}
    both = Composite({}, (Part("1", "first", {}), Part("2", "second", {"n": Result("1")})), "2")
    put_composite(library, "both", both)
    whole = tools_of(library, ["both"], more=parts)["both"]

    def watched() -> Any:
        try:
            return whole.function()
        finally:
            ended.set()

    cancelled_once_begun({"both": replace(whole, function=watched)}, PlannedCall("1", "both", {}), begun)
    free.set()
    assert ended.wait(20)
    assert changes == []


@pytest.mark.parametrize("head", ["", "from __future__ import annotations\n"])
def test_days_go_into_code_of_the_library_and_come_back(library: Library, sandbox: Sandbox, head: str) -> None:
    code = (
        f"{head}import datetime\n"
        "def next_year(day: datetime.date) -> datetime.date:\n"
        '    """The same day, a year later."""\n'
        "    return day.replace(year=day.year + 1)\n"
    )
    put(library, "next_year", code)
    tools = tools_of(library, ["next_year"], sandbox=sandbox)
    assert tools["next_year"].signature() == "next_year(day: date)"
    assert run_direct(ToolCall("next_year", {"day": "2024-03-01"}, ""), tools).text == "2025-03-01"
