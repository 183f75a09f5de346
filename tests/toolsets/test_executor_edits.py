"""A person's yes with other arguments: the call that runs, is shared, is remembered and is told is the changed one."""

from typing import Any

import anyio
import pytest
from staged_tools import BOUND_S, Stage, call, executing, half, made, states

from toolsets.executor import ApprovalAsked, Approvals, Approved, Decision, Event, Executor, Finished, Started
from toolsets.plan import Plan, Ref
from toolsets.policy import CallPolicy
from toolsets.results import CallOutcome, History
from toolsets.rounds import render_round

pytestmark = pytest.mark.anyio

ASKING = CallPolicy(approval=True)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def seeing(**declared: Any) -> tuple[Any, list[int]]:
    seen: list[int] = []

    def look(n: int) -> str:
        seen.append(n)
        return f"seen {n}"

    return made(look, **declared), seen


async def test_a_call_runs_with_the_arguments_that_a_person_gave_it_and_says_so() -> None:
    approvals, events = Approvals(), list[Event]()
    tool = made(half, policy=ASKING)
    async with executing(tool, approver=approvals, on_event=events.append) as executor, executor.plan("p") as running:
        running.add(call("1", "half", n=2))
        running.add(call("2", "half", n=Ref("1"), policy=CallPolicy(approval=False)))
        await anyio.wait_all_tasks_blocked()
        assert approvals.decide("p", "1", Decision(True, "Twice that.", {"n": "8"}))
        running.close()
        first, second = await running.results()
    assert (first.value, first.edited, second.value, second.edited) == (4, {"n": 8}, 2, None)
    assert [one.arguments for one in events if isinstance(one, Approved)] == [{"n": 8}]
    assert [one.arguments for one in events if isinstance(one, Started) and one.call == "1"] == [{"n": 8}]
    assert render_round([first]) == "$1 half = 4 [a person changed the arguments: half(n=8)]"
    assert render_round([second]) == "$2 half = 2"


async def test_arguments_that_do_not_fit_leave_the_call_waiting_with_a_sentence() -> None:
    approvals, events = Approvals(), list[Event]()
    tool = made(half, policy=ASKING)
    async with executing(tool, approver=approvals, on_event=events.append) as executor, executor.plan("p") as running:
        running.add(call("1", "half", n=2))
        for wrong, sentence in (
            ({"n": "many"}, "n of half must be a whole number, not 'many'."),
            ({}, "half needs the parameter 'n': call it as half(n: int)."),
            ({"n": 2, "m": 3}, "half has no parameter 'm': call it as half(n: int)."),
        ):
            while not approvals.pending or approvals.pending[0].problem == sentence:
                await anyio.wait_all_tasks_blocked()
            approvals.decide("p", "1", Decision(True, arguments=wrong))
            while not approvals.pending or not approvals.pending[0].problem:
                await anyio.wait_all_tasks_blocked()
            assert approvals.pending[0].problem == sentence
            assert approvals.pending[0].arguments == {"n": 2}
        assert not [one for one in events if isinstance(one, Approved | Started | Finished)]
        approvals.decide("p", "1", Decision(True))
        running.close()
        (outcome,) = await running.results()
    assert (outcome.value, outcome.edited) == (1, None)
    assert len([one for one in events if isinstance(one, ApprovalAsked)]) == 4


async def test_a_program_that_never_learns_does_not_hold_a_call_for_ever() -> None:
    async def stubborn(asked: ApprovalAsked) -> Decision:
        return Decision(True, arguments={"n": "many"})

    async with executing(made(half, policy=ASKING), approver=stubborn) as executor:
        (outcome,) = await executor.run(Plan((call("1", "half", n=2),)))
    assert outcome.text == (
        "not executed: Its approval came with arguments that do not fit: n of half must be a whole number, not 'many'."
    )


async def test_the_same_arguments_again_are_no_change() -> None:
    async def yes(asked: ApprovalAsked) -> Decision:
        return Decision(True, arguments=dict(asked.arguments))

    async with executing(made(half, policy=ASKING), approver=yes) as executor:
        (outcome,) = await executor.run(Plan((call("1", "half", n=2),)))
    assert (outcome.value, outcome.edited) == (1, None)


async def test_what_is_found_out_is_kept_under_the_arguments_that_ran() -> None:
    tool, seen = seeing(idempotent=True, policy=ASKING)

    async def to_seven(asked: ApprovalAsked) -> Decision:
        return Decision(True, arguments={"n": 7} if asked.arguments["n"] == 1 else None)

    async with executing(tool, approver=to_seven) as executor:
        outcomes: list[CallOutcome] = []
        for n in (1, 7, 1, 2):
            outcomes += await executor.run(Plan((call("1", "look", n=n),)))
    # The second is answered by the first; the third by that, once a person has changed it; none as what was asked for.
    assert seen == [7, 2]
    assert [one.value for one in outcomes] == ["seen 7", "seen 7", "seen 7", "seen 2"]
    assert [one.edited for one in outcomes] == [{"n": 7}, None, {"n": 7}, None]
    assert [bool(one.shared_with) for one in outcomes] == [False, True, True, False]


async def test_a_changed_call_joins_an_identical_one_that_runs() -> None:
    stage, approvals = Stage(), Approvals()
    tool = stage.tool(idempotent=True, policy=ASKING)
    free = CallPolicy(approval=False)
    async with executing(tool, approver=approvals) as executor, executor.plan("p") as running:
        running.add(call("1", "wait", name="a", policy=free))
        await stage.reached("a")
        running.add(call("2", "wait", name="b"))
        await anyio.wait_all_tasks_blocked()
        approvals.decide("p", "2", Decision(True, arguments={"name": "a"}))
        await anyio.wait_all_tasks_blocked()
        stage.release("a", "b")
        running.close()
        outcomes = await running.results()
    assert stage.order == ["a"]
    assert [one.value for one in outcomes] == ["a", "a"]
    assert [one.shared_with for one in outcomes] == [("p/2",), ("p/1",)]


async def test_a_changed_call_does_not_wait_for_the_word_about_another() -> None:
    tool, seen = seeing(idempotent=True, policy=ASKING)
    approvals = Approvals()
    async with executing(tool, approver=approvals) as executor, executor.plan("p") as running:
        running.add(call("1", "look", n=1))
        running.add(call("2", "look", n=2))
        await anyio.wait_all_tasks_blocked()
        approvals.decide("p", "1", Decision(True, arguments={"n": 2}))
        while not running.outcomes:
            await anyio.wait_all_tasks_blocked()
        assert seen == [2]
        assert [one.call for one in approvals.pending] == ["2"]
        approvals.decide("p", "2", Decision(False))
        running.close()
        assert states(await running.results()) == {"1": "succeeded", "2": "rejected"}


async def test_identical_calls_are_one_question_and_a_change_is_for_all_of_them() -> None:
    tool, seen = seeing(idempotent=True, policy=ASKING)
    approvals, events = Approvals(), list[Event]()
    with anyio.fail_after(BOUND_S):
        async with (
            Executor({"look": tool}, approver=approvals, on_event=events.append) as executor,
            executor.plan("p") as running,
        ):
            running.add(call("1", "look", n=1))
            running.add(call("2", "look", n=1))
            await anyio.wait_all_tasks_blocked()
            approvals.decide("p", "1", Decision(True, arguments={"n": 5}))
            running.close()
            outcomes = await running.results()
    assert seen == [5]
    assert [one.edited for one in outcomes] == [{"n": 5}] * 2
    assert [one.call for one in events if isinstance(one, Approved) and one.arguments == {"n": 5}] == ["1", "2"]


async def test_a_change_that_was_made_is_known_by_what_was_made_and_not_by_what_was_asked_for() -> None:
    tool, seen = seeing(effect="write", policy=ASKING)
    changes = iter([{"n": 7}, None, {"n": 7}])

    async def approver(asked: ApprovalAsked) -> Decision:
        return Decision(True, arguments=next(changes))

    history, outcomes = History(), list[CallOutcome]()
    async with executing(tool, approver=approver) as executor:
        for id, n in (("1", 1), ("2", 7), ("3", 1), ("4", 3)):
            async with executor.plan(history=history) as running:
                running.add(call(id, "look", n=n))
            outcomes += running.outcomes
    assert seen == [7, 1]  # 7 in the place of 1; 7 is done; 1 is not; 3 becomes 7, which is done
    assert [one.text for one in outcomes] == [
        "seen 7",
        "This was done before, as $1, and is not repeated. Its result: seen 7",
        "seen 1",
        "This was done before, as $1, and is not repeated. Its result: seen 7",
    ]
