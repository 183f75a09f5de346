"""A run in words: headers, steps, checks, budgets, the closing; who joins, waits, pauses and stops; several at once.

In: a scripted model (`scripted_model.py`), whose workers say what the test has written, or a tiny random one, whose
logits tell what it sees. Out: happenings, texts, answers. Neighbours: `hogwild.collaboration`, `test_workspace.py` for
the bare state machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scripted_model
import tiny_models
import torch
from twin import relative_error

from hogwild import Collaboration, Engine, Layout, Prompting, Sampling, State, collaboration
from hogwild.errors import ContextOverflow, HogwildError, ViewError
from hogwild.run_values import Brief, Happening
from hogwild.sampling import choose
from hogwild.stepping import advance

CHAINS: tuple[Sequence[scripted_model.Piece], ...] = (
    ["# Alice\n", "A1 ", "A2 ", "A3."],
    ["# Bob\n", "B1 ", "B2 ", "B3 ", "B4."],
    ["# Carol\n", "C1 ", "C2."],
    ["# Dave\n", "tick ", "tick "],  # for ever
    ["# Erin\n", "E1\n\n"],
    ["# Erin 2\n", "E2\n\n"],
    ["# Erin 3\n", "E3."],
    ["# Frank\n", "F1 ", "F2 ", "F3\n\n"],
    ["# Frank 2\n", "F4."],
    ["# Grace\n", "g\n\n", "g\n\n"],  # a step with every token, for ever
    ["Check?", "No. ", "g\n\n"],
    ["# Heidi\n", b"\xf0", b"\x9f", b"\x98", b"\x80", " Heidi."],
    ["(Bob, listen)", "I do."],
    ["<tool_response>42</tool_response>", "So 42."],
    ["Joint answer:\n", "It is ", "done."],
    ["Items 1 to 2:\n", "1: x"],
    ["Items 3 to 3:\n", "3: z"],
)
WORDS = Prompting.from_json(scripted_model.WORDS)
NO_CLOSING = replace(WORDS, closing="")
ONE_HEADER = replace(WORDS, step_header="# {name}\n")


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine.from_pretrained(scripted_model.save(tmp_path_factory.mktemp("scripted"), *CHAINS))


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Random weights and bytes as tokens: what it says depends on all that it sees."""
    folder = tiny_models.save(tiny_models.build("llama", vocab_size=264), tmp_path_factory.mktemp("random"))
    scripted_model.byte_tokenizer().save_pretrained(folder)
    return Engine.from_pretrained(folder)


@pytest.fixture(autouse=True)
def nothing_stays_in_the_cache(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    for name in {"scripted", "random_model"} & set(request.fixturenames):
        engine: Engine = request.getfixturevalue(name)
        engine.cache.check()
        assert engine.cache.num_tokens == 0, "the test or the run left blocks behind"


class Play:
    """One collaboration from its opening on, and all that it told."""

    def __init__(
        self, engine: Engine, *workers: str, words: Prompting | None = WORDS, layout: Any = "contiguous", **brief: Any
    ) -> None:
        self.engine = engine
        self.told: list[Happening] = []
        given = Brief(brief.pop("task", "What?"), workers, **brief)
        self.run = Collaboration(engine, given, layout=layout, prompting=words, listener=self.told.append)
        self.steps = 0

    def __enter__(self) -> Play:
        self.run.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.run.release()

    def step(self, *others: Play, mass: bool = False) -> list[Happening]:
        plays = {one.run: one for one in (self, *others)}
        news: list[Happening] = []
        for run, happenings, *_ in advance(self.engine, list(plays), mass=mass):
            plays[run].told += happenings
            news += happenings
            plays[run].steps += 1
        for play in plays.values():
            play.run.settle()
        return news

    def to_the_end(self, *others: Play, limit: int = 700) -> Play:
        for _ in range(limit):
            if all(play.run.ended for play in (self, *others)):
                return self
            self.step(*others)
        raise AssertionError("the run does not end")

    def of(self, kind: str, worker: str | None = None) -> list[Happening]:
        return [one for one in self.told if one.kind == kind and worker in (None, one.worker)]

    def said(self, worker: str) -> str:
        return "".join(one.text for one in self.of("decoded", worker))

    def ids(self, worker: str) -> list[int]:
        return [token for one in self.of("decoded", worker) for token in one.ids]

    def injected(self, source: str) -> list[tuple[str, str]]:
        return [(one.worker, one.text) for one in self.of("injected") if one.role == source]

    def state(self, worker: str) -> State:
        return self.run.space.workers[worker].state


# From the opening to the answer.


def test_workers_begin_with_their_headers_write_at_once_and_end_with_one_answer(scripted: Engine) -> None:
    with Play(scripted, "Alice", "Bob") as play:
        assert play.injected("header") == [("Alice", "# Alice\n"), ("Bob", "# Bob\n")]
        first = play.step()
        assert [(one.worker, one.text) for one in first] == [("Alice", "A1 "), ("Bob", "B1 ")]
        play.to_the_end()
        assert play.said("Bob") == "B1 B2 B3 B4."
        assert play.injected("closing") == [("Alice", "Joint answer:\n")]
        assert play.said("Alice") == "A1 A2 A3.It is done."
        assert play.run.answer == "It is done."
        assert play.state("Alice") is play.state("Bob") is State.FINISHED


def test_the_text_that_is_told_is_what_stands_in_the_blocks(scripted: Engine) -> None:
    with Play(scripted, "Alice", "Bob", "Erin", layout="combined") as play:
        play.to_the_end()
        assert_logged_as_held(play)


def test_a_list_is_closed_in_parts(scripted: Engine) -> None:
    words = replace(WORDS, closing_part="Items {first} to {last}:\n")
    with Play(scripted, "Alice", "Bob", words=words, items=3) as play:
        play.to_the_end()
        assert play.injected("closing") == [("Alice", "Items 1 to 2:\n"), ("Bob", "Items 3 to 3:\n")]
        assert play.run.answer == "1: x\n3: z"


def test_without_a_closing_prompt_a_run_ends_without_an_answer(scripted: Engine) -> None:
    with Play(scripted, "Alice", words=NO_CLOSING) as play:
        play.to_the_end()
        assert play.run.answer == ""


def test_an_answer_is_no_longer_than_the_prompting_allows(scripted: Engine) -> None:
    with Play(scripted, "Alice", words=replace(WORDS, closing="# Dave\n", closing_tokens=4)) as play:
        play.to_the_end()
        assert play.run.answer == "tick tick tick tick"


def test_characters_of_several_tokens_are_told_when_they_are_complete(scripted: Engine) -> None:
    with Play(scripted, "Heidi") as play:
        play.to_the_end()
        assert [one.text for one in play.of("decoded")][:5] == ["", "", "", "😀", " Heidi."]


def test_what_follows_from_a_token_is_told_after_it(scripted: Engine) -> None:
    with Play(scripted, "Dave", budget=3) as play:
        play.to_the_end()
        ends = [play.told.index(one) for one in play.of("state") if one.role == "out_of_budget"]
        third = [play.told.index(one) for one in play.of("decoded")][2]
        assert ends[0] > third


def test_a_workers_own_words_replace_those_of_the_model(scripted: Engine) -> None:
    words = replace(WORDS, header="# Bob\n", closing="Items 3 to 3:\n")
    with Play(scripted, "Alice", words=words) as play:
        play.to_the_end()
        assert play.said("Alice") == "B1 B2 B3 B4.3: z"
    with Play(scripted, "Alice", words=None) as play:  # the model's own prompting.json
        play.to_the_end()
        assert play.said("Alice") == "A1 A2 A3.It is done."


# The prompt.

SYSTEM = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% for t in tools or [] %}<tool>{{ t.function.name }}{% endfor %}{% if add_generation_prompt %}<go>{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + SYSTEM
)
NO_SYSTEM_SAID = SYSTEM.replace("in messages %}", "in messages if m.role != 'system' %}")
TOOL = {"type": "function", "function": {"name": "gcd", "parameters": {"type": "object", "properties": {}}}}


def prompt(engine: Engine, words: Prompting = WORDS) -> str:
    brief = Brief("How many?", ("Alice", "Bob"), tools=("gcd(a, b)",), schemas=(TOOL,))
    return Collaboration(engine, brief, prompting=words).prompt_text()


def test_a_chat_template_with_a_system_role_gets_the_rules_there(
    scripted: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted.tokenizer, "chat_template", SYSTEM)
    assert prompt(scripted) == "<system>Alice and Bob work together.\n\nTools:\ngcd(a, b)<user>How many?<go>"


@pytest.mark.parametrize("template", [NO_SYSTEM, NO_SYSTEM_SAID], ids=["refuses", "leaves out"])
def test_a_chat_template_without_a_system_role_gets_the_rules_before_the_task(
    template: str, scripted: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted.tokenizer, "chat_template", template)
    assert prompt(scripted) == "<user>Alice and Bob work together.\n\nTools:\ngcd(a, b)\n\nHow many?<go>"


@pytest.mark.parametrize("template", [SYSTEM, NO_SYSTEM], ids=["system", "no-system"])
def test_tools_go_into_the_template_where_the_words_say_so(
    template: str, scripted: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted.tokenizer, "chat_template", template)
    text = prompt(scripted, replace(WORDS, tools_in_template=True))
    assert text.endswith("<tool>gcd<go>")
    assert "gcd(a, b)" not in text


@pytest.mark.parametrize("in_template", [True, False])
def test_without_a_chat_template_rules_tools_and_task_stand_in_plain_text(in_template: bool, scripted: Engine) -> None:
    text = prompt(scripted, replace(WORDS, tools_in_template=in_template))
    assert text == "Alice and Bob work together.\n\nTools:\ngcd(a, b)\n\nTask:\nHow many?\n\n"


@pytest.mark.parametrize("template", ["{{ messages[7].content }}", "{% for %}", "{{ 1 / 0 }}"])
def test_a_chat_template_that_cannot_be_used_is_one_clear_error(
    template: str, scripted: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted.tokenizer, "chat_template", template)
    with pytest.raises(HogwildError, match="chat template") as error:
        prompt(scripted)
    assert "\n" not in str(error.value)


def test_a_model_without_a_tokenizer_is_refused(engine: Callable[[str], Engine]) -> None:
    with pytest.raises(HogwildError, match=r"no tokenizer.*Engine\.decode"):
        Collaboration(engine("llama"), Brief("x", ("Alice",)))


def test_a_run_without_workers_is_refused(scripted: Engine) -> None:
    with pytest.raises(HogwildError, match="at least one worker"):
        Collaboration(scripted, Brief("x", ()))


def test_a_task_that_does_not_fit_is_refused_and_nothing_stays_in_the_cache(scripted: Engine) -> None:
    play = Play(scripted, "Alice", task="x" * 3000)
    with pytest.raises(ContextOverflow, match=r"3,0\d\d tokens long and the model holds 2,048"):
        play.run.open()


# Steps.


@pytest.mark.parametrize("layout", ["interleaved", "combined"])
def test_a_step_ends_with_its_mark_and_the_next_begins_with_a_numbered_header(layout: str, scripted: Engine) -> None:
    with Play(scripted, "Erin", "Frank", layout=layout) as play:
        play.to_the_end()
        assert play.said("Erin") == "E1\n\nE2\n\nE3.It is done."
        assert play.said("Frank") == "F1 F2 F3\n\nF4."
        assert [text for name, text in play.injected("header") if name == "Erin"] == [
            "# Erin\n",
            "# Erin 2\n",
            "# Erin 3\n",
            "# Erin 4\n",  # she had ended, and was asked for the answer
        ]
        assert len(play.of("frozen")) == 1 + 4 + 2  # the prompt, four steps of Erin's, two of Frank's
        assert_logged_as_held(play)


def test_finished_steps_of_others_are_seen_in_the_order_of_finishing(scripted: Engine) -> None:
    with Play(scripted, "Frank", "Erin", layout="interleaved") as play:
        play.to_the_end()
        owners = {one.block: one.worker for one in play.of("opened")}
        finished = [owners[block.id] for block in play.run.space.history]
        assert finished == ["Erin", "Frank", "Erin", "Frank", "Erin", "Frank"]  # the last is the answer


def test_the_last_step_of_a_worker_that_has_finished_is_seen_by_whoever_writes_the_answer(scripted: Engine) -> None:
    with Play(scripted, "Alice", "Bob", layout="interleaved") as play:
        while not play.run.closing:
            play.step()
        bob = {one.block for one in play.of("opened", "Bob")}
        assert bob & {block.id for block in play.run.space.view("Alice")}


@pytest.mark.parametrize("layout", ["contiguous", "independent"])
def test_layouts_without_steps_freeze_nothing(layout: str, scripted: Engine) -> None:
    with Play(scripted, "Frank", layout=layout) as play:
        play.to_the_end()
        assert play.said("Frank") == "F1 F2 F3\n\nIt is done."
        assert len(play.of("frozen")) == 1  # the prompt


def test_hundreds_of_steps_become_a_few_blocks(scripted: Engine) -> None:
    with Play(scripted, "Grace", words=ONE_HEADER, layout="interleaved", budget=120) as play:
        play.to_the_end()
        assert len(play.run.space.history) < 15
        merged = play.of("merged")
        assert merged
        gone = {block for one in merged for block in one.ids}
        assert not gone & {block.id for block in scripted.cache.blocks}
        steps = 2 * 120  # header and token of each
        answer = len(play.run._encode(ONE_HEADER.begin_step("Grace", 120) + ONE_HEADER.closing)) + 2
        assert sum(one.length for one in play.run.space.history) == steps + answer


@pytest.mark.parametrize("layout", ["interleaved", "combined"])
def test_merging_finished_steps_moves_no_logit(
    layout: str, random_model: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer: Any = random_model.tokenizer
    letters = set(tokenizer.encode("abc."))
    how = Sampling(temperature=1.0, seed=4, banned=tuple(token for token in range(264) if token not in letters))
    words = replace(WORDS, step_end=".", step_header="# {name}\n")

    def logits() -> tuple[list[torch.Tensor], int, dict[str, list[int]]]:
        with Play(random_model, "Alice", "Bob", layout=layout, words=words, sampling=how, budget=90) as play:
            rows, merged = [], 0
            while not play.run.closing:
                feeds = play.run.feeds()
                row, _ = random_model.step_last(feeds)
                rows += row
                samplers, written = zip(*(play.run.chooser(feed.tag) for feed in feeds), strict=True)
                play.told += play.run.took(feeds, choose(samplers, row, written).ids())
                play.run.settle()
            merged = len(play.of("merged"))
            return rows, merged, {name: play.ids(name) for name in ("Alice", "Bob")}

    with_merging = logits()
    monkeypatch.setattr(collaboration, "COMPACT", 10**9)
    without = logits()
    assert with_merging[1] >= 2
    assert without[1] == 0
    assert with_merging[2] == without[2]
    assert max(relative_error(a, b) for a, b in zip(with_merging[0], without[0], strict=True)) < 1e-4


# Checks.


def test_a_check_comes_at_the_end_of_a_step_after_so_many_tokens(scripted: Engine) -> None:
    words = replace(WORDS, check="Check?", check_every=2)
    with Play(scripted, "Frank", "Grace", words=words, budget=7) as play:
        play.to_the_end()
        assert play.said("Grace") == "g\n\ng\n\nNo. g\n\nNo. g\n\nNo. "
        # Frank's first step ends with its third token.
        assert play.injected("check")[0] == ("Grace", "Check?")
        assert ("Frank", "Check?") in play.injected("check")
        frank = [one.text for one in play.told if one.worker == "Frank" and one.kind in ("decoded", "injected")]
        assert frank[:5] == ["# Frank\n", "F1 ", "F2 ", "F3\n\n", "Check?"]


def test_no_check_comes_into_the_closing(scripted: Engine) -> None:
    words = replace(WORDS, check="Check?", check_every=1, closing="# Grace\n", closing_tokens=5)
    with Play(scripted, "Alice", words=words) as play:
        play.to_the_end()
        assert play.injected("check") == []
        assert play.run.answer == "\n\n".join("ggggg")


def test_a_check_every_0_tokens_never_comes(scripted: Engine) -> None:
    with Play(scripted, "Grace", words=replace(WORDS, check="Check?"), budget=9) as play:
        play.to_the_end()
        assert play.injected("check") == []


def test_a_check_does_not_lift_a_budget(scripted: Engine) -> None:
    words = replace(WORDS, check="Check?", check_every=3, closing="")
    with Play(scripted, "Grace", words=words, budget=3) as play:
        play.to_the_end()
        assert play.run.sampled == 3


@pytest.mark.parametrize("layout", ["interleaved", "combined"])
def test_a_check_is_told_with_the_block_that_holds_it(layout: str, scripted: Engine) -> None:
    words = replace(ONE_HEADER, check="Check?", check_every=3)
    with Play(scripted, "Grace", words=words, budget=12, layout=layout) as play:
        play.to_the_end()
        assert play.injected("check")
        assert_logged_as_held(play)


def test_a_worker_that_is_retired_is_not_asked_any_more(scripted: Engine) -> None:
    words = replace(ONE_HEADER, check="Check?", check_every=1)
    with Play(scripted, "Grace", "Dave", words=words, budget=20, layout="combined") as play:
        play.step()
        assert play.run.space.workers["Grace"].closes, "the check waits for the new step's block"
        play.run.retire("Grace")
        play.to_the_end()
        assert play.injected("check") == []


# Budgets.


def test_a_budget_per_worker_leads_to_the_closing(scripted: Engine) -> None:
    with Play(scripted, "Dave", "Alice", budget=5) as play:
        play.to_the_end()
        assert play.said("Dave") == "tick tick tick tick tick It is done."
        assert ("out_of_budget", "Dave") in [(one.role, one.worker) for one in play.of("state")]
        assert play.said("Alice") == "A1 A2 A3."
        assert play.run.answer == "It is done."


@pytest.mark.parametrize("budget", [1, 4, 5, 6, 7])
def test_a_budget_for_the_run_counts_all_workers_together(budget: int, scripted: Engine) -> None:
    with Play(scripted, "Dave", "Grace", "Bob", run_budget=budget, words=NO_CLOSING) as play:
        play.to_the_end()
        assert play.run.sampled == budget


def test_a_spent_run_still_asks_for_its_answer(scripted: Engine) -> None:
    with Play(scripted, "Dave", "Grace", run_budget=8) as play:
        play.to_the_end()
        assert play.run.answer == "It is done."


def test_a_worker_whose_view_has_become_too_long_ends_and_the_run_with_it(tmp_path: Path) -> None:
    engine = Engine.from_pretrained(scripted_model.save(tmp_path, *CHAINS, max_positions=256))
    with Play(engine, "Dave", "Alice", task="x") as play:
        play.to_the_end()
        assert ("Dave", "out_of_budget") in [(one.worker, one.role) for one in play.of("state")]
        assert play.said("Alice").startswith("A1 A2 A3.")
        held = sum(block.length for block in play.run.space.blocks())
        assert 200 < held <= 256


def test_a_worker_whose_view_has_become_too_long_is_still_asked_for_the_answer(tmp_path: Path) -> None:
    engine = Engine.from_pretrained(scripted_model.save(tmp_path, *CHAINS, max_positions=256))
    with Play(engine, "Dave", task="x") as play:
        play.to_the_end()
        assert play.run.answer == "It is done."


# Waiting, pausing, stopping, speaking.


def test_a_worker_that_waits_lets_the_others_go_on_and_reads_the_result(scripted: Engine) -> None:
    with Play(scripted, "Alice", "Dave", budget=30) as play:
        play.step()
        play.run.hold("Alice")
        for _ in range(5):
            assert {one.worker for one in play.step() if one.kind == "decoded"} == {"Dave"}
        text, ids = play.run.respond("Alice", "42")
        assert text == "<tool_response>42</tool_response>"
        assert len(ids) == 1
        play.to_the_end()
        assert play.said("Alice") == "A1 So 42.It is done."


def test_the_result_is_in_the_callers_block_where_the_others_see_it(random_model: Engine) -> None:
    """The other worker's next logits differ with the result that the caller was given."""

    def logits(result: str) -> torch.Tensor:
        with Play(random_model, "Alice", "Bob") as play:
            play.step()
            play.run.hold("Alice")
            play.run.respond("Alice", result)
            rows, _ = random_model.step_last(play.run.feeds())
            return rows[1].clone()

    assert torch.equal(logits("12"), logits("12"))
    assert not torch.equal(logits("12"), logits("13"))


def test_a_paused_run_has_nothing_due_and_goes_on_with_the_same_tokens(scripted: Engine) -> None:
    with Play(scripted, "Alice", "Bob") as play:
        play.step()
        play.run.pause()
        assert play.step() == []
        assert not play.run.ended
        play.run.resume()
        play.to_the_end()
        assert play.said("Alice") == "A1 A2 A3.It is done."
        assert play.said("Bob") == "B1 B2 B3 B4."
        assert [one.role for one in play.of("state", "Bob")] == ["paused", "decoding", "finished"]


@pytest.mark.parametrize("before", ["nothing", "pause", "hold"])
def test_a_stopped_run_ends_at_once_without_an_answer(before: str, scripted: Engine) -> None:
    with Play(scripted, "Alice", "Dave") as play:
        play.step()
        if before == "pause":
            play.run.pause()
        elif before == "hold":
            play.run.hold("Alice")
        play.run.stop()
        assert play.run.ended
        assert play.step() == []
        play.run.stop()  # again is harmless
        assert play.run.answer == ""
        assert play.state("Dave") is State.STOPPED


def test_a_worker_that_had_finished_before_a_stop_stays_finished(scripted: Engine) -> None:
    with Play(scripted, "Alice", "Dave") as play:
        for _ in range(4):
            play.step()
        play.run.stop()
        assert play.state("Alice") is State.FINISHED


def test_a_persons_words_stand_where_the_worker_writes(scripted: Engine) -> None:
    words = replace(WORDS, person="({name}, {content})")
    with Play(scripted, "Alice", "Bob", words=words) as play:
        play.step()
        play.run.say("Bob", "listen")
        play.to_the_end()
        assert play.injected("person") == [("Bob", "(Bob, listen)")]
        assert play.said("Bob") == "B1 I do."


def test_words_for_a_worker_that_waits_are_read_and_it_waits_on(scripted: Engine) -> None:
    with Play(scripted, "Alice", "Dave", budget=9) as play:
        play.step()
        play.run.hold("Alice")
        play.run.say("Alice", "hurry")
        play.step()
        assert play.state("Alice") is State.WAITING
        play.run.respond("Alice", "42")
        play.to_the_end()
        assert play.said("Alice") == "A1 So 42.It is done."


def test_words_for_a_worker_that_ended_with_a_step_do_not_keep_the_run_from_ending(scripted: Engine) -> None:
    with Play(scripted, "Grace", "Alice", words=replace(ONE_HEADER, closing=""), layout="combined", budget=3) as play:
        while play.state("Grace") is not State.OUT_OF_BUDGET:
            play.step()
        play.run.say("Grace", "more")
        play.to_the_end()


# Joining.


def test_a_worker_that_joins_sees_the_others_and_is_seen(random_model: Engine) -> None:
    with Play(random_model, "Alice", "Bob", budget=12, words=NO_CLOSING) as play:
        for _ in range(3):
            play.step()
        play.run.add_worker("Carol")
        assert play.injected("header")[-1] == ("Carol", "# Carol\n")
        play.step()
        own = {name: play.run.space.own(name) for name in ("Alice", "Bob", "Carol")}
        assert own["Alice"] in play.run.space.view("Carol")
        assert own["Carol"] in play.run.space.view("Alice")
        play.to_the_end()
        assert len(play.ids("Carol")) == 12


@pytest.mark.parametrize("layout", ["contiguous", "interleaved", "combined", "independent"])
def test_a_worker_can_join_in_mid_run_in_every_layout(layout: str, scripted: Engine) -> None:
    with Play(scripted, "Erin", "Bob", layout=layout) as play:
        play.step()
        play.step()
        play.run.add_worker("Carol", Sampling(temperature=1.0, seed=3, banned=(1,)))
        play.to_the_end()
        assert play.said("Carol") == "C1 C2."
        assert play.run.answer == "It is done."
        assert_logged_as_held(play)


def test_a_worker_that_joins_has_the_budget_of_the_others(scripted: Engine) -> None:
    with Play(scripted, "Alice", budget=6) as play:
        play.step()
        play.run.add_worker("Dave")
        play.to_the_end()
        assert play.said("Dave") == "tick " * 6


def test_a_name_is_taken_once_and_the_refused_worker_leaves_no_trace(scripted: Engine) -> None:
    with Play(scripted, "Heidi") as play:
        play.step()
        play.step()  # two of four bytes of a character
        with pytest.raises(ViewError, match="Heidi"):
            play.run.add_worker("Heidi")
        play.to_the_end()
        assert play.said("Heidi").startswith("😀 Heidi.")


def test_whoever_joins_is_told_of_those_who_joined_before(scripted: Engine) -> None:
    words = replace(WORDS, header="{name} sees {others}\n")
    with Play(scripted, "Alice", words=words) as play:
        play.step()
        play.run.add_worker("Bob")
        play.run.add_worker("Carol")
        assert play.injected("header")[-1] == ("Carol", "Carol sees Alice and Bob\n")
        play.run.stop()


# Sampling and seeds.


def sampled(engine: Engine, seed: int, **sampling: Any) -> dict[str, list[int]]:
    with Play(engine, "Alice", "Bob", sampling=Sampling(seed=seed, **sampling), budget=12, words=NO_CLOSING) as play:
        play.to_the_end()
        return {name: play.ids(name) for name in ("Alice", "Bob")}


def test_two_runs_with_one_seed_say_the_same_and_another_seed_something_else(random_model: Engine) -> None:
    assert sampled(random_model, 1, temperature=1.0) == sampled(random_model, 1, temperature=1.0)
    assert sampled(random_model, 1, temperature=1.0) != sampled(random_model, 2, temperature=1.0)


def test_workers_of_one_seed_do_not_draw_alike(random_model: Engine) -> None:
    words = replace(WORDS, header="# worker\n", closing="")
    how = Sampling(temperature=1.0)
    with Play(random_model, "Alice", "Bob", layout="independent", words=words, sampling=how, budget=12) as play:
        play.to_the_end()
        assert play.ids("Alice") != play.ids("Bob")


def test_banned_tokens_are_not_said_in_a_run(random_model: Engine) -> None:
    banned = tuple(range(0, 264, 2))
    ids = sampled(random_model, 1, temperature=1.0, banned=banned)
    assert ids["Alice"]
    assert not set(ids["Alice"] + ids["Bob"]) & set(banned)


# Several runs at once.


def talk(engine: Engine, task: str, *others: str, layout: str = "contiguous") -> dict[str, list[int]]:
    """What the workers of the first task say, with or without other runs beside it."""
    how: dict[str, Any] = {"sampling": Sampling(temperature=0.8, seed=6), "budget": 20, "layout": layout}
    plays = [Play(engine, "Alice", "Bob", task=one, **how) for one in (task, *others)]
    for play in plays:
        play.run.open()
    plays[0].to_the_end(*plays[1:])
    for play in plays:
        play.run.release()
    return {name: plays[0].ids(name) for name in ("Alice", "Bob")}


@pytest.mark.parametrize("layout", ["contiguous", "combined"])
def test_a_run_says_the_same_whatever_runs_beside_it(layout: str, random_model: Engine) -> None:
    alone = talk(random_model, "first task", layout=layout)
    assert talk(random_model, "first task", "second task", layout=layout) == alone
    assert talk(random_model, "first task", "another", "and a third", layout=layout) == alone
    assert talk(random_model, "other task", layout=layout) != alone


def test_runs_with_different_layouts_share_a_step(scripted: Engine) -> None:
    plays = [
        Play(scripted, "Erin", "Bob", layout=name) for name in ("contiguous", "interleaved", "combined", "independent")
    ]
    for play in plays:
        play.run.open()
    plays[0].to_the_end(*plays[1:])
    assert [play.run.answer for play in plays] == ["It is done."] * 4
    assert plays[0].said("Erin") == "E1\n\nIt is done."
    assert plays[1].said("Erin") == plays[2].said("Erin") == "E1\n\nE2\n\nE3.It is done."
    for play in plays:
        play.run.release()


def test_nothing_is_due_when_all_runs_have_ended(scripted: Engine) -> None:
    with Play(scripted, "Carol") as play:
        play.to_the_end()
        assert advance(scripted, [play.run]) == []
    assert advance(scripted, []) == []


def test_a_run_follows_a_layout_that_a_person_wrote(random_model: Engine) -> None:
    def alone_with_the_first(given: Any, worker: str) -> Any:
        first = () if worker == "Alice" else given.open["Alice"]
        return (*given.prompt, *first, *given.open[worker])

    layout = Layout("a teacher", alone_with_the_first)
    with Play(random_model, "Alice", "Bob", "Carol", layout=layout, budget=8, words=NO_CLOSING) as play:
        play.step()
        assert len(play.run.space.view("Alice")) == 2
        assert play.run.space.view("Carol")[1] is play.run.space.own("Alice")
        play.to_the_end()


# Attention.


@pytest.mark.parametrize("layout", ["contiguous", "interleaved", "combined", "independent"])
def test_the_shares_of_attention_sum_to_one_over_the_blocks_of_the_view(layout: str, random_model: Engine) -> None:
    words = replace(WORDS, step_end=" ", step_header="# {name}\n", separator="##")
    runs = [Play(random_model, "Alice", "Bob", layout=layout, budget=10, words=words) for _ in range(2)]
    for play in runs:
        play.run.open()
    for _ in range(6):
        for _, _, step, feeds in advance(random_model, [play.run for play in runs], mass=True):
            for feed in feeds:
                shares = step.attention_of(feed)
                assert sum(shares.values()) == pytest.approx(1.0, abs=1e-4)
                assert set(shares) == {block.id for block in feed.view if block.length}
                assert all(share >= 0 for share in shares.values())
    for play in runs:
        play.run.release()


def assert_logged_as_held(play: Play) -> None:
    """For every closed block: the tokens that were told of it are as many as it holds."""
    told: dict[int, int] = defaultdict(int)
    for one in play.told:
        if one.kind in ("opened", "decoded", "injected"):
            told[one.block] += len(one.ids)
    for one in play.of("frozen"):
        assert told[one.block] == one.length, f"block {one.block}"
