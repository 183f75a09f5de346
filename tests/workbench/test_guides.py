"""Guided calls: no right call is ever in the way, no wrong name can be written, and a proof chooses as the run did.

In: the embedded model and its lessons, scripted models that write noise (`tests/hogwild/scripted_model.py`). Out: the
tokens that may be chosen, and runs. Neighbours: `workbench.guides`, `workbench.lexicon`, `toolsets.guiding`.
"""

from __future__ import annotations

import json
import random
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))

from scenes import FEW, Scene
from scripted_model import WORDS, save

from hogwild import Engine, Sampling
from hogwild.embedded.lessons import MEND, WHOLE_WORLD, Sheets, sheet_of
from hogwild.embedded.script import play
from hogwild.embedded.vocabulary import Vocabulary
from hogwild.layouts import LAYOUTS
from hogwild.sampling import Allowed, Sampler
from hogwild.text import TextOf
from toolsets.guiding import CallGrammar, Signature
from toolsets.standard import STANDARD
from toolsets.tool import Tool
from workbench import Workbench, going_on
from workbench import events as ev
from workbench.cli import app
from workbench.errors import UsageError
from workbench.evaluate import play as evaluate
from workbench.evaluate_sets import SETS
from workbench.guides import CallGuide
from workbench.lexicon import lexicon_of
from workbench.models import load_engine
from workbench.plan_reader import UNREAD
from workbench.replay import prove, versions

LIMIT_S = 20.0


@pytest.fixture(scope="module")
def embedded() -> Engine:
    return load_engine("embedded")


def signatures(tools: Any) -> list[Signature]:
    return [Signature.of(tool.name, tool) for tool in tools]


def may(allowed: Allowed | None, token: int) -> bool:
    return allowed is None or (token in allowed.ids.tolist()) != allowed.but


def test_every_call_that_the_embedded_model_is_trained_on_can_be_written_token_by_token(embedded: Engine) -> None:
    """Two hundred lessons of every sort: single calls, plans, rounds, made tools, held-out ones."""
    sorts = [sheets for stage in (*WHOLE_WORLD, *MEND) for sheets in stage.sheets]
    encoder, inside, calls = Vocabulary(embedded.tokenizer), 0, 0
    for seed in range(200):
        sheets: Sheets = sorts[seed % len(sorts)]
        sheet = sheet_of(replace(sheets, items=(1, 3)), seed, "held_out" if seed % 3 == 0 else "train")
        lesson = play(sheet, encoder, 2, LAYOUTS["contiguous"], rng=random.Random(seed), habits=sheets.habits)
        guide, texts = CallGuide(embedded), dict[int, TextOf]()
        guide.offer(signatures(sheet.tools))
        for choice in lesson.choices:
            allowed = guide.allowed(str(choice.block))
            inside += allowed is not None
            assert may(allowed, choice.token), (seed, encoder.tokenizer.decode([choice.token]))
            text = texts.setdefault(choice.block, TextOf(embedded.tokenizer)).add(choice.token)
            calls += text == "</tool_call>"
            guide.wrote(str(choice.block), text)
    assert calls > 300
    assert inside > 10 * calls


@pytest.mark.parametrize("temperature", [1.0, 0.0])
def test_noise_that_is_guided_names_offered_tools_and_all_that_they_need(embedded: Engine, temperature: float) -> None:
    """Of logits without any sense, in the embedded model's vocabulary."""
    offered = {name: STANDARD[name] for name in sorted(STANDARD)[::3]}
    guide, names = CallGuide(embedded), set[str]()
    guide.offer(signatures(offered.values()))
    grammar = CallGrammar(signatures(offered.values()))
    generator = torch.Generator().manual_seed(0)
    sampler = Sampler(Sampling(temperature=temperature, seed=1))
    quotes = [id for id in range(embedded.vocab_size) if '"' in embedded.tokenizer.decode([id])]
    for number in range(60):
        worker, texts, written = str(number), TextOf(embedded.tokenizer), ""
        guide.wrote(worker, "<tool_call>")
        while not written.endswith("</tool_call>") and len(written) < 3000:
            row = torch.randn(embedded.vocab_size, generator=generator)
            row[quotes] += 1.0  # or a text would hardly ever end
            text = texts.add(sampler(row, (), guide.allowed(worker)))
            written += text
            guide.wrote(worker, text)
        if written.endswith("</tool_call>"):
            text = written.split("<tool_call>")[-1].removesuffix("</tool_call>")
            state = grammar.after(text)
            assert state is not None
            if state[0][0] == "string":  # broken off, which the parser tells the worker
                continue
            call = json.loads(text, parse_float=str, parse_int=str, strict=False)  # 1e999 is sound, and too large
            parameters = offered[call["name"]].parameters
            assert set(parameters["required"]) <= set(call["arguments"]) <= set(parameters["properties"])
            names.add(call["name"])
    assert len(names) > 10


LETTERS = '{}[]":, \n-.1234567890abcdgumnetrs<>/_l'


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Opens calls and writes noise in them, of bytes and of the marks of JSON, with a bent for short values."""
    marks = ("{", '{"', '": "', '", "', ', "', '": {"', '"}}', '"}', "name", "arguments")
    chains = [["# Alice\n", "I ", "<tool_call>"], ["# Bob\n", "so ", "I "], ['": ', "1", "}}", "</tool_call>", "I "]]
    words = {**WORDS, "closing": ""}
    return Engine.from_pretrained(save(tmp_path_factory.mktemp("noise"), *chains, *zip(marks), words=words))


def noisy(engine: Engine, seed: int, **spec: Any) -> Scene:
    texts = [engine.tokenizer.decode([token]) for token in range(len(engine.tokenizer))]
    rare = [id for id, text in enumerate(texts) if len(text) == 1 and text not in LETTERS]
    # The end of its turn is what this model likes best in the middle of a text.
    sampling = Sampling(temperature=1.0, banned=(*rare, *engine.end_ids))
    how = {"tools": FEW, "seed": seed, "sampling": sampling, "max_tokens": 150, **spec}
    scene = Scene(engine, "Alice", "Bob", **how)
    scene.hear(
        ev.RunStarted("?", [], "here", engine.fingerprint, versions(), 0, "contiguous", ["Alice", "Bob"], {}, [])
    )
    return scene


def events_of(scene: Scene) -> list[ev.Event]:
    return [ev.Event("run", seq, 0.0, payload) for seq, payload in enumerate(scene.told, 1)]


def test_a_run_whose_model_writes_noise_calls_offered_tools_only_and_is_proved(noise: Engine) -> None:
    planned: list[ev.CallPlanned] = []
    for seed in range(4):
        with noisy(noise, seed) as scene:
            scene.to_the_end()
        planned += [one for one in scene.of(ev.CallPlanned) if one.tool != UNREAD]
        told = scene.of(ev.CallsGuided)
        assert [one["name"] for one in told[0].tools] == list(FEW)
        events = events_of(scene)
        proof = prove(events, noise)
        assert proof, str(proof)
        unguided = [one for one in events if not isinstance(one.payload, ev.CallsGuided)]
        assert not prove(unguided, noise)  # so the guide has chosen
    assert len(planned) > 3
    assert {one.tool for one in planned} == set(FEW)
    assert all(set(one.arguments) == {"a", "b"} for one in planned)


def test_a_run_with_free_calls_is_not_guided_and_proved_without_a_guide(noise: Engine) -> None:
    with noisy(noise, 0, guided=False) as scene:
        scene.to_the_end()
    assert not scene.of(ev.CallsGuided)
    assert prove(events_of(scene), noise)
    with noisy(noise, 0, front="dta") as scene:  # another grammar than the guide's
        scene.to_the_end()
    assert not scene.of(ev.CallsGuided)


def test_what_a_person_says_in_the_middle_of_a_call_ends_its_guidance_and_the_proof_knows(noise: Engine) -> None:
    with noisy(noise, 3) as scene:
        for number in range(200):
            if number == 8:
                scene.driver.say("Alice", "Wait.", "line-1")
            if scene.driver.ended:
                break
            scene.step()
    assert [one.worker for one in scene.injected("person")] == ["Alice"]
    assert prove(events_of(scene), noise)


def test_a_fork_in_the_middle_of_a_call_and_one_without_the_tool_are_guided(noise: Engine, tmp_path: Path) -> None:
    with Workbench(
        str(noise.directory),
        data_dir=tmp_path,
        tools=["gcd", "add"],
        temperature=1.0,
        seed=2,
        max_tokens=300,
        workers=1,
    ) as bench:
        run = bench.run("?")
        assert run.wait(LIMIT_S)
        written, middle, name = "", 0, ""
        for event in run.events():
            if isinstance(event.payload, ev.TokensAdded) and not name:
                written += "".join(one["text"] for one in event.payload.tokens)
                name = {"g": "gcd", "a": "add"}.get(written[-1:], "") if re.search('"name": ?".$', written) else ""
                middle = event.payload.step
        assert name
        same = run.fork(middle)
        other = run.fork(middle, without_tools=[name])
        assert same.wait(LIMIT_S)
        assert other.wait(LIMIT_S)
        lanes = [
            "".join(w["text"] for e in one.events() if isinstance(e.payload, ev.TokensAdded) for w in e.payload.tokens)
            for one in (run, same, other)
        ]
        assert lanes[0] == lanes[1] != lanes[2]
        assert same.prove()
        assert other.prove(), str(other.prove())
        guided = [one.payload for one in other.events() if isinstance(one.payload, ev.CallsGuided)]
        assert [len(one.tools) for one in guided] == [2, 1]


def test_a_cut_result_offers_the_tool_that_reads_on(noise: Engine) -> None:
    with noisy(noise, 0) as scene:
        scene.driver.calls.offer_reading()
        scene.step()
    assert [one["name"] for one in scene.of(ev.CallsGuided)[-1].tools] == [*FEW, "read_result"]


def test_unseen_tools_are_called_by_their_names(embedded: Engine) -> None:
    """Worksheets with tools that training never showed: no call is refused for a name."""
    told: list[ev.Event] = []
    unseen = next(case for case in SETS["unseen"].cases if case.name == "unseen")
    trials = [replace(unseen.trial(seed), ended=told.extend) for seed in range(500, 503)]
    tools = {tool.name: tool for trial in trials for tool in trial.sheet.tools}
    assert list(evaluate(embedded, trials))
    planned = [one.payload for one in told if isinstance(one.payload, ev.CallPlanned)]
    planned = [one for one in planned if one.tool != UNREAD]  # broken off in the middle of a text
    assert len(planned) >= 8
    for one in planned:
        parameters = tools[one.tool].parameters
        assert set(parameters["required"]) <= set(one.arguments) <= set(parameters["properties"])


# Tokenizers.


class _Bare:
    """An engine as far as a lexicon looks at it."""

    def __init__(self, tokenizer: Any, vocab_size: int = 0) -> None:
        self.tokenizer, self.vocab_size = tokenizer, vocab_size or len(tokenizer)
        self.end_ids = frozenset[int]()


def sentencepiece(**how: Any) -> PreTrainedTokenizerFast:
    """Pieces with `▁` for a blank, bytes for what has no piece; a leading blank is dropped in decoding."""
    pieces = [
        "▁",
        "▁{",
        '{"',
        "name",
        '":',
        '▁"',
        "gcd",
        '",',
        "▁arg",
        "uments",
        "a",
        "b",
        "1",
        "2",
        "}}",
        "<",
        "g",
        "c",
        "d",
    ]
    letters = sorted(set('{}":,▁</>_\n-.$[]abcdefghijklmnopqrstuvwxyz0123456789'))
    vocab = {
        piece: at for at, piece in enumerate(dict.fromkeys([*pieces, *letters, *(f"<0x{n:02X}>" for n in range(256))]))
    }
    merges = [("▁", "{"), ("{", '"'), ('"', ":"), ("▁", '"'), ('"', ","), ("}", "}")]
    made = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, **how)


def test_a_tokenizer_that_cleans_up_blanks_loses_no_letter_and_is_guided_too() -> None:
    """As that of Llama 3 is told to; before transformers skipped it for such tokenizers, it did."""
    tokenizer = sentencepiece(
        clean_up_tokenization_spaces=True,
        clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output=True,
    )
    texts, written = TextOf(tokenizer), '{"name": "gcd .b .c"}'
    pieces = [texts.add(token) for token in tokenizer.encode(written, add_special_tokens=False)]
    assert "".join(pieces).lstrip() == written
    assert lexicon_of(_Bare(tokenizer)) is not None  # type: ignore[arg-type]


def test_a_sentencepiece_tokenizer_is_guided_too() -> None:
    engine: Any = _Bare(sentencepiece())
    lexicon = lexicon_of(engine)
    assert lexicon is not None
    grammar = CallGrammar([Signature("gcd", ("a", "b"), ("a", "b"))])

    def next_texts(text: str) -> set[str]:
        state = grammar.after(text)
        assert state is not None
        allowed = lexicon.allowed(grammar, state)
        assert allowed is not None
        assert not allowed.but
        return {engine.tokenizer.convert_ids_to_tokens(id) for id in allowed.ids.tolist()} - {
            f"<0x{n:02X}>" for n in range(256)
        }

    assert next_texts('{"name": "') == {"g", "gcd"}
    assert next_texts('{"name":') == {"▁", '▁"', '"'}  # a blank may stand there, or not
    assert next_texts('{"name": "gcd", "arguments": {"a": 1, "') == {"b"}


def test_tokens_whose_texts_do_not_add_up_are_not_guided() -> None:
    made = Tokenizer(models.WordPiece({"[UNK]": 0, "{": 1, '"': 2, "name": 3}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    engine: Any = _Bare(PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]"))
    assert lexicon_of(engine) is None


def test_a_token_without_a_text_is_never_written_into_a_call(embedded: Engine) -> None:
    """Rows of the model beyond its tokenizer; nor does a turn end in the middle of a name."""
    engine: Any = _Bare(embedded.tokenizer, embedded.vocab_size + 8)
    lexicon = lexicon_of(engine)
    assert lexicon is not None
    grammar = CallGrammar([Signature("gcd", ("a", "b"), ("a", "b"))])
    for text in ('{"name": "g', '{"name": "gcd", "arguments": {"a": "', '{"name": "gcd", "arguments": {"a": "\\'):
        state = grammar.after(text)
        assert state is not None
        allowed = lexicon.allowed(grammar, state)
        assert not may(allowed, embedded.vocab_size)
        assert not may(allowed, embedded.vocab_size + 7)
        assert may(allowed, min(embedded.end_ids)) == text.endswith(': "')  # a text may be broken off


def test_a_token_that_ends_a_text_and_says_more_is_judged_by_what_it_says(embedded: Engine) -> None:
    def close(x: str) -> str:
        """Close."""
        return x

    lexicon = lexicon_of(embedded)
    assert lexicon is not None
    grammar = CallGrammar(signatures([Tool.from_function(close)]))
    state = grammar.after('{"name": "close", "arguments": {"x": "a')
    assert state is not None
    allowed = lexicon.allowed(grammar, state)
    (over, more) = (embedded.tokenizer.encode(text, add_special_tokens=False) for text in ('"}}', '", "'))
    assert may(allowed, over[0])
    assert not may(allowed, more[0])


# Settings.


def test_the_command_line_turns_the_guide_off_and_a_fork_goes_by_its_parent_s_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path))
    given = ["run", "1. What is 12 + 30?", "--free-calls", "--json", "--workers", "1", "--max-tokens", "60"]
    assert CliRunner().invoke(app, given).exit_code in (0, 1)
    with Workbench(workers=1) as bench:
        (row,) = bench.log.runs()
        child = bench.fork(row.run_id, 3)
        assert child.wait(LIMIT_S)
        for run_id in (row.run_id, child.id):
            kinds = [one.kind for one in bench.log.events(run_id)]
            assert "call_planned" in kinds
            assert "calls_guided" not in kinds
        started = next(one.payload for one in bench.log.events(row.run_id) if isinstance(one.payload, ev.RunStarted))
        assert started.settings["guided_calls"] is False
        older = replace(started, settings={})  # from before there was a guide
        assert bench.settings["guided_calls"] is True
        assert going_on._settings(bench.settings, older)["guided_calls"] is False


def test_a_setting_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(UsageError, match="guided_calls must be true or false"):
        Workbench(guided_calls="no")  # type: ignore[arg-type]
