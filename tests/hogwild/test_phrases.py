"""The phrase bank against the rules its users rely on: in comes hogwild.embedded.phrases, out come facts about it."""

import json
import random
import re
from collections import Counter
from string import Formatter

import pytest

from hogwild.embedded.phrases import FRAMES_HELD_OUT, FRAMES_TRAIN, PHRASES, WORDS, WORDS_HELD_OUT
from hogwild.embedded.pieces import PIECES
from hogwild.embedded.wordings import FRAMES, WORDINGS, as_expression, unfold
from hogwild.embedded.worksheets import coined
from toolsets.builtin import BUILTINS
from workbench.models import embedded_directory

PARAMETERS = {name: sorted(tool.parameters["properties"]) for name, tool in BUILTINS.items()}
SMALL_WORDS = set(
    re.findall(r"\w+", "a an and are by does for from how i if in is it many much of on or that the to what which")
)


def slots(phrase: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(phrase) if name is not None)


def plain(phrase: str) -> str:
    """The wording without capitals, spaces and final marks, so that only a real difference counts as one."""
    return re.sub(r"\s+", "", phrase.lower()).rstrip(".?!")


def framed(frames: tuple[str, ...], nouns: tuple[str, ...]) -> list[str]:
    return [frame.replace("{x}", noun) for frame in frames for noun in nouns]


def key_words(phrases: tuple[str, ...]) -> set[str]:
    without_slots = [re.sub(r"\{\w+\}", " ", phrase.lower()) for phrase in phrases]
    return {word for phrase in without_slots for word in re.findall(r"[a-z]+|[%*/^+-]", phrase)} - SMALL_WORDS


def training_strings() -> list[str]:
    return [s for p in PHRASES.values() for s in (*p.questions_train, *framed(FRAMES_TRAIN, p.nouns_train))]


def test_every_built_in_tool_has_phrases() -> None:
    assert set(PHRASES) == set(PARAMETERS)
    assert len(PHRASES) == 20


@pytest.mark.parametrize("tool", PARAMETERS)
def test_a_tool_has_enough_wordings(tool: str) -> None:
    p = PHRASES[tool]
    assert min(len(p.nouns_train), len(p.questions_train)) >= 6
    assert min(len(p.nouns_held_out), len(p.questions_held_out)) >= 2
    assert (len(p.names), len(p.descriptions)) == (4, 3)


@pytest.mark.parametrize("tool", PARAMETERS)
def test_every_phrase_has_each_parameter_exactly_once(tool: str) -> None:
    p = PHRASES[tool]
    for phrase in (*p.nouns_train, *p.questions_train, *p.nouns_held_out, *p.questions_held_out):
        assert slots(phrase) == PARAMETERS[tool], phrase


def test_every_frame_has_one_place_for_the_noun_phrase() -> None:
    assert len(FRAMES_TRAIN) >= 14
    assert len(FRAMES_HELD_OUT) >= 5
    assert all(slots(frame) == ["x"] for frame in (*FRAMES_TRAIN, *FRAMES_HELD_OUT))


def test_held_out_strings_are_never_trained_on() -> None:
    trained = {plain(s) for s in training_strings()}
    for p in PHRASES.values():
        held_out = [*p.questions_held_out, *framed((*FRAMES_TRAIN, *FRAMES_HELD_OUT), p.nouns_held_out)]
        held_out += framed(FRAMES_HELD_OUT, p.nouns_train)
        assert not [s for s in held_out if plain(s) in trained]


def test_no_wording_stands_twice_in_a_tool_or_belongs_to_two() -> None:
    anonymous: Counter[str] = Counter()
    for p in PHRASES.values():
        wordings = framed((*FRAMES_TRAIN, *FRAMES_HELD_OUT), (*p.nouns_train, *p.nouns_held_out))
        own = {s.lower().rstrip(".?! ") for s in (*wordings, *p.questions_train, *p.questions_held_out)}
        anonymous.update({re.sub(r"\{\w+\}", "{}", s) for s in own})
        phrases = (*p.nouns_train, *p.nouns_held_out, *p.questions_train, *p.questions_held_out)
        assert len({s.lower().rstrip(".?! ") for s in phrases}) == len(phrases)
    assert not [wording for wording, tools in anonymous.items() if tools > 1]


@pytest.mark.parametrize("tool", PARAMETERS)
def test_held_out_wordings_share_a_key_word_with_the_training_ones(tool: str) -> None:
    p = PHRASES[tool]
    trained = key_words((*p.nouns_train, *p.questions_train))
    for phrase in (*p.nouns_held_out, *p.questions_held_out):
        assert key_words((phrase,)) & trained, phrase


def test_alternative_names_are_identifiers_and_unique_over_all_tools() -> None:
    names = [*PHRASES, *(name for p in PHRASES.values() for name in p.names)]
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)
    assert len(set(names)) == len(names) == 100


def test_descriptions_are_short_and_unique_over_all_tools() -> None:
    descriptions = [d for p in PHRASES.values() for d in p.descriptions]
    own = [tool.description.rstrip(".") for tool in BUILTINS.values()]
    assert not {d.lower() for d in descriptions} & {d.lower() for d in own}
    assert len({d.lower() for d in descriptions}) == len(descriptions) == 60
    assert all(len(d.split()) <= 6 and not d.endswith(".") for d in descriptions)


def test_words_are_plain_and_the_held_out_ones_are_others() -> None:
    words = (*WORDS, *WORDS_HELD_OUT)
    assert len(WORDS) >= 380
    assert len(WORDS_HELD_OUT) >= 75
    assert all(re.fullmatch(r"[a-z]{3,10}", word) for word in words)
    assert len(set(words)) == len(words)


def patterns(tool: str) -> tuple[str, ...]:
    return (*WORDINGS[tool].nouns, *WORDINGS[tool].questions)


def questions_of(tool: str) -> list[str]:
    return [as_expression(pattern) for pattern in WORDINGS[tool].questions]


def matched_by(expressions: list[str], texts: list[str]) -> list[str]:
    """Texts that some expression matches whole; capitals, spaces and final marks do not count."""
    compiled = [re.compile(expression.replace(r"\ ", ""), re.IGNORECASE) for expression in expressions]
    ended = {text: [plain(text) + mark for mark in ("", ".", "?", "!")] for text in texts}
    return [text for text in texts if any(one.fullmatch(form) for one in compiled for form in ended[text])]


@pytest.mark.parametrize("tool", PARAMETERS)
def test_a_pattern_unfolds_into_texts_with_every_parameter(tool: str) -> None:
    rng = random.Random(tool)
    for pattern in patterns(tool):
        for _ in range(20):
            text = unfold(pattern, rng)
            assert not re.search(r"[<>\[\]|]|  ", text), text
            assert sorted(set(slots(text))) == PARAMETERS[tool], text
            assert re.fullmatch(as_expression(pattern), text), (pattern, text)


@pytest.mark.parametrize("tool", PARAMETERS)
def test_no_pattern_unfolds_into_a_held_out_wording(tool: str) -> None:
    p = PHRASES[tool]
    nouns = [as_expression(pattern) for pattern in WORDINGS[tool].nouns]
    assert not matched_by(nouns, list(p.nouns_held_out))
    assert matched_by(questions_of(tool), [unfold(WORDINGS[tool].questions[0], random.Random(0))])
    framed_nouns = [as_expression(frame).replace(r"\{x\}", f"(?:{'|'.join(nouns)})") for frame in FRAMES]
    assert not matched_by([*questions_of(tool), *framed_nouns], list(p.questions_held_out))
    frames = [as_expression(frame) for frame in FRAMES]
    assert not matched_by(frames, list(FRAMES_HELD_OUT))


def test_pieces_are_those_of_the_packaged_tokenizer() -> None:
    vocabulary = json.loads((embedded_directory() / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    words = {token.removeprefix("Ġ") for token in vocabulary}
    cut = {word for word in words if re.fullmatch("[a-z]{2,8}", word)}
    assert len(cut & set(PIECES)) > 0.9 * len(cut)
    assert len(PIECES) == len(set(PIECES))


def test_coined_words_use_every_piece_and_none_that_is_held_out() -> None:
    rng = random.Random(1)
    words = {coined(rng) for _ in range(20_000)}
    assert len(words) > 15_000
    assert not words & set(WORDS_HELD_OUT)
    assert all(re.fullmatch("[a-z]{2,12}", word) for word in words)
    assert sum(any(piece in word for word in words) for piece in PIECES) > 0.98 * len(PIECES)
