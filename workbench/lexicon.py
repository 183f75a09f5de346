"""The tokens of a model by their texts: which of them can follow, where a grammar says what characters can.

In: a tokenizer, a grammar's states. Out: `hogwild.sampling.Allowed`, or None where nothing is to be said. Tokens lie in
the order of their texts and are walked as a tree, whose branches are made when they are first looked at: what a state
costs depends on how many tokens can follow, not on how many there are. Inside a text of JSON nearly every token can
follow; there only those with a quotation mark or a backslash are looked at, sorted by what they go on with. Neighbours:
`toolsets.guiding` and `toolsets.answering` are the grammars, `guides` asks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

import torch

from hogwild.sampling import Allowed
from toolsets.guiding import FREE, OVER
from toolsets.json_states import State
from toolsets.parse import CLOSING, OPENING

if TYPE_CHECKING:
    from hogwild.engine import Engine

_SAMPLE = f'{OPENING}{{"name": "a_b", "arguments": {{"x": [-1.5, "$1"], "of day": null}}}}{CLOSING}\n'
_BODY = re.compile(r'(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*', re.DOTALL)
_LINE = re.compile(r'(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_MARKS = re.compile(r'["\\]')
_LINE_MARKS = re.compile(r'["\\\x00-\x1f]')
_HALF = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")


class Grammar(Protocol):
    """one_line: whether a text of JSON stands on one line, its line ends as escapes."""

    @property
    def one_line(self) -> bool: ...
    def step(self, state: State, char: str) -> State | None: ...


class Branch:
    """Tokens whose texts share their first `depth` characters; `pairs[low:high]` of all (text, id) in order."""

    __slots__ = ("_depth", "_high", "_low", "_pairs", "_texts", "_twigs")

    def __init__(self, pairs: Sequence[tuple[str, int]], low: int, high: int, depth: int) -> None:
        self._pairs, self._low, self._high, self._depth = pairs, low, high, depth
        self._twigs: tuple[list[int], dict[str, Branch]] | None = None
        self._texts: dict[tuple[str, bool], tuple[list[int], list[int], Branch]] = {}

    @classmethod
    def of(cls, pairs: Collection[tuple[str, int]]) -> Branch:
        return cls(sorted(pairs), 0, len(pairs), 0)

    def all(self) -> list[int]:
        return [token for _, token in self._pairs[self._low : self._high]]

    def twigs(self) -> tuple[list[int], dict[str, Branch]]:
        """The tokens that end here, and the branches by their next character."""
        if self._twigs is None:
            depth, at = self._depth, self._low
            while at < self._high and len(self._pairs[at][0]) == depth:
                at += 1
            ends = [token for _, token in self._pairs[self._low : at]]
            branches: dict[str, Branch] = {}
            for char, group in groupby(range(at, self._high), lambda index: self._pairs[index][0][depth]):
                indices = list(group)
                branches[char] = Branch(self._pairs, indices[0], indices[-1] + 1, depth + 1)
            self._twigs = ends, branches
        return self._twigs

    def texts(self, escape: str, one_line: bool) -> tuple[list[int], list[int], Branch]:
        """Where a text of JSON stands open: the tokens after which it still does, those that cannot stand in it, and
        those that end it, by what they say after it. escape: what has been written of an escape, as in `json_states`.
        one_line: no character below the blank may stand in it as it is."""
        if (escape, one_line) not in self._texts:
            inside, outside, ending = list[int](), list[int](), list[tuple[str, int]]()
            for text, token in self._pairs[self._low : self._high]:
                written = escape + text[self._depth :]
                if not (_LINE_MARKS if one_line else _MARKS).search(written):
                    inside.append(token)
                    continue
                body = (_LINE if one_line else _BODY).match(written)
                left = written[body.end() :] if body else ""
                if left[:1] == '"':
                    ending.append((left[1:], token))
                else:
                    (inside if not left or _HALF.fullmatch(left) else outside).append(token)
            self._texts[escape, one_line] = inside, outside, Branch.of(ending)
        return self._texts[escape, one_line]

    def fitting(self, grammar: Grammar, state: State) -> Iterator[int]:
        """The tokens all of whose further characters can follow."""
        if state in (OVER, FREE):
            yield from self.all()
        elif state[0][0] == "string":
            inside, _, ending = self.texts(state[0][1], grammar.one_line)
            yield from inside
            yield from ending.fitting(grammar, state[1:])
        else:
            ends, branches = self.twigs()
            yield from ends
            for char, branch in branches.items():
                after = grammar.step(state, char)
                if after is not None:
                    yield from branch.fitting(grammar, after)


class Lexicon:
    """Tokens by text. texts: of each id, in order, empty for one that has none."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._all = Branch.of([(text, token) for token, text in enumerate(texts) if text])
        self._mute = [token for token, text in enumerate(texts) if not text]

    def allowed(self, grammar: Grammar, state: State) -> Allowed | None:
        """The tokens that can follow in this state; None where all can, or none is known."""
        if state in (OVER, FREE):
            return None
        if state[0][0] == "string":
            inside, outside, ending = self._all.texts(state[0][1], grammar.one_line)
            if len(inside) > len(outside):
                bad = set(ending.all()).difference(ending.fitting(grammar, state[1:]))
                return Allowed(torch.tensor(sorted([*self._mute, *outside, *bad]), dtype=torch.int64), but=True)
        found = sorted(self._all.fitting(grammar, state))
        return Allowed(torch.tensor(found)) if found else None


_LEXICONS: WeakKeyDictionary[Engine, Lexicon | None] = WeakKeyDictionary()


def lexicon_of(engine: Engine) -> Lexicon | None:
    """The lexicon of a model, made once; None where the texts of its tokens do not add up to what is written."""
    if engine not in _LEXICONS:
        _LEXICONS[engine] = _lexicon(engine)
    return _LEXICONS[engine]


def _lexicon(engine: Engine) -> Lexicon | None:
    tokenizer: Any = engine.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    size = min(len(tokenizer), engine.vocab_size)
    anchor = backend.encode("{", add_special_tokens=False).ids[-1]
    before = backend.decode([anchor], skip_special_tokens=False)
    # Beside another token, because some tokenizers drop the blank that a text begins with.
    pairs = backend.decode_batch([[anchor, token] for token in range(size)], skip_special_tokens=False)
    texts = [text.removeprefix(before) if text.startswith(before) else "" for text in pairs]
    written = backend.encode(_SAMPLE, add_special_tokens=False).ids
    if max(written) >= size or "".join(texts[token] for token in written).lstrip(" ") != _SAMPLE:
        return None
    return Lexicon([*texts, *[""] * (engine.vocab_size - size)])
