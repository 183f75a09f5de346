"""Words in common: BM25 (Robertson and Zaragoza 2009, section 3.4) over short texts, kept up to date text by text.

Its terms are single words, or pairs of neighbouring words. Two problems that share a word share it by accident as often
as not; that they share two words in a row tells of a common manner of speaking ("how many more", "stem and leaf"), and
where nothing is in common it says nothing, instead of something wrong.

In: texts under keys, a query. Out: a score for each key that shares a word with the query. Pure: one process's memory,
made again from the rows whenever they are read. Neighbours: retrieval fills it, ranking mixes its scores in.
"""

import functools
import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

K1: Final = 1.2
B: Final = 0.75

_WORDS: Final = re.compile(r"[^\W\d_]+|\d+")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Words that stand in every question, and so say nothing of which tool it needs.
_QUESTION_WORDS: Final = """
    a an the of to in is are was were be been this that these those and or for on at by with from as it its into how
    many much what which who do does did has have had i you he she they we his her their our there each not if then than
    so
"""
_STOP: Final = frozenset(_QUESTION_WORDS.split())


class WordIndex(Generic[Key]):
    """An inverted index that texts are put into and taken out of; `terms` says what of a text is compared."""

    def __init__(self, terms: Callable[[str], tuple[str, ...]] | None = None) -> None:
        self._terms = terms or words_of
        self._postings: defaultdict[str, dict[Key, int]] = defaultdict(dict)
        self._words: dict[Key, tuple[str, ...]] = {}
        self._length = 0

    def put(self, key: Key, text: str) -> None:
        self.discard(key)
        words = self._terms(text)
        self._words[key] = words
        self._length += len(words)
        for word, count in Counter(words).items():
            self._postings[word][key] = count

    def discard(self, key: Key) -> None:
        words = self._words.pop(key, ())
        self._length -= len(words)
        for word in set(words):
            del self._postings[word][key]
            if not self._postings[word]:
                del self._postings[word]

    def scores(self, query: str) -> dict[Key, float]:
        """BM25 of each text that shares a word with the query, as a share of what a text of average length that has
        every word of the query once would get: so the score says how much of the query was found."""
        scores: defaultdict[Key, float] = defaultdict(float)
        mean_length = self._length / len(self._words) if self._words else 1.0
        whole = 0.0
        for word in set(self._terms(query)):
            postings = self._postings.get(word, {})
            weight = math.log(1 + (len(self._words) - len(postings) + 0.5) / (len(postings) + 0.5))
            whole += weight
            for key, count in postings.items():
                norm = K1 * (1 - B + B * len(self._words[key]) / mean_length)
                scores[key] += weight * count * (K1 + 1) / (count + norm)
        return {key: score / whole for key, score in scores.items()}


@functools.lru_cache(maxsize=65_536)
def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, without the commonest ones and without plain English endings."""
    parts = _WORDS.findall(_HUMP.sub(" ", text))
    return tuple(_stem(word) for word in map(str.lower, parts) if word not in _STOP)


@functools.lru_cache(maxsize=65_536)
def pairs_of(text: str) -> tuple[str, ...]:
    """Each word with the one after it, in lower case; the commonest words count here, and numbers do not.

    >>> pairs_of("How many of the 30 birds?")
    ('how many', 'many of', 'of the', 'the birds')
    """
    words = [word.lower() for word in _WORDS.findall(_HUMP.sub(" ", text)) if not word.isdigit()]
    return tuple(f"{first} {second}" for first, second in itertools.pairwise(words))


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
