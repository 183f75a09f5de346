"""Stepping into a run: one step, a worker less, another temperature, lines that wait; each command once.

In: scripted models whose workers never end, or end soon. Out: the events that answer the commands. Neighbours:
`workbench.steering`, `workbench.driver`; `server/test_engine.py` for the same commands from another process.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path += [str(Path(__file__).parents[1] / "hogwild"), str(Path(__file__).parent)]

from scenes import Scene
from scripted_model import WORDS, save

from hogwild import Engine
from workbench import Run, Workbench
from workbench import events as ev
from workbench.driver import LONG_STEP
from workbench.errors import UsageError

FOR_EVER = (["# Alice\n", "tick ", "tick "], ["# Bob\n", "tock ", "tock "], ["Joint answer:\n", "Never."])
SOON = (
    ["# Alice\n", "a1 ", "a2 ", "a3 ", "a4 ", "a5 ", "a6."],
    ["# Bob\n", "b1."],
    ["(slower)", "All right."],
    ["Joint answer:\n", "Done."],
)
PARAGRAPHS = (
    ["# Alice\n", "a1 ", "a2 ", "a3", "\n\n", "a4 ", "a5 ", "a6."],
    ["# Bob\n", "tock ", "tock "],
    ["(slower)", "All right."],
    ["Joint answer:\n", "Done."],
)
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    model = save(tmp_path_factory.mktemp("endless"), *FOR_EVER, max_positions=50_000)
    with Workbench(str(model), data_dir=tmp_path_factory.mktemp("data"), memory="none") as made:
        yield made


@pytest.fixture
def run(bench: Workbench) -> Iterator[Run]:
    started = bench.run("What?")
    yield started
    started.stop()
    assert started.wait(LIMIT_S)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine.from_pretrained(save(tmp_path_factory.mktemp("soon"), *SOON))


def until_paused(events: Iterator[ev.Event]) -> int:
    """Read on until both workers are held; the number of steps that were done meanwhile."""
    states: dict[str, str] = {}
    steps = 0
    for event in events:
        if isinstance(event.payload, ev.WorkerStateChanged):
            states[event.payload.worker] = event.payload.state
        steps += event.kind == "tokens_added"
        if list(states.values()) == ["paused", "paused"]:
            return steps
    raise AssertionError("the run has ended")


def test_a_single_step_is_one_step_and_the_workers_are_held_again(run: Run) -> None:
    events = run.events()
    run.pause()
    until_paused(events)
    for _ in range(2):
        run.step()
        assert next(event for event in events if event.kind == "steered").payload.command == "step"
        assert until_paused(events) == 1


def test_a_retired_worker_says_no_more_and_the_others_go_on(run: Run) -> None:
    events = run.events()
    next(event for event in events if event.kind == "tokens_added")
    run.retire_worker("Bob", by="me")
    steered = next(event for event in events if event.kind == "steered").payload
    assert (steered.command, steered.arguments, steered.by) == ("retire_worker", {"worker": "Bob"}, "me")
    next(event for event in events if getattr(event.payload, "state", "") == "finished")
    told = [next(event for event in events if event.kind == "tokens_added").payload for _ in range(3)]
    assert [[one["worker"] for one in payload.tokens] for payload in told] == [["Alice"]] * 3


def test_sampling_is_changed_for_one_worker_or_all(run: Run) -> None:
    events = run.events()
    run.set_sampling("Bob", temperature=0.5, top_k=3)
    changed = next(event for event in events if event.kind == "sampling_changed").payload
    assert (changed.worker, changed.sampling["temperature"], changed.sampling["top_k"]) == ("Bob", 0.5, 3)
    run.set_sampling(temperature=0.0)
    both = [next(event for event in events if event.kind == "sampling_changed").payload for _ in range(2)]
    assert {(one.worker, one.sampling["temperature"]) for one in both} == {("Alice", 0.0), ("Bob", 0.0)}


def test_a_line_that_waits_can_be_changed_and_taken_back(run: Run) -> None:
    events = run.events()
    line = run.say("now", worker="Bob", when="queued")
    run.edit_say(line, "later")
    run.cancel_say(line)
    told = [next(event for event in events if event.kind == "say_queued").payload for _ in range(3)]
    assert [(one.line, one.worker, one.text) for one in told] == [(line, "Bob", text) for text in ("now", "later", "")]
    with pytest.raises(UsageError, match="has been said, or taken back"):
        run.edit_say(line, "too late")


def test_a_line_that_waits_is_said_when_its_worker_has_ended_and_the_worker_goes_on(engine: Engine) -> None:
    said: list[str] = []
    with Scene(engine, "Alice", "Bob") as scene:
        scene.driver.on_said = said.append
        scene.driver.queue("line-1", "Bob", "slower")
        scene.step()
        assert said == []
        scene.to_the_end()
    assert said == ["line-1"]
    (told,) = [one for one in scene.of(ev.TextInjected) if one.source == "person"]
    assert (told.worker, told.line) == ("Bob", "line-1")
    bob = "".join(one["text"] for step in scene.of(ev.TokensAdded) for one in step.tokens if one["worker"] == "Bob")
    assert bob.startswith("b1.All right.")


@pytest.fixture(scope="module")
def paragraphs(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine.from_pretrained(save(tmp_path_factory.mktemp("paragraphs"), *PARAGRAPHS))


def spoken(scene: Scene, worker: str) -> str:
    return "".join(one["text"] for step in scene.of(ev.TokensAdded) for one in step.tokens if one["worker"] == worker)


def test_a_line_for_now_is_said_between_two_steps_of_its_worker_and_cuts_no_word(paragraphs: Engine) -> None:
    with Scene(paragraphs, "Alice", "Bob") as scene:
        while not spoken(scene, "Alice").endswith("a1 "):
            scene.step()
        scene.driver.queue("line-1", "Alice", "slower", "now")
        assert not scene.injected("person")
        while not scene.injected("person"):
            scene.step()
    assert spoken(scene, "Alice") == "a1 a2 a3\n\n"
    assert scene.injected("person")[0].line == "line-1"


def test_a_line_for_now_does_not_wait_for_the_end_of_a_step_that_has_none(paragraphs: Engine) -> None:
    with Scene(paragraphs, "Alice", "Bob", max_tokens=3 * LONG_STEP) as scene:
        while "tock " not in spoken(scene, "Bob"):
            scene.step()
        scene.driver.queue("line-1", "Bob", "slower", "now")
        while not scene.injected("person"):
            scene.step()
    assert LONG_STEP < spoken(scene, "Bob").count("tock") <= LONG_STEP + 3


def test_a_line_for_now_is_said_at_once_while_its_worker_is_held(paragraphs: Engine) -> None:
    with Scene(paragraphs, "Alice", "Bob") as scene:
        while not spoken(scene, "Alice").endswith("a1 "):
            scene.step()
        scene.driver.pause()
        scene.driver.queue("line-1", "Alice", "slower", "now")
        assert [one.line for one in scene.injected("person")] == ["line-1"]


def test_a_worker_that_is_held_amid_an_item_hears_a_line_for_now_when_it_has_answered_it(tmp_path: Path) -> None:
    words = {**WORDS, "closing_part": "Joint answer, {first} to {last}:\n"}
    alice = ["# Alice\n", "I take 1: ", "one.\n", "Answer 1: 42\n\n", "I take nothing.\n\n"]
    model = save(tmp_path, alice, ["# Bob\n", "Hm.\n\n"], ["Joint answer:\n", "1: 42"], words=words)
    with Scene(Engine.from_pretrained(model), "Alice", "Bob", task="1. What is the gcd of 84 and 126?") as scene:
        while spoken(scene, "Alice") != "I take 1: ":
            scene.step()
        scene.driver.pause()
        scene.driver.queue("line-1", "Alice", "slower", "now")
        scene.driver.resume()
        while not scene.injected("person") and not scene.driver.ended:
            scene.step()
    assert spoken(scene, "Alice").endswith("Answer 1: 42\n\n")


def test_words_to_a_worker_that_has_ended_wait_for_the_end_of_a_pause(engine: Engine) -> None:
    with Scene(engine, "Alice", "Bob") as scene:
        for _ in range(4):
            scene.step()
        scene.driver.pause()
        scene.driver.queue("line-1", "Bob", "slower", "now")
        assert scene.step() == []
        assert [one.line for one in scene.injected("person")] == ["line-1"]
        scene.driver.resume()
        scene.to_the_end()
    assert spoken(scene, "Bob") == "b1.All right."


def test_a_run_whose_last_worker_is_retired_in_a_pause_is_asked_for_its_answer_after_it(engine: Engine) -> None:
    with Scene(engine, "Alice", "Bob") as scene:
        for _ in range(4):
            scene.step()
        scene.driver.pause()
        scene.driver.retire("Alice")
        while scene.step():
            pass
        assert scene.injected("closing")
        assert not spoken(scene, "Alice").endswith("Done.")
        scene.driver.resume()
        scene.to_the_end()
        assert scene.driver.outcome().answer == "Done."


def test_single_steps_stay_single_when_the_answer_is_written(engine: Engine) -> None:
    with Scene(engine, "Alice", "Bob") as scene:
        scene.driver.pause()
        wishes = 0
        while not scene.driver.ended:
            wishes += 1
            scene.driver.single_step()
            while scene.step():
                pass
    assert wishes == len(scene.of(ev.TokensAdded))


def test_a_seed_for_all_workers_lets_no_two_draw_alike(engine: Engine) -> None:
    with Scene(engine, "Alice", "Bob") as scene:
        scene.driver.set_sampling(None, {"temperature": 1.0, "seed": 7})
        scene.driver.set_sampling("Bob", {"seed": 8})
    *both, bob = [one.sampling["seed"] for one in scene.of(ev.SamplingChanged)]
    assert len(set(both)) == 2
    assert bob == 8


@pytest.mark.parametrize("layout", ["contiguous", "independent"])
def test_words_that_are_too_long_are_cut_with_a_note_and_end_nobody(layout: str, paragraphs: Engine) -> None:
    with Scene(paragraphs, "Alice", "Bob", layout=layout) as scene:
        scene.step()
        scene.driver.pause()
        scene.driver.queue("line-1", "Bob", "word " * 2000, "now")
        scene.driver.resume()
        for _ in range(3):
            scene.step()
        (told,) = scene.injected("person")
        assert told.text.endswith(" more characters])")
        assert 200 < len(told.ids) < 1000
        assert "out_of_budget" not in [one.state for one in scene.of(ev.WorkerStateChanged)]


ADDED = (
    ["# Alice\n", "I take 1", ": What?\n\n", "Answer 1: 5\n\n", "Done."],
    ["(And how?)", "I take 2: And how?\n\n", "Answer 2: so\n\n"],
    ["Joint answer, 1 to 2:\n", "1: 5\n2: skipped"],
    ["Joint answer, 1 to 1:\n", "1: 5"],
)
"""The last chain is what a closing finds that does not know of the second item."""


def test_an_item_that_a_person_adds_is_asked_for_at_the_end_and_told_among_the_items(tmp_path: Path) -> None:
    words = {**WORDS, "closing_part": "Joint answer, {first} to {last}:\n", "skipped": "skipped"}
    engine = Engine.from_pretrained(save(tmp_path, *ADDED, words=words))
    with Scene(engine, "Alice", task="1. What?") as scene:
        while "I take 1" not in spoken(scene, "Alice"):
            scene.step()
        scene.driver.queue("line-1", None, "And how?", "now")
        while not scene.injected("person"):
            scene.step()
        assert spoken(scene, "Alice").endswith("Answer 1: 5\n\n")  # not between the claim and the answer
        scene.to_the_end()
    outcome = scene.driver.outcome()
    assert [(one["item"], one["question"], one["answer"]) for one in outcome.items] == [
        (1, "What?", "5"),
        (2, "And how?", "so"),
    ]
    assert outcome.status == "solved"


@pytest.mark.parametrize(("spoken_to", "status"), [(True, "solved"), (False, "unanswered")])
def test_an_item_that_was_skipped_is_no_failure_where_a_person_has_spoken(
    spoken_to: bool, status: str, tmp_path: Path
) -> None:
    words = {**WORDS, "closing_part": "Joint answer, {first} to {last}:\n", "skipped": "skipped"}
    chains = (["# Alice\n", "Hm.\n\n"], ["(Skip 2.)", "Fine."], ["Joint answer, 1 to 2:\n", "1: 5\n2: skipped"])
    engine = Engine.from_pretrained(save(tmp_path, *chains, words=words))
    with Scene(engine, "Alice", task="1. What?\n2. How?") as scene:
        if spoken_to:
            scene.driver.queue("line-1", None, "Skip 2.", "now")
        scene.to_the_end()
        outcome = scene.driver.outcome()
    assert (outcome.status, [one["answer"] for one in outcome.items]) == (status, ["5", None])


def test_two_wishes_for_a_step_are_two_steps_and_resuming_ends_stepping(run: Run) -> None:
    events = run.events()
    run.pause()
    until_paused(events)
    run.step()
    run.step()
    assert until_paused(events) == 2
    run.step()
    run.resume()
    ticks = 0
    for event in events:
        ticks += event.kind == "tokens_added"
        assert event.payload != ev.WorkerStateChanged("Alice", "paused")
        if ticks == 5:
            break


def test_a_worker_that_joins_a_paused_run_is_held_with_the_others(run: Run) -> None:
    events = run.events()
    run.pause()
    until_paused(events)
    joined = run.add_worker()
    for event in events:
        assert event.kind not in ("tokens_added", "run_finished")
        if isinstance(event.payload, ev.WorkerStateChanged) and event.payload.worker == joined:
            assert event.payload.state == "paused"
            break


def test_the_same_key_does_nothing_twice(run: Run) -> None:
    first = run.add_worker(key="once")
    assert run.add_worker(key="once") == first == "Carol"
    run.say("slower", key="said")
    run.say("slower", key="said")
    run.stop()
    assert run.wait(LIMIT_S)
    kinds = [event.kind for event in run.events()]
    assert kinds.count("say_queued") == 1
    assert kinds.count("worker_added") == 3


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("fly", {}, "There is no command 'fly'"),
        ("say", {"text": " "}, "nothing to say"),
        ("say", {"text": "x", "worker": "Zoe"}, "no worker Zoe"),
        ("say", {"text": "x", "when": "never"}, "now or queued"),
        ("retire_worker", {"worker": "Zoe"}, "no worker Zoe"),
        ("set_sampling", {"worker": "Bob"}, "nothing to change"),
        ("set_sampling", {"heat": 1}, "no 'heat'"),
        ("set_sampling", {"temperature": -1}, "temperature must be"),
        ("pause", {"how": "long"}, "does not take these arguments"),
        ("add_worker", {"name": ["Zoe"]}, "name is one line"),
        ("add_worker", {"name": 5}, "name is one line"),
        ("add_worker", {"name": "Zoe\n# Alice"}, "name is one line"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_with_a_sentence(
    run: Run, command: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        run.command(command, arguments)
    assert run.status == "running"
