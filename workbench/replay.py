"""Proving a run: its events say what every worker saw, and the model, asked again, chooses the same tokens.

In: the events of a run, from the log or as a notebook carries them, and a model. Out: a `Proof`: every token identical,
or in sentences what differs. The whole run is one forward (`hogwild.replay`), in which each token sees what it saw when
it was made; nothing is sampled into it. Neighbours: `tapes` reads the events, `session`, the command line, the server
and the exported notebook ask.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from toolsets.guiding import Signature
from workbench import events as ev
from workbench.errors import ReplayError, UsageError
from workbench.event_json import from_json
from workbench.models import load_engine, loading
from workbench.tapes import Choice, Course, Formed, Guided, Limited, Memory, Seeded, Told

if TYPE_CHECKING:
    from torch import Tensor

    from hogwild.engine import Engine
    from hogwild.sampling import Sampler
    from hogwild.text import TextOf

CLOSE: Final = 1e-3
"""Two logits that lie closer than this may change places with the rounding of another machine, or of one forward for
the whole run in the place of one for each step."""
CLOSE_DRAW: Final = 1e-5
"""The same for tokens that are drawn: a number that lies so near those of another token, as a share of all weight."""


class Carrier(Protocol):
    """What carries the events of a run as JSON values: `stored.StoredRun`."""

    @property
    def events(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """The first token that the model chooses otherwise. Texts are as the tokenizer writes them, `None` is a turn's end.
    margin: how much likelier, in logits, the model finds its own choice; where tokens are drawn, how far the draw was
    from the recorded one, as a share of all weight. drawn: whether they are."""

    seq: int
    step: int
    worker: str
    recorded: str | None
    chosen: str | None
    margin: float
    drawn: bool = False

    def __str__(self) -> str:
        said = f"In step {self.step} {self.worker} said {_quoted(self.recorded)}, and here says {_quoted(self.chosen)}"
        close = self.margin < (CLOSE_DRAW if self.drawn else CLOSE)
        near = f"; the two are {self.margin:.1e} apart, which is rounding" if close else ""
        return f"{said} (event {self.seq}){near}."


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of the replay. proved: the same model chose every token again. tokens: how many choices were compared,
    turns' ends included; identical: how many were the same. differences: what differs, a sentence each, versions of
    libraries included, which may differ where the tokens do not. first: the first other token."""

    run_id: str
    proved: bool
    tokens: int = 0
    identical: int = 0
    steps: int = 0
    differences: list[str] = field(default_factory=list)
    first: Difference | None = None

    def __bool__(self) -> bool:
        return self.proved

    def __str__(self) -> str:
        if self.proved:
            head = f"Proved: all {self.tokens:,} choices of {self.steps:,} steps are identical in the replay."
        elif self.tokens:
            head = f"Not proved: {self.identical:,} of {self.tokens:,} choices are identical in the replay."
        else:
            head = "Not proved: the run could not be replayed here."
        return "\n".join([head, *self.differences])

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` made."""
        given = {name: data[name] for name in cls.__slots__}
        return cls(**{**given, "first": given["first"] and Difference(**given["first"])})

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        first = None if self.first is None else {name: getattr(self.first, name) for name in Difference.__slots__}
        return {
            "run_id": self.run_id, "proved": self.proved, "tokens": self.tokens, "identical": self.identical,
            "steps": self.steps, "differences": self.differences, "first": first, "text": str(self),
        }  # fmt: skip


def prove(run: Carrier | Iterable[ev.Event], engine: Engine | None = None) -> Proof:
    """Replay a run and compare every token that its workers chose.

    run: its events, or what a notebook holds of it (`StoredRun`). engine: the model, by default the one that the run
    names, loaded for this. Raises ReplayError where the events do not say exactly what was seen, UsageError for none.
    """
    events = _events(run)
    started = next((one.payload for one in events if isinstance(one.payload, ev.RunStarted)), None)
    if started is None:
        raise UsageError("There is nothing to replay: this run broke off before it began, or is not carried here.")
    memory = Memory.of(events)
    engine = engine or _model_of(started)
    run_id = events[0].run_id
    if engine.fingerprint != started.model_fingerprint:
        other = f"The model differs: the run had {started.model_fingerprint}, here is {engine.fingerprint}."
        return Proof(run_id, False, differences=[other, *_versions(started)])
    choices = [one for one in memory.course if isinstance(one, Choice)]
    if not choices:
        raise ReplayError("No worker chose anything in this run, so there is nothing to compare.")
    rows = _rows(engine, memory, choices)
    first, identical = _compare(engine, memory.course, rows)
    told = [] if first is None else [str(first)]
    return Proof(
        run_id, first is None, len(choices), identical, memory.steps, [*told, *_versions(started)], first
    )  # fmt: skip


def versions() -> dict[str, str]:
    """Of what decides how a model computes."""
    found = {name: version(name) for name in ("torch", "transformers")}
    return {**found, "python": ".".join(map(str, sys.version_info[:3]))}


def _events(run: Carrier | Iterable[ev.Event]) -> list[ev.Event]:
    carried = getattr(run, "events", None)
    if carried is not None:
        return [from_json(one) for one in carried]
    return list(run)  # type: ignore[arg-type]


def _model_of(started: ev.RunStarted) -> Engine:
    """The model that the run names, as it was loaded for it."""
    place = str(Path(started.model).expanduser()) if started.model.startswith("~") else started.model
    how = started.settings
    ranks = how.get("tensor_parallel", 1)
    return load_engine(place, str(how.get("device", "cpu")), str(how.get("dtype", "auto")), ranks)


def _rows(engine: Engine, memory: Memory, choices: Sequence[Choice]) -> dict[tuple[int, int], Tensor]:
    """What each choice was made from: logits `[vocab]`, by block and index."""
    places = list(dict.fromkeys((one.block, one.at) for one in choices))
    bad = max((token for chunk in memory.tape.chunks for token in chunk.tokens), default=0)
    if bad >= engine.vocab_size:
        raise ReplayError(f"The run has token {bad}, and this model knows {engine.vocab_size} tokens.")
    return dict(zip(places, engine.replay_rows(memory.tape, places), strict=True))


class _Again:
    """The workers of a run, choosing again. They draw by their seeds and are guided as they were; after another token
    they go on as the run did."""

    def __init__(self, engine: Engine) -> None:
        with loading():
            from workbench.guides import CallGuide

        self.engine = engine
        self._samplers: dict[str, Sampler] = {}
        self._written: dict[str, list[int]] = {}
        self._texts: dict[str, TextOf] = {}
        self._guide = CallGuide(engine)

    def follow(self, one: Seeded | Told | Guided | Limited | Formed) -> None:
        """Take in what bears on later choices."""
        from hogwild.sampling import Sampler, Sampling, for_worker
        from hogwild.text import TextOf

        match one:
            case Guided():
                self._guide.offer(map(Signature.from_json, one.tools))
            case Limited():
                self._guide.limit(one.worker, one.tools)
            case Formed():
                self._guide.answer(one.schema)
            case Told():
                self._guide.told(one.worker)
                if one.asked:
                    self._guide.asked(one.worker)
                if one.instead:
                    self._texts[one.worker] = TextOf(self.engine.tokenizer)
                    self._guide.wrote(one.worker, one.instead)
            case Seeded():
                how = Sampling(**{**one.sampling, "banned": tuple(one.sampling.get("banned", ()))})  # type: ignore[arg-type]
                if one.worker not in self._samplers:
                    self._samplers[one.worker] = Sampler(for_worker(how, len(self._samplers)))
                    self._written[one.worker], self._texts[one.worker] = [], TextOf(self.engine.tokenizer)
                elif one.anew:
                    self._samplers[one.worker] = Sampler(how)
                else:
                    self._samplers[one.worker].sampling = how

    def choose(self, one: Choice, row: Tensor) -> tuple[int, Callable[[int], tuple[float, bool]]]:
        """What the worker chooses from these logits `[vocab]`, where the run has `one`; and how far another token was
        from being chosen, and whether they are drawn."""
        from hogwild.sampling import missed_by

        name = one.worker
        sampler, written, allowed = self._samplers[name], self._written[name], self._guide.allowed(name)
        how, before = sampler.sampling, len(written)
        number = sampler.number if how.temperature > 0.0 else 0.0
        chosen = sampler(row, written, allowed)

        def apart(token: int) -> tuple[float, bool]:
            if how.temperature > 0.0:
                return missed_by(how, number, row, written[:before], allowed, token), True
            return float(row[chosen] - row[token]), False

        if one.token is None:
            self._guide.told(name)
        else:
            self._written[name].append(one.token)
            self._guide.wrote(name, self._texts[name].add(one.token))
        return chosen, apart


def _compare(
    engine: Engine, course: Iterable[Course], rows: Mapping[tuple[int, int], Tensor]
) -> tuple[Difference | None, int]:
    """The first choice that differs, and how many do not."""
    again = _Again(engine)
    first, identical = None, 0
    for one in course:
        if not isinstance(one, Choice):
            again.follow(one)
            continue
        row = rows[one.block, one.at]
        chosen, apart = again.choose(one, row)
        ends = chosen in engine.end_ids
        same = ends if one.token is None else chosen == one.token
        identical += same
        if not same and first is None:
            recorded = one.token if one.token is not None else min(engine.end_ids, default=chosen)
            margin, drawn = apart(recorded)
            first = Difference(
                one.seq, one.step, one.worker, None if one.token is None else _text(engine, one.token),
                None if ends else _text(engine, chosen), float(f"{margin:.3g}"), drawn,
            )  # fmt: skip
    return first, identical


def _versions(started: ev.RunStarted) -> list[str]:
    here = versions()
    return [
        f"The version of {name} differs: the run had {was}, here is {here[name]}."
        for name, was in started.versions.items()
        if name in here and here[name] != was
    ]


def _text(engine: Engine, token: int) -> str:
    return str(engine.tokenizer.decode([token])) if engine.tokenizer is not None else f"token {token}"


def _quoted(text: str | None) -> str:
    return "the end of its turn" if text is None else repr(text)
