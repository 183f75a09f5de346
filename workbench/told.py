"""What a worker reads of a call's end: one result bare, several with their calls' names; text from outside marked.

In: an outcome and what is known about it. Out: text, to be put between the prompting's `tool_response`. Pure.
Neighbours: `driver` injects it; `toolsets.untrusted` takes the teeth out of text from outside; `toolsets.rounds` says
how a result among several looks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from hogwild.prompting import Prompting
from toolsets.damaged import well_formed
from toolsets.plan import Ref, Template
from toolsets.rendering import render_call, render_result, told_as
from toolsets.results import CallOutcome
from toolsets.rounds import render_round
from toolsets.untrusted import neutralise, without_markers

LONGEST_VALUE = 2_000
MOST_ITEMS = 200
DEEPEST = 20
_LARGEST = 10**309


def result_text(
    outcome: CallOutcome,
    words: Prompting,
    *,
    label: str,
    alone: bool,
    outside: bool,
    wary: bool,
    sharers: Collection[str] = (),
    markers: Collection[str] = (),
    special: Collection[str] = (),
    read: tuple[str, int] | None = None,
) -> str:
    """alone: its plan has no other call. outside: its text comes, wholly or in part, from outside. wary: something from
    outside has been read in this run, so a model may have passed it on. sharers: whose calls the same execution
    answered. markers: what must not stand in text from outside; special: what must not stand in any result. read: where
    its text is a part of another result, which one and from which character on.
    """
    text = outcome.text
    if outcome.cut:
        result, start = read or (outcome.result_id, 0)
        start += max(outcome.num_chars - _shown(outcome)[1], 0)
        text += f'\n[read on: call read_result with result "{result}" and start {start}]'
    text = neutralise(text, markers) if outside or wary else without_markers(text, special)
    edited = "" if outcome.edited is None or not words.edited else render_call(outcome.tool, outcome.edited)
    if edited:
        edited = neutralise(edited, markers) if outside or wary else without_markers(edited, special)
    if not alone:
        shared = tuple(sharers) if words.shared else ()
        # What is neutral already stays as it is when it is neutralised once more.
        ran = outcome.edited if words.edited else None
        told = replace(outcome, call=label, text=text, trusted=not outside, shared_with=shared, edited=ran, store=None)
        return render_round([told], len(text) + 1_000_000, {*markers, *special})
    if outside:
        text = words.untrusted.replace("{content}", text)
    if edited:
        text += words.edited.replace("{call}", edited)
    return text + (words.shared.replace("{calls}", ", ".join(sharers)) if sharers and words.shared else "")


def is_cut(text: str) -> bool:
    """Whether a worker that was told this was told how to read on."""
    return _READ_ON.search(text) is not None


def markers_of(words: Prompting, workers: Collection[str], special: Collection[str]) -> frozenset[str]:
    """What text from outside must not contain: special tokens, and whatever this prompting sets apart with."""
    found = {*special, words.separator, *words.tool_response.split("{content}"), words.closing}
    found.add(words.closing_part.split("{first}")[0])
    for worker in workers:
        found |= {words.begin(worker, list(workers)).strip().split("\n")[0], words.begin_step(worker, 1).strip()}
        found.add(words.step_header.split("{step}")[0].replace("{name}", worker))
        found.add(words.said(worker, "{content}").split("{content}")[0])
    return frozenset(one for raw in found if len(one := raw.strip()) > 1 and not one.isalnum())


def special_tokens(tokenizer: Any) -> frozenset[str]:
    """The texts that a tokenizer reads as one token: special ones, and tags such as `</think>`."""
    added = getattr(tokenizer, "added_tokens_decoder", None) or {}
    texts = [(str(token), getattr(token, "special", False)) for token in added.values()]
    special = {text for text, marked in texts if marked or (text[:1] == "<" and text[-1:] == ">")}
    return frozenset(special | set(getattr(tokenizer, "all_special_tokens", ())))


def logged(value: Any, depth: int = 0, *, whole: bool = False) -> Any:
    """A value as JSON for the log: what JSON does not know as text, what is long or deep cut, with a note. whole: only
    what is deep is cut.

    >>> logged({"day": __import__("datetime").date(2024, 2, 29), "a": (1, None)})
    {'day': '2024-02-29', 'a': [1, None]}
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        # A browser reads no infinity, and nobody a number of thousands of digits.
        return value if abs(value) < _LARGEST else render_result(value)
    if depth > DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        pairs = list(value.items())[: None if whole else MOST_ITEMS]
        return {well_formed(str(key)): logged(item, depth + 1, whole=whole) for key, item in pairs}
    if isinstance(value, list | tuple):
        items = [logged(item, depth + 1, whole=whole) for item in value[: None if whole else MOST_ITEMS]]
        return [*items, f"… {len(value) - len(items):,} more"] if len(value) > len(items) else items
    try:
        if not isinstance(value, Ref | Template) and (plain := told_as(value)) is not value:
            return logged(plain, depth + 1, whole=whole)
        text = well_formed(value if isinstance(value, str) else str(value))
    except Exception:  # somebody else's class
        text = f"a {type(value).__name__}"
    return (
        text if whole or len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… {len(text) - LONGEST_VALUE:,} more"
    )


def as_json(value: Any) -> str:
    """A value as one line of JSON."""
    return json.dumps(logged(value), ensure_ascii=False)


def fitting(outcome: CallOutcome, num_tokens: Callable[[CallOutcome], int], room: int) -> CallOutcome:
    """The outcome, its text cut until it takes at most `room` tokens; where even the note of the cut takes more, only
    that is left. num_tokens: what the worker would be told of it takes."""
    chars = len(_shown(outcome)[0])
    while chars and (takes := num_tokens(outcome)) > room:
        chars = min(chars * max(room, 0) // takes, chars * 9 // 10)
        outcome = _cut_to(outcome, chars)
    return outcome


def _cut_to(outcome: CallOutcome, chars: int) -> CallOutcome:
    shown, more = _shown(outcome)
    # An error has no address to read on at: it is kept nowhere but in the log.
    address = f" of result {outcome.result_id}" if outcome.succeeded else ""
    note = f"\n[cut: {more + len(shown) - chars:,} more characters{address}]"
    return replace(outcome, text=shown[:chars] + note, cut=outcome.succeeded)


_READ_ON = re.compile(r'\[read on: call read_result with result "[^"\n]*" and start \d+\]')
_NOTE = re.compile(r"\n\[cut: ([\d,]+) more characters[^\n]*\]\Z")


def _shown(outcome: CallOutcome) -> tuple[str, int]:
    """What a text shows before the note that it was cut, and how many characters follow."""
    note = _NOTE.search(outcome.text)
    return (outcome.text[: note.start()], int(note[1].replace(",", ""))) if note else (outcome.text, 0)
