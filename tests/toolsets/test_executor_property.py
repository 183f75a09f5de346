"""Random plans with random failures, time-outs and cancellations, on a clock that jumps: what holds for all of them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import anyio
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from toolsets.executor import Event, Executor, Finished, Planned, RunningPlan, TransientError
from toolsets.plan import PlannedCall, Ref
from toolsets.policy import CallPolicy, OnFailure
from toolsets.results import STATES, CallOutcome
from toolsets.tool import Tool

TIMEOUT_S = 10.0
BOUND_S = 100_000.0
Behaviour: TypeAlias = Literal["return", "raise", "exit", "hang", "shaky", "unknown", "misfit"]
ENDS: dict[Behaviour, str] = {
    "return": "succeeded",
    "shaky": "succeeded",
    "raise": "failed",
    "exit": "failed",
    "unknown": "failed",
    "misfit": "failed",
    "hang": "timed_out",
}


@dataclass
class Scene:
    """A plan and what happens to it. cancels: by virtual second, a call's id, or None for the whole plan."""

    calls: list[PlannedCall] = field(default_factory=list)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    on_failure: dict[str, OnFailure] = field(default_factory=dict)
    pauses_s: list[float] = field(default_factory=list)
    cancels: list[tuple[float, str | None]] = field(default_factory=list)
    max_concurrent: int = 4
    tool_cap: int | None = None


@st.composite
def scenes(draw: st.DrawFn, *, disturbed: bool) -> Scene:
    scene = Scene(max_concurrent=draw(st.integers(1, 5)), tool_cap=draw(st.none() | st.integers(1, 3)))
    count = draw(st.integers(1, 10))
    for n in range(count):
        id = str(n)
        needs = draw(st.sets(st.integers(0, n - 1), max_size=3)) if n else set()
        after = draw(st.sets(st.integers(0, n - 1), max_size=1)) if n else set()
        behaviour = draw(st.sampled_from(sorted(ENDS)))
        effect = draw(st.sampled_from(["read", "read", "write"]))
        arguments = {
            "id": id if behaviour != "misfit" else ["no text"],
            "duration_s": draw(st.sampled_from([0.0, 1.0, 2.0, 3.0])),
            "given": [Ref(str(need)) for need in sorted(needs)],
        }
        choices: list[OnFailure] = ["skip", "skip", "pass", "stop"] if disturbed else ["skip", "pass"]
        scene.on_failure[id] = draw(st.sampled_from(choices))
        scene.behaviours[id] = behaviour
        policy = CallPolicy(TIMEOUT_S, retries=1, backoff_s=1.0, on_failure=scene.on_failure[id])
        tool = "absent" if behaviour == "unknown" else effect
        scene.calls.append(PlannedCall(id, tool, arguments, n + 1, after=tuple(map(str, after)), policy=policy))
        scene.pauses_s.append(draw(st.sampled_from([0.0, 0.0, 1.0])))
    scene.calls = draw(st.permutations(scene.calls)) if draw(st.booleans()) else scene.calls
    if disturbed:
        targets = st.none() | st.sampled_from([call.id for call in scene.calls])
        scene.cancels = sorted(draw(st.lists(st.tuples(st.integers(0, 15).map(float), targets), max_size=3)), key=str)
    return scene


class Stand:
    """The tools of a scene, which watch that nothing runs beside a write."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.running: Counter[str] = Counter()
        self.tries: Counter[str] = Counter()

    def tool(self, effect: Literal["read", "write"]) -> Tool:
        async def act(id: str, duration_s: float, given: list[str]) -> str:
            """What the scene says."""
            self.tries[id] += 1
            assert not self.running["write"]
            assert effect == "read" or not self.running.total()
            assert self.running.total() < self.scene.max_concurrent
            assert self.scene.tool_cap is None or self.running[effect] < self.scene.tool_cap
            self.running[effect] += 1
            try:
                await anyio.sleep(duration_s)
                match self.scene.behaviours[id]:
                    case "raise":
                        raise ValueError("No.")
                    case "exit":
                        raise SystemExit(3)
                    case "hang":
                        await anyio.sleep_forever()
                    case "shaky" if self.tries[id] == 1:
                        raise TransientError("In a moment.")
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.1)  # tidying up
                self.running[effect] -= 1
            return id

        return Tool.from_function(act, effect=effect, max_concurrent=self.scene.tool_cap)


async def played(scene: Scene) -> tuple[RunningPlan, list[Event]]:
    stand, events = Stand(scene), list[Event]()
    tools = {"read": stand.tool("read"), "write": stand.tool("write")}
    with anyio.fail_after(BOUND_S):
        async with Executor(tools, max_concurrent=scene.max_concurrent, on_event=events.append) as executor:
            running = executor.open("p")

            async def cancel() -> None:
                for at_s, id in scene.cancels:
                    await anyio.sleep_until(began_s + at_s)
                    if id is None:
                        running.cancel()
                    else:
                        running.cancel_call(id)

            began_s = anyio.current_time()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel)
                for call, pause_s in zip(scene.calls, scene.pauses_s, strict=True):
                    await anyio.sleep(pause_s)
                    if running.closed:
                        break
                    running.add(call)
                running.close()
                await running.results()
                tasks.cancel_scope.cancel()
    assert not stand.running.total()
    assert not executor._gate.granted()
    assert executor._gate._running == 0
    assert not executor._executions
    return running, events


def play(scene: Scene) -> tuple[dict[str, CallOutcome], list[Event]]:
    running, events = trio.run(played, scene, clock=MockClock(autojump_threshold=0))
    outcomes = running.outcomes
    assert running.ended
    added = [event.call for event in events if isinstance(event, Planned)]
    assert len(added) == len(set(added))
    assert [one.call for one in outcomes] == sorted(added, key=int)
    for id in added:
        own = [event for event in events if event.call == id]
        assert isinstance(own[0], Planned)
        assert isinstance(own[-1], Finished)
        assert sum(isinstance(event, Finished) for event in own) == 1
    return {one.call: one for one in outcomes}, events


@settings(max_examples=150)
@given(scenes(disturbed=False))
def test_every_call_ends_as_its_tool_and_the_policies_of_its_needs_say(scene: Scene) -> None:
    outcomes, _ = play(scene)
    assert len(outcomes) == len(scene.calls)
    for call in sorted(scene.calls, key=lambda call: int(call.id)):
        needed = [ref.call for ref in call.refs()]
        if scene.behaviours[call.id] == "unknown":
            expected = "failed"
        elif any(not outcomes[id].succeeded and scene.on_failure[id] == "skip" for id in needed):
            expected = "skipped"
        else:
            expected = ENDS[scene.behaviours[call.id]]
        assert outcomes[call.id].state == expected


@settings(max_examples=250)
@given(scenes(disturbed=True))
def test_whatever_is_cancelled_or_stopped_every_call_ends_once_and_nothing_is_left(scene: Scene) -> None:
    outcomes, _ = play(scene)
    stopped = any(not one.succeeded and scene.on_failure[one.call] == "stop" for one in outcomes.values())
    for id, outcome in outcomes.items():
        call = next(call for call in scene.calls if call.id == id)
        needed = [outcomes.get(ref.call) for ref in call.refs()]
        missing = any(one is None for one in needed)
        barred = missing or any(
            one is not None and not one.succeeded and scene.on_failure[one.call] != "pass" for one in needed
        )
        assert outcome.state in STATES
        match outcome.state:
            case "succeeded":
                assert not barred
                assert ENDS[scene.behaviours[id]] == "succeeded"
            case "failed" | "timed_out":
                own_end = ENDS[scene.behaviours[id]] == outcome.state
                assert missing or (own_end and (not barred or scene.behaviours[id] == "unknown"))
            case "skipped":
                assert barred
            case "cancelled":
                assert any(target in (id, None) for _, target in scene.cancels)
            case "not_executed":
                assert stopped
                assert outcome.attempts == 0
            case "rejected":
                raise AssertionError("nobody was asked")
