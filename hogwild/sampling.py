"""Sampling: from rows of logits to tokens, one per worker, reproducibly.

In: logits `[vocab]` of every worker that chooses, on any device, what it has written so far, and which tokens it may
choose. Out: token ids. Every worker has its own generator, so adding or slowing down another worker never changes what
this one draws. Above: `engine.py`, `collaboration.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hogwild.errors import SamplingError

WHOLE = float(1 << 42)
"""The weight of the likeliest token; others weigh less, and a vocabulary of a million sums to less than 2**63."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a worker chooses. temperature 0 is greedy. top_k 0, top_p 1, min_p 0 are off.

    min_p: tokens less likely than min_p times the likeliest are dropped (arXiv 2407.01082). repetition_penalty: divides
    the logits of tokens that the worker has written (arXiv 1909.05858, section 4.1). banned: never chosen.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    banned: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("temperature", 0.0, 100.0),
            ("top_k", 0, 1 << 31),
            ("top_p", 0.0, 1.0),
            ("min_p", 0.0, 1.0),
            ("repetition_penalty", 0.01, 100.0),
        ):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not low <= value <= high:  # also refuses NaN
                raise SamplingError(f"The {name} must be a number between {low} and {high}; it is {value!r}.")
        if not isinstance(self.top_k, int):
            raise SamplingError(f"The top_k must be a whole number; it is {self.top_k!r}.")
        if not isinstance(self.seed, int) or not -(1 << 63) <= self.seed < 1 << 63:
            raise SamplingError(f"The seed must be a whole number of at most 64 bits; it is {self.seed!r}.")
        if any(token < 0 for token in self.banned):
            raise SamplingError("A banned token is a token id, so it cannot be negative.")
        if self.top_p == 0.0:
            raise SamplingError("A top_p of 0 leaves no token to choose; use temperature 0 for greedy decoding.")

    @property
    def needs_ranks(self) -> bool:
        """Which tokens are left depends on their order."""
        return self.top_k > 0 or self.top_p < 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Allowed:
    """The tokens that a worker may choose: `ids` `[n]`, int64, on the host, at least one; with `but`, all others."""

    ids: Tensor
    but: bool = False


def for_worker(sampling: Sampling, index: int) -> Sampling:
    """The same choices with a seed of its own for the index-th worker, so that two workers do not draw alike."""
    return replace(sampling, seed=(sampling.seed * 1009 + index) % (1 << 63))


class Sampler:
    """One worker's choices: its settings, and the random numbers that they are made by, one for each."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._generator = torch.Generator().manual_seed(sampling.seed)
        self._number: float | None = None

    def __call__(self, logits: Tensor, written: Sequence[int] = (), allowed: Allowed | None = None) -> int:
        """Choose a token from `logits [vocab]` (any device); `written` is what the worker has decoded so far."""
        (token,) = choose([self], [logits], [written], [allowed]).ids()
        self.advance()
        return token

    @property
    def number(self) -> float:
        """What the next choice is drawn by, in [0, 1)."""
        if self._number is None:
            self._number = float(torch.rand((), dtype=torch.float64, generator=self._generator))
        return self._number

    def advance(self) -> None:
        """The choice has been taken, so the next one is drawn by another number. Greedy choices use up none."""
        if self.sampling.temperature > 0.0:
            _ = self.number
            self._number = None


class Chosen:
    """Tokens on their way to the host: they are copied while whoever asked for them goes on. on_device: the same
    `[choices]`, where they were chosen."""

    def __init__(self, tokens: Tensor) -> None:
        self.on_device, self._tokens, self._there = tokens, tokens, None
        if tokens.device.type == "cuda":
            self._tokens = torch.empty(tokens.shape, dtype=tokens.dtype, pin_memory=True)
            self._tokens.copy_(tokens, non_blocking=True)
            self._there = torch.cuda.Event()
            self._there.record()

    def of(self, choices: Sequence[int]) -> Tensor:
        """These of the tokens, where they were chosen."""
        if list(choices) == list(range(len(self.on_device))):
            return self.on_device
        return self.on_device[_at_once(choices, torch.int64, self.on_device.device)]

    def ids(self) -> list[int]:
        """The tokens; waits for them, and for nothing that was asked of the device later."""
        if self._there is not None:
            self._there.synchronize()
        found: list[int] = self._tokens.tolist()
        return found


def choose(
    samplers: Sequence[Sampler],
    logits: Sequence[Tensor],
    written: Sequence[Sequence[int]],
    allowed: Sequence[Allowed | None] = (),
) -> Chosen:
    """A token for every sampler, from its row of logits `[vocab]`, on the device where they lie. allowed: one for each,
    None for all tokens; where all of them are banned, the ban counts.

    The host waits for nothing here. What one is given never depends on the others, nor on the device but for rounding:
    weights are counted in whole numbers, so that their sums have no order. Call `Sampler.advance` for choices that are
    taken.
    """
    hows = [sampler.sampling for sampler in samplers]
    if not hows:
        return Chosen(torch.empty(0, dtype=torch.int64))
    plain = all(how.temperature == 0.0 and how.repetition_penalty == 1.0 and not how.banned for how in hows)
    if plain and not any(allowed):
        return Chosen(torch.stack(list(logits)).argmax(-1))
    rows = torch.stack([row.detach() for row in logits]).double()
    _penalise(rows, hows, written)
    _keep(rows, hows, allowed)
    _ban(rows, hows)
    tokens = rows.argmax(-1)
    for ranked in (False, True):
        # A row is drawn by rank only if its own settings ask for it, or others would change what it is given.
        mine = [at for at, how in enumerate(hows) if how.temperature > 0.0 and how.needs_ranks == ranked]
        if mine:
            numbers = [samplers[at].number for at in mine]
            index = _at_once(mine, torch.int64, rows.device)
            tokens[index] = _draw(rows[index], [hows[at] for at in mine], numbers, ranked)
    return Chosen(tokens)


def _penalise(rows: Tensor, hows: Sequence[Sampling], written: Sequence[Sequence[int]]) -> None:
    """In place: the logits of tokens that were written are divided, or multiplied where they are below 0."""
    pairs = [
        (at, token)
        for at, (how, tokens) in enumerate(zip(hows, written, strict=True))
        if how.repetition_penalty != 1.0
        for token in sorted(set(tokens))
    ]
    if pairs:
        row, token = _at_once(pairs, torch.int64, rows.device).unbind(1)
        penalty = _at_once([how.repetition_penalty for how in hows], torch.float64, rows.device)[row]
        held = rows[row, token]
        rows[row, token] = torch.where(held > 0, held / penalty, held * penalty)


def _keep(rows: Tensor, hows: Sequence[Sampling], allowed: Sequence[Allowed | None]) -> None:
    """In place: tokens that are not allowed have no weight."""
    for row, how, one in zip(rows, hows, allowed, strict=False):
        if one is None or (how.banned and not one.but and set(one.ids.tolist()) <= set(how.banned)):
            continue
        ids = _sent(one.ids, rows.device)
        if one.but:
            row.index_fill_(0, ids, float("-inf"))
        else:
            kept = row.index_select(0, ids)
            row.fill_(float("-inf")).index_copy_(0, ids, kept)


def _ban(rows: Tensor, hows: Sequence[Sampling]) -> None:
    """In place: banned tokens have no weight."""
    vocab = rows.shape[1]
    for how in hows:
        if how.banned and max(how.banned) >= vocab:
            raise SamplingError(f"Token {max(how.banned)} cannot be banned: there are {vocab} tokens.")
        if len(set(how.banned)) == vocab:
            raise SamplingError("Every token is banned, so there is nothing to choose; ban fewer.")
    pairs = [(at, token) for at, how in enumerate(hows) for token in how.banned]
    if pairs:
        row, token = _at_once(pairs, torch.int64, rows.device).unbind(1)
        rows[row, token] = rows.new_full((), float("-inf"))  # made on the device; a bare number would be copied there


def missed_by(
    how: Sampling, number: float, logits: Tensor, written: Sequence[int], allowed: Allowed | None, token: int
) -> float:
    """How far `number` lies from those by which `token` is drawn from `logits` `[vocab]`, as a share of all weight: 0
    where it is drawn, next to nothing where the rounding of another machine may draw it, 1 where nothing would."""
    rows = logits.detach().double().clone()[None]
    _penalise(rows, [how], [written])
    _keep(rows, [how], [allowed])
    _ban(rows, [how])
    sums, _, order = _sums(rows, [how], [number], how.needs_ranks)
    shares = (sums[0].double() / sums[0, -1].double()).tolist()
    place = token if order is None else int((order[0] == token).nonzero()[0])
    low, high = (shares[place - 1] if place else 0.0), shares[place]
    return 1.0 if low == high else max(low - number, number - high, 0.0)


def _draw(rows: Tensor, hows: Sequence[Sampling], numbers: Sequence[float], ranked: bool) -> Tensor:
    """Tokens `[rows]` by inversion: the first at which the running sum of weights exceeds a share of the total."""
    sums, number, order = _sums(rows, hows, numbers, ranked)
    total = sums[:, -1:]
    wanted = torch.minimum((number * total.double()).long(), total - 1)
    place = (sums <= wanted).sum(-1, keepdim=True).clamp(max=rows.shape[1] - 1)
    return (place if order is None else order.gather(1, place)).squeeze(1)


def _sums(
    rows: Tensor, hows: Sequence[Sampling], numbers: Sequence[float], ranked: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Running sums of the tokens' weights, the numbers beside them `[rows, 1]`, and the tokens' order where they are
    ranked."""
    settings = [
        (how.temperature, how.top_k or rows.shape[1], how.top_p, how.min_p, number)
        for how, number in zip(hows, numbers, strict=True)
    ]
    temperature, top_k, top_p, min_p, number = _at_once(settings, torch.float64, rows.device)[:, :, None].unbind(1)
    order = None
    if ranked:  # before anything is rounded: a tiny difference is an order still
        rows, order = rows.sort(dim=-1, descending=True, stable=True)
        last = (top_k.long() - 1).clamp(max=rows.shape[1] - 1)
        rows = rows.masked_fill(rows < rows.gather(1, last), float("-inf"))
    rows = (rows - rows.amax(-1, keepdim=True)) / temperature
    likely = rows.exp()
    weights = (likely * WHOLE).long().masked_fill(likely < min_p, 0)
    if ranked:
        # The shares of top-p are those before min-p.
        everything = (likely * WHOLE).long()
        before = everything.cumsum(-1) - everything
        beyond = (before > 0) & (before.double() >= top_p * everything.sum(-1, keepdim=True).double())
        weights = weights.masked_fill(beyond, 0)
    return weights.cumsum(-1), number, order


def _at_once(values: Sequence[object], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A small tensor, copied through pinned memory so that nobody waits."""
    return _sent(torch.tensor(values, dtype=dtype), device)


def _sent(host: Tensor, device: torch.device) -> Tensor:
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host
