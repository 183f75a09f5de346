"""Results stay whole and addressable, in bounded memory, whatever a worker is shown of them."""

import math
import threading
from datetime import date
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolsets.executor import Executor
from toolsets.plan import Plan, PlannedCall
from toolsets.rendering import render_result
from toolsets.results import (
    MAX_SLICE_CHARS,
    CallOutcome,
    History,
    ResultStore,
    UnknownResultError,
    cut_text,
    reading_tool,
)
from toolsets.tool import Tool


def outcome(call: str, state: Any = "succeeded", *, plan: str = "p1", attempts: int = 1) -> CallOutcome:
    return CallOutcome(plan, call, "t", state, "text", attempts=attempts)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(st.lists(JSON | st.dates() | st.tuples(JSON) | st.dictionaries(st.integers(), JSON), max_size=8))
def test_a_value_comes_back_exactly_from_memory_or_from_the_disk(values: list[Any]) -> None:
    store = ResultStore(max_memory_bytes=0)
    padding = ["x" * 3_000]
    for index, value in enumerate(values):
        store.put(str(index), [value, padding])
    for index, value in enumerate(values):
        back = store.value(str(index))
        assert back == [value, padding]
        assert repr(back) == repr([value, padding])


def test_what_memory_has_no_room_for_goes_to_the_disk_the_oldest_first() -> None:
    store = ResultStore(max_memory_bytes=100_000)
    for n in range(100):
        store.put(f"p/{n}", f"{n} " + "x" * 10_000)
    assert store.memory_bytes <= 100_000
    assert all(store.value(f"p/{n}").startswith(f"{n} x") for n in range(100))
    assert len(store) == 100
    assert list(store)[:2] == ["p/0", "p/1"]


def test_values_that_json_cannot_tell_exactly_stay_in_memory() -> None:
    store = ResultStore(max_memory_bytes=0)
    shared = ["x" * 3_000]
    loop: list[Any] = ["x" * 3_000]
    loop.append(loop)
    values = [(date(2024, 2, 29), "x" * 3_000), {1: "x" * 3_000}, [shared, shared], loop, {"x" * 3_000}]
    for index, value in enumerate(values):
        store.put(str(index), value)
    assert all(store.value(str(index)) is value for index, value in enumerate(values))


def test_numbers_beyond_json_come_back_too() -> None:
    store = ResultStore(max_memory_bytes=0)
    store.put("1", [math.inf, 10**30, "\ud800", "x" * 3_000])
    assert store.value("1") == [math.inf, 10**30, "\ud800", "x" * 3_000]
    store.put("2", [math.nan, "x" * 3_000])
    assert math.isnan(store.value("2")[0])


def test_two_ids_may_mean_one_value() -> None:
    store = ResultStore(max_memory_bytes=0)
    store.put("a", "x" * 5_000)
    store.share("a", "b")
    assert store.value("b") == "x" * 5_000
    assert "b" in store
    assert "c" not in store


def test_a_result_is_read_in_slices() -> None:
    store = ResultStore()
    store.put("p/1", [1, 2.50, None])
    assert store.text("p/1") == render_result([1, 2.5, None]) == "[1, 2.5, none]"
    part = store.read("p/1", 4, 3)
    assert (part.text, part.start, part.end, part.num_chars) == ("2.5", 4, 7, 14)
    assert store.read("p/1", 99).text == ""
    assert store.read("p/1", -5, 2).text == "[1"
    with pytest.raises(UnknownResultError, match="There is no result 'p/2'"):
        store.read("p/2")


def test_any_thread_may_read_while_results_come() -> None:
    store = ResultStore(max_memory_bytes=20_000)
    store.put("first", "first " + "x" * 5_000)
    wrong: list[str] = []

    def read() -> None:
        for _ in range(300):
            text = store.value("first")
            if not text.startswith("first "):
                wrong.append(text[:20])

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(200):
        store.put(str(n), "y" * 5_000)
    for reader in readers:
        reader.join(20)
    assert not wrong


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_worker_can_read_on_where_a_result_was_cut(backend: str) -> None:
    def book() -> str:
        """A long text."""
        return "".join(f"{n:05}" for n in range(2_000))

    store = ResultStore()
    tools = {"book": Tool.from_function(book), "read_result": reading_tool(store)}

    async def main() -> None:
        async with Executor(tools, store=store) as executor:
            (whole,) = await executor.run(Plan((PlannedCall("1", "book", {}),)))
            assert whole.cut
            text = ""
            for _ in range(10):
                call = PlannedCall("1", "read_result", {"result": whole.result_id, "start": len(text)})
                (part,) = await executor.run(Plan((call,)))
                assert not part.cut
                text += part.value[:MAX_SLICE_CHARS]
                if len(text) == whole.num_chars:
                    break
            assert text == whole.value
            (wrong,) = await executor.run(Plan((PlannedCall("1", "read_result", {"result": "nowhere"}),)))
            assert wrong.error == "There is no result 'nowhere': use an id that a call's outcome names."

    anyio.run(main, backend=backend)


def test_ten_thousand_large_results_fit_in_bounded_memory() -> None:
    def page(n: int) -> str:
        """A page."""
        return f"{n} " + "x" * 5_000

    store = ResultStore(max_memory_bytes=2_000_000)

    async def main() -> None:
        async with Executor({"page": Tool.from_function(page)}, store=store) as executor:
            outcomes = await executor.run(
                Plan(tuple(PlannedCall(str(n), "page", {"n": n}) for n in range(10_000))),
            )
            assert store.memory_bytes <= 2_000_000
            assert sum(len(one.text) for one in outcomes) < 10_000 * 4_100
            assert outcomes[17].value.startswith("17 x")

    anyio.run(main)


def test_a_text_is_cut_with_a_note_only_where_it_is_too_long() -> None:
    assert cut_text("abc", 3, "p/1") == "abc"
    assert cut_text("abc", None, "p/1") == "abc"
    assert cut_text("abcd", 3, "p/1") == "abc\n[cut: 1 more characters of result p/1]"


@pytest.mark.parametrize(
    ("state", "attempts", "kept"),
    [
        ("succeeded", 1, True),
        ("timed_out", 1, True),
        ("cancelled", 1, True),
        ("cancelled", 0, False),
        ("failed", 1, False),
        ("rejected", 0, False),
        ("succeeded", 0, False),
    ],
)
def test_a_change_counts_as_made_where_it_may_have_been(state: Any, attempts: int, kept: bool) -> None:
    history = History()
    history.record(outcome("1", state, attempts=attempts), "key")
    assert (history.answered("key", "p2") is not None) == kept
    assert history.answered("key", "p1") is None
    assert history.answered("other", "p2") is None
    assert list(history.ids) == ["1"]
