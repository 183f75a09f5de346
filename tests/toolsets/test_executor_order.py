"""When calls may begin: references, barriers, caps, and the longest chain. No event loop here."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolsets.executor import CriticalPath, critical_path
from toolsets.executor.gate import Gate, Ticket
from toolsets.executor.order import Circular, Order
from toolsets.plan import Plan, PlannedCall, Ref


def ticket(number: int, tool: str = "t", **more: object) -> Ticket[str]:
    return Ticket(number, str(number), tool, **more)  # type: ignore[arg-type]


def numbers(tickets: Sequence[Ticket[str]]) -> list[int]:
    return [one.number for one in tickets]


def test_a_call_begins_when_all_that_it_needs_has_ended() -> None:
    order = Order(ended={"earlier"})
    assert order.add("1", (), write=False) == ["1"]
    assert order.add("2", ("earlier",), write=False) == ["2"]
    assert order.add("3", ("1", "2"), write=False) == []
    assert order.end("1") == []
    assert order.end("2") == ["3"]


def test_a_call_may_need_one_that_arrives_later() -> None:
    order = Order()
    assert order.add("1", ("2",), write=False) == []
    assert order.add("2", ("3",), write=False) == []
    assert order.missing() == {"2": ["3"]}
    assert order.add("3", (), write=False) == ["3"]
    assert order.missing() == {}
    assert order.end("3") == ["2"]
    assert order.end("2") == ["1"]


@pytest.mark.parametrize("needs", [{"1": ("1",)}, {"1": ("2",), "2": ("1",)}, {"1": ("3",), "2": ("1",), "3": ("2",)}])
def test_a_call_that_would_wait_for_itself_is_refused(needs: dict[str, tuple[str, ...]]) -> None:
    order = Order()
    *first, last = needs
    for id in first:
        assert order.add(id, needs[id], write=False) == []
    with pytest.raises(Circular):
        order.add(last, needs[last], write=False)


def test_a_write_waits_for_all_before_it_and_all_after_it_wait_for_it() -> None:
    order = Order()
    assert order.add("r1", (), write=False) == ["r1"]
    assert order.add("r2", (), write=False) == ["r2"]
    assert order.add("w1", (), write=True) == []
    assert order.add("r3", (), write=False) == []
    assert order.add("w2", (), write=True) == []
    assert order.end("r2") == []
    assert order.end("r1") == ["w1"]
    assert order.end("w1") == ["r3"]
    assert order.end("r3") == ["w2"]


def test_a_write_that_ends_before_its_turn_leaves_the_barriers_before_it_standing() -> None:
    order = Order()
    assert order.add("w1", (), write=True) == ["w1"]
    assert order.add("w2", (), write=True) == []
    assert order.add("r", (), write=False) == []
    assert order.end("w2") == []
    assert order.add("late", (), write=False) == []
    assert order.end("w1") == ["r", "late"]


def test_what_a_write_that_ended_early_was_waiting_for_holds_back_the_next_write() -> None:
    order = Order()
    assert order.add("r", (), write=False) == ["r"]
    assert order.add("w1", (), write=True) == []
    assert order.end("w1") == []
    assert order.add("w2", (), write=True) == []
    assert order.end("r") == ["w2"]


def test_a_write_does_not_wait_for_a_call_whose_needs_are_still_to_come() -> None:
    order = Order()
    assert order.add("r", ("later",), write=False) == []
    assert order.add("w", (), write=True) == ["w"]
    assert order.add("later", ("w",), write=False) == []
    assert order.end("w") == ["later"]
    assert order.end("later") == ["r"]


Arrivals = list[tuple[str, tuple[str, ...], bool]]


@st.composite
def arrivals(draw: st.DrawFn) -> Arrivals:
    """A DAG of up to 12 calls that arrive in any order, some of them writes."""
    count = draw(st.integers(1, 12))
    calls: Arrivals = []
    for n in range(count):
        needs = draw(st.sets(st.integers(0, n - 1), max_size=3)) if n else set()
        calls.append((str(n), tuple(map(str, sorted(needs))), draw(st.booleans())))
    return draw(st.permutations(calls))


@given(arrivals(), st.randoms(use_true_random=False))
def test_every_order_of_arrivals_and_ends_comes_to_an_end_and_keeps_the_barriers(
    calls: Arrivals, random: object
) -> None:
    order, running, ended, coming = Order(), [], set[str](), list(calls)
    position = {id: index for index, (id, _, _) in enumerate(calls)}
    needs = {id: set(needs) for id, needs, _ in calls}
    writes = {id for id, _, write in calls if write}
    # Without forward references the barriers are plain to say; with them, it is enough that nothing hangs.
    plain = all(position[need] < position[id] for id in needs for need in needs[id])
    while coming or running:
        pick = random.random()  # type: ignore[attr-defined]
        if coming and (not running or pick < 0.5):
            id, needed, write = coming.pop(0)
            ready = order.add(id, needed, write=write)
        else:
            waiting = [id for id, _, _ in calls if position[id] < len(calls) - len(coming) and id not in ended]
            idle = [id for id in waiting if id not in running]
            # Some end before their turn.
            id = idle[0] if idle and pick > 0.9 else running.pop(int(pick * 1e6) % len(running))
            ended.add(id)
            ready = order.end(id)
        for one in ready:
            assert one not in running
            assert one not in ended
            assert needs[one] <= ended
            if plain:
                before = {id for id in position if position[id] < position[one]}
                assert (before if one in writes else before & writes) <= ended
            running.append(one)
    assert len(ended) == len(calls)


def test_the_gate_keeps_the_order_of_arrival_and_the_caps() -> None:
    gate: Gate[str] = Gate(3, {"far": 1})
    waiting = [
        ticket(1, "a", max_concurrent=1),
        ticket(2, "a", max_concurrent=1),
        ticket(3, "b", server="far"),
        ticket(4, "c", server="far"),
        ticket(5, "d"),
        ticket(6, "d"),
    ]
    for one in reversed(waiting):
        gate.offer(one)
    assert numbers(gate.granted()) == [1, 3, 5]
    assert gate.granted() == []
    gate.release(waiting[2])
    assert numbers(gate.granted()) == [4]
    gate.release(waiting[0])
    assert numbers(gate.granted()) == [2]
    gate.release(waiting[4])
    gate.release(waiting[4])
    assert numbers(gate.granted()) == [6]


def test_a_write_runs_alone_and_nobody_passes_it() -> None:
    gate: Gate[str] = Gate(9, {})
    first, write, last = ticket(1), ticket(2, write=True), ticket(3, "other")
    gate.offer(first)
    assert numbers(gate.granted()) == [1]
    gate.offer(write)
    gate.offer(last)
    assert gate.granted() == []
    gate.release(first)
    assert numbers(gate.granted()) == [2]
    gate.release(write)
    assert numbers(gate.granted()) == [3]


def test_a_ticket_that_is_given_back_while_it_waits_is_never_granted() -> None:
    gate: Gate[str] = Gate(1, {})
    first, second, third = ticket(1), ticket(2), ticket(3)
    for one in (first, second, third):
        gate.offer(one)
    assert numbers(gate.granted()) == [1]
    gate.release(second)
    gate.release(first)
    assert numbers(gate.granted()) == [3]


def test_the_critical_path_is_the_longest_chain() -> None:
    calls = (
        PlannedCall("1", "f", {}),
        PlannedCall("2", "f", {}),
        PlannedCall("3", "f", {"x": Ref("1"), "y": Ref("2")}),
        PlannedCall("4", "f", {}, after=("2",)),
    )
    durations = {"1": 1.0, "2": 2.0, "3": 0.5, "4": 0.25}
    assert critical_path(Plan(calls), durations) == CriticalPath(2.5, ("2", "3"))
    assert critical_path(Plan(calls), durations, writes={"4"}) == CriticalPath(2.75, ("2", "3", "4"))
    assert critical_path(Plan(), {}) == CriticalPath(0.0, ())


def test_the_critical_path_of_a_long_chain_is_its_sum() -> None:
    calls = tuple(PlannedCall(str(n), "f", {"x": Ref(str(n - 1))} if n else {}) for n in range(5_000))
    path = critical_path(Plan(calls), dict.fromkeys(map(str, range(5_000)), 1.0))
    assert path.duration_s == 5_000
    assert len(path.calls) == 5_000
