"""Guided calls and answers: a worker that writes a call can only choose tokens with which it names an offered tool, and
one that writes an answer for which there is a schema only those that go on with such an answer.

In: which tools are offered, the answer's schema, what each worker writes, what it is told. Out: the tokens that may
come next, as `hogwild.run_values.Guide` asks for them. A live run, a run that goes on from its log, and the proof of a
run use it alike, so that all choose alike. Neighbours: `driver`, `rehearsal`, `replay` own one each; `toolsets.guiding`
knows the calls, `toolsets.answering` the answers, `lexicon` the tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, KeysView, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from hogwild.sampling import Allowed
from toolsets.answering import AnswerGrammar
from toolsets.guiding import FREE, OVER, CallGrammar, Signature
from toolsets.json_states import State
from toolsets.parse import CLOSING, OPENING
from workbench.calls import READING
from workbench.lexicon import lexicon_of

if TYPE_CHECKING:
    from hogwild.engine import Engine

_MOST_STATES = 512


@dataclass(slots=True)
class _Writing:
    """What one worker writes. state: of the call that it has opened, None outside of calls and where its call is none
    that the grammar knows. call: that call so far; end: the last characters. answer: the state of its answer, None
    where it writes none, or one that the schema does not know."""

    state: State | None = None
    call: str = ""
    end: str = ""
    answer: State | None = None


class CallGuide:
    """The guide of one run. A call counts from its opening tag; what is put into a worker's block in the middle of a
    call ends the guidance of that call, as the end of its turn does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._grammar = CallGrammar(())
        self._limits: dict[str, frozenset[str]] = {}
        self._limited: dict[frozenset[str], CallGrammar] = {}
        self._writing: dict[str, _Writing] = {}
        self._known: dict[tuple[frozenset[str] | None, State], Allowed | None] = {}
        self._answers: AnswerGrammar | None = None
        self._answers_known: dict[State, Allowed | None] = {}

    @property
    def signatures(self) -> list[dict[str, Any]]:
        """The tools that are offered now, as `ev.CallsGuided` tells them."""
        return [one.to_json() for one in self._grammar.signatures.values()]

    def offers(self, names: KeysView[str]) -> bool:
        """Whether exactly these tools are offered now."""
        return self._grammar.signatures.keys() == names

    def offer(self, tools: Iterable[Signature]) -> bool:
        """From now on calls may name these tools, those that are half written too. False if it were these before."""
        grammar = CallGrammar(tools)
        if grammar.signatures == self._grammar.signatures:
            return False
        self._grammar, self._known, self._limited = grammar, {}, {}
        for name, one in self._writing.items():
            if one.state is not None:
                one.state = self._grammar_of(name).after(one.call)
        return True

    def limit(self, worker: str, tools: Collection[str]) -> None:
        """Its calls may name these tools only, of those that are offered; it may always read on in a result."""
        self._limits[worker] = frozenset({*tools, READING})

    def _grammar_of(self, worker: str) -> CallGrammar:
        """Where a worker may call nothing that is offered, its calls are not guided: each is refused in a sentence."""
        limit = self._limits.get(worker)
        if limit is None:
            return self._grammar
        if limit not in self._limited:
            some = [one for name, one in self._grammar.signatures.items() if name in limit]
            self._limited[limit] = CallGrammar(some)
        return self._limited[limit]

    def answer(self, schema: Mapping[str, Any]) -> None:
        """From now on whoever is asked for the answer can only write one by this schema."""
        self._answers, self._answers_known = AnswerGrammar(schema), {}

    def asked(self, worker: str) -> None:
        """What it writes now is the answer."""
        if self._answers is not None:
            self._writing.setdefault(worker, _Writing()).answer = self._answers.begin

    def wrote(self, worker: str, text: str) -> None:
        """The worker's text goes on so."""
        one = self._writing.setdefault(worker, _Writing())
        if one.answer is not None:
            assert self._answers is not None
            one.answer = self._answers.after(text, one.answer)
            return
        for char in text:
            one.end = (one.end + char)[-len(CLOSING) :]
            if char == ">" and one.end.endswith(OPENING):
                one.state, one.call = self._grammar_of(worker).begin, ""
            elif char == ">" and one.end.endswith(CLOSING):
                one.state = None  # the parser knows no call beyond it, whatever stands around the tag
            elif one.state is not None:
                one.call += char
                one.state = self._grammar_of(worker).step(one.state, char)

    def told(self, worker: str) -> None:
        """Something was put into its block, or its turn has ended: what it writes now begins anew."""
        self._writing[worker] = _Writing()

    def allowed(self, worker: str) -> Allowed | None:
        """What the worker may choose next; None for everything."""
        one = self._writing.get(worker)
        if one is not None and one.answer is not None:
            return self._allowed_in_answer(one.answer)
        if one is None or one.state is None or one.state in (OVER, FREE):
            return None
        key = self._limits.get(worker), one.state
        if key not in self._known:
            if len(self._known) >= _MOST_STATES:
                self._known.clear()
            lexicon = lexicon_of(self._engine)
            self._known[key] = None if lexicon is None else lexicon.allowed(self._grammar_of(worker), one.state)
        return self._known[key]

    def _allowed_in_answer(self, state: State) -> Allowed | None:
        """Where the answer may end, its turn may."""
        assert self._answers is not None
        if state not in self._answers_known:
            if len(self._answers_known) >= _MOST_STATES:
                self._answers_known.clear()
            lexicon = lexicon_of(self._engine)
            found = None if lexicon is None else lexicon.allowed(self._answers, state)
            if lexicon is not None and self._answers.may_end(state):
                ends = [*(found.ids.tolist() if found is not None else ()), *self._engine.end_ids]
                found = Allowed(torch.tensor(sorted(set(ends)))) if ends else None
            self._answers_known[state] = found
        return self._answers_known[state]
