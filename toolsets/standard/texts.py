"""Text.

In: texts of bounded length. Out: texts, numbers, lists. No patterns are taken: a pattern written by a model can keep a
matcher busy for ever. Neighbours: `toolsets.standard` makes tools of these functions.
"""

import re
import unicodedata
from collections import Counter
from typing import Any, Final, Literal

from toolsets.standard.bounds import MAX_TEXT, limited, short_list, short_text
from toolsets.tool import Number

_WORD: Final = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_NUMBER: Final = re.compile(r"(?<![\w.])[+-]?\d{1,100}(?:,\d{3}){0,30}(?:\.\d{1,100})?(?![\w])", re.ASCII)
_MAX_COMPARED: Final = 1_000


def count_words(text: str) -> int:
    """Number of words in a text.

    >>> count_words("It's a well-known fact.")
    4
    """
    return sum(1 for _ in _WORD.finditer(short_text(text)))


def word_frequencies(text: str, most: int = 10) -> list[dict[str, Any]]:
    """Most frequent words of a text with their counts, upper and lower case alike.

    >>> word_frequencies("The cat and the dog", 1)
    [{'word': 'the', 'count': 2}]
    """
    if not 1 <= most <= 1_000:
        raise ValueError("Ask for between 1 and 1,000 words.")
    counts = Counter(match[0].lower() for match in _WORD.finditer(short_text(text)))
    return [{"word": word, "count": count} for word, count in counts.most_common(most)]


def find_text(text: str, part: str) -> list[int]:
    """Places at which a part stands in a text, counted from 0.

    >>> find_text("banana", "ana")
    [1, 3]
    """
    if not part:
        raise ValueError("Give a part that is not empty.")
    places: list[int] = []
    at = short_text(text).find(limited(part, _MAX_COMPARED, "part"))
    while at >= 0:
        short_list(places).append(at)
        at = text.find(part, at + 1)
    return places


def replace_text(text: str, old: str, new: str) -> str:
    """Text with every occurrence of a part replaced.

    >>> replace_text("red, red", "red", "blue")
    'blue, blue'
    """
    if not old:
        raise ValueError("Give a part that is not empty.")
    if len(short_text(text)) + text.count(old) * (len(new) - len(old)) > MAX_TEXT:
        raise ValueError(f"The new text would have more than {MAX_TEXT:,} characters: replace less.")
    return text.replace(old, new)


def split_text(text: str, separator: str = ",") -> list[str]:
    """Parts of a text between separators, without the white space around them.

    >>> split_text("a, b,c")
    ['a', 'b', 'c']
    """
    if not separator:
        raise ValueError("Give a separator that is not empty.")
    return short_list([part.strip() for part in short_text(text).split(separator)])


def join_texts(parts: list[str], separator: str = ", ") -> str:
    """One text of several parts.

    >>> join_texts(["a", "b"], "-")
    'a-b'
    """
    if sum(map(len, parts)) + len(parts) * len(separator) > MAX_TEXT:
        raise ValueError(f"The text would have more than {MAX_TEXT:,} characters: join less.")
    return separator.join(parts)


def change_case(text: str, case: Literal["upper", "lower", "title", "sentence"]) -> str:
    """Text in capitals, in small letters, or with capitals at the beginning of words or of the text.

    >>> change_case("hello WORLD", "title")
    'Hello World'
    """
    changed = short_text(text)
    if case == "upper":
        return changed.upper()
    lower = changed.lower()
    if case == "title":
        return re.sub(r"(?<![\w'’])[^\W\d_]", lambda letter: letter[0].upper(), lower)
    return lower[:1].upper() + lower[1:] if case == "sentence" else lower


def extract_numbers(text: str) -> list[Number]:
    """Numbers that stand in a text, in order.

    >>> extract_numbers("12 apples, 1,500 pears and -0.5 of x2")
    [12, 1500, -0.5]
    """
    found = short_list([match[0].replace(",", "") for match in _NUMBER.finditer(short_text(text))])
    return [float(digits) if "." in digits else int(digits) for digits in found]


def slice_text(text: str, start: int, end: int) -> str:
    """Part of a text from one place up to, but without, another, counted from 0.

    >>> slice_text("planet", 1, 4)
    'lan'
    """
    return short_text(text)[start:end]


def edit_distance(a: str, b: str) -> int:
    """Fewest insertions, deletions and replacements of letters that turn one text into another.

    >>> edit_distance("kitten", "sitting")
    3
    """
    limited(a, _MAX_COMPARED, "first text"), limited(b, _MAX_COMPARED, "second text")
    row = list(range(len(b) + 1))
    for line, letter in enumerate(a, start=1):
        previous, row[0] = row[0], line
        for column, other in enumerate(b, start=1):
            cost = min(row[column] + 1, row[column - 1] + 1, previous + (letter != other))
            previous, row[column] = row[column], cost
    return row[-1]


def is_palindrome(text: str) -> bool:
    """Whether a text reads the same backwards; only letters and digits count.

    >>> is_palindrome("A man, a plan, a canal: Panama")
    True
    """
    letters = [one for one in unicodedata.normalize("NFC", short_text(text)).casefold() if one.isalnum()]
    if not letters:
        raise ValueError("The text has no letters or digits: give one that has.")
    return letters == letters[::-1]


def sort_texts(texts: list[str], descending: bool = False) -> list[str]:
    """Texts in alphabetical order, upper and lower case alike.

    >>> sort_texts(["pear", "Apple", "fig"])
    ['Apple', 'fig', 'pear']
    """
    return sorted(short_list(texts), key=lambda text: (text.casefold(), text), reverse=descending)


def unique_items(items: list[Any]) -> list[Any]:
    """Items of a list without repetitions, in their order.

    >>> unique_items([3, "a", 3, "a", 1])
    [3, 'a', 1]
    """
    seen: set[str] = set()
    unique = []
    for item in short_list(items):
        # Items may be lists or records, which cannot be looked up; 1 and True are different items.
        key = repr(item)
        if key not in seen:
            seen.add(key)
            unique.append(item)
    return unique
