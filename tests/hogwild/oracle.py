"""The slow, plain truth about shared-cache inference, written from the definition and from nothing else.

In: a stock `transformers` model and, step by step, what every worker reads (the names of the blocks of its view, its
own block last) and the token ids that are appended to its own block. Out: the logits of every one of these tokens.
Neighbours: `twin.py` holds the engine and this oracle side by side; the oracle itself imports nothing of `hogwild`.

    view of worker w      [ prompt ][ other ][ own ....... ]
    positions in w's view  0 1 2 3   4 5 6    7 8 9 10 11    9 sees 0..9: the other blocks whole, its own up to itself

How: the stock model runs with position 0 for every token, so the rotation inside the model turns nothing (a yarn
factor, cos(0) * factor, stays where the model puts it), and with an attention function that keeps the unrotated keys
and values per block and layer. For each worker that function gathers the keys of the view in order, rotates each to
its position in this view and each query to its own, in float64, and does plain softmax attention. Nothing is ever
reused between views.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

Name = Hashable
View = Sequence[Name]

ATTENTION_NAME = "dense_oracle"
# Facts of the model cards, kept by hand: these families pair neighbouring dimensions, all others the two halves.
INTERLEAVED_FAMILIES = frozenset({"glm", "glm4", "cohere2"})
LAYERS_WITHOUT_A_WINDOW_DO_NOT_ROTATE = frozenset({"cohere2", "exaone4"})


def rotate(x: Tensor, positions: Tensor, frequencies: Tensor, interleaved: bool) -> Tensor:
    """x [n, heads, head_dim] turned to `positions` [n]; frequencies [r / 2], the dimensions from r on pass through."""
    half = len(frequencies)
    angle = (positions.double()[:, None] * frequencies.double())[:, None, :]
    rotated, passed = x[..., : 2 * half].double(), x[..., 2 * half :].double()
    real, imaginary = (rotated[..., 0::2], rotated[..., 1::2]) if interleaved else rotated.split(half, dim=-1)
    turned = torch.complex(real, imaginary) * torch.polar(torch.ones_like(angle), angle)
    parts = (turned.real, turned.imag)
    merged = torch.stack(parts, dim=-1).flatten(-2) if interleaved else torch.cat(parts, dim=-1)
    return torch.cat([merged, passed], dim=-1)


@dataclass
class Softmax:
    """How a layer makes shares of its scores: a cap on each score (a score of many caps counts as one), and per head a
    sink, a score that takes its share and gives nothing."""

    scaling: float
    cap: float | None = None
    sinks: Tensor | None = None


def attend(query: Tensor, keys: Tensor, values: Tensor, visible: Tensor, how: Softmax) -> Tensor:
    """query [n, H, d], keys and values [m, K, d], visible [n, m] -> [n, H, d]; H / K query heads share a key head."""
    group = query.shape[1] // keys.shape[1]
    keys, values = keys.repeat_interleave(group, dim=1), values.double().repeat_interleave(group, dim=1)
    scores = torch.einsum("nhd,mhd->hnm", query, keys) * how.scaling
    if how.cap is not None:
        scores = how.cap * torch.tanh(scores / how.cap)
    powers = torch.exp(scores).masked_fill(~visible, 0.0)  # scores of tiny models stay far below what float64 can hold
    total = powers.sum(-1, keepdim=True)
    if how.sinks is not None:
        total = total + torch.exp(how.sinks.double())[:, None, None]
    return torch.einsum("hnm,mhd->nhd", powers / total, values)


@dataclass
class _Layer:
    """What one layer remembers of one block: unrotated keys and values, each a list of [heads, head_dim] per token."""

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)


class Oracle:
    """Replays a history of steps on `model` (float32, taken over for good: its attention is replaced)."""

    def __init__(self, model: PreTrainedModel) -> None:
        model.set_attn_implementation(ATTENTION_NAME)
        self.model = model.eval()
        self.num_layers = model.config.num_hidden_layers
        self.interleaved = model.config.model_type in INTERLEAVED_FAMILIES
        self.frequencies, self.windows = _frequencies(model), _windows(model.config)
        self.rotated_layers = getattr(model.config, "no_rope_layers", None) or [1] * self.num_layers
        if model.config.model_type in LAYERS_WITHOUT_A_WINDOW_DO_NOT_ROTATE:
            self.rotated_layers = [window is not None for window in self.windows]
        self.blocks: defaultdict[Name, list[_Layer]] = defaultdict(
            lambda: [_Layer([], []) for _ in range(self.num_layers)]
        )
        self._feeds: list[tuple[View, int]] = []

    def length(self, block: Name) -> int:
        return len(self.blocks[block][-1].keys) if block in self.blocks else 0

    def step(self, feeds: Sequence[tuple[View, Sequence[int]]]) -> list[Tensor]:
        """Append every feed's tokens to the last block of its view, all at once; logits [tokens, vocab] per feed."""
        for view, _ in feeds:
            for block in view:
                self.blocks.setdefault(block, [_Layer() for _ in range(self.num_layers)])
        self._feeds = [(view, len(tokens)) for view, tokens in feeds]
        ids = torch.tensor([[token for _, tokens in feeds for token in tokens]])
        with torch.no_grad(), _listening(self):
            out = self.model(input_ids=ids, position_ids=torch.zeros_like(ids), use_cache=False)
        return list(out.logits[0].float().split([count for _, count in self._feeds]))

    def concatenate(self, parts: Sequence[Name], whole: Name) -> None:
        """`whole` holds the tokens of `parts` in order, as they were computed; the parts stay."""
        self.blocks[whole] = [
            _Layer(
                [k for part in parts for k in self.blocks[part][layer].keys],
                [v for part in parts for v in self.blocks[part][layer].values],
            )
            for layer in range(self.num_layers)
        ]

    def attention(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: Softmax) -> Tensor:
        """All three [N, heads, head_dim], unrotated; first every feed appends, then every feed attends."""
        counts = [count for _, count in self._feeds]
        for (view, _), new_keys, new_values in zip(self._feeds, key.split(counts), value.split(counts), strict=True):
            own = self.blocks[view[-1]][layer]
            own.keys.extend(new_keys)
            own.values.extend(new_values)
        outputs = [
            self._attend_feed(layer, view, queries, how)
            for (view, _), queries in zip(self._feeds, query.split(counts), strict=True)
        ]
        return torch.cat(outputs)

    def _attend_feed(self, layer: int, view: View, query: Tensor, how: Softmax) -> Tensor:
        keys = torch.stack([k for block in view for k in self.blocks[block][layer].keys])
        values = torch.stack([v for block in view for v in self.blocks[block][layer].values])
        key_positions = torch.arange(len(keys))
        positions = key_positions[len(keys) - len(query) :]
        # The own block stands last, so "others whole, own up to itself" is "everything up to my position".
        visible = key_positions[None, :] <= positions[:, None]
        window = self.windows[layer]
        if window is not None:  # the token itself and window - 1 before it
            visible &= key_positions[None, :] > positions[:, None] - window
        if self.rotated_layers[layer]:
            keys = rotate(keys, key_positions, self.frequencies[layer], self.interleaved)
            query = rotate(query, positions, self.frequencies[layer], self.interleaved)
        return attend(query.double(), keys.double(), values, visible, how)


# Facts of the model cards, kept by hand as above: what these families do in their layers, by number.
def _windows(config: Any) -> list[int | None]:
    layers, window = range(config.num_hidden_layers), config.to_dict().get("sliding_window")
    slides = {
        "mistral": lambda layer: True,
        "phi3": lambda layer: True,
        "qwen2": lambda layer: config.use_sliding_window and layer >= config.max_window_layers,
        "gemma2": lambda layer: layer % 2 == 0,
        "gemma3_text": lambda layer: config.layer_types[layer] == "sliding_attention",
        "cohere2": lambda layer: config.layer_types[layer] == "sliding_attention",
        "exaone4": lambda layer: config.layer_types[layer] == "sliding_attention",
        "gpt_oss": lambda layer: layer % 2 == 0,
    }.get(config.model_type, lambda layer: False)
    return [window if slides(layer) else None for layer in layers]


def _frequencies(model: PreTrainedModel) -> list[Tensor]:
    """Per layer; one rotary embedding for all, or in Gemma 3 one for the layers that see everything and one for the
    others."""
    rotary = model.model.rotary_emb
    if model.config.model_type == "gemma3_text":
        wide, near = rotary.full_attention_inv_freq, rotary.sliding_attention_inv_freq
        return [(near if "sliding" in kind else wide).clone() for kind in model.config.layer_types]
    return [rotary.inv_freq.clone()] * model.config.num_hidden_layers


def greedy(
    oracle: Oracle,
    prompt: Sequence[int],
    heads: Sequence[Sequence[int]],
    separator: Sequence[int] = (),
    shared: bool = True,
    steps: int = 200,
) -> tuple[list[list[int]], list[Tensor]]:
    """Token ids [worker][steps] and the logits each was picked from: the view of worker w is the prompt, the other
    workers' blocks in order (when `shared`), the separator (computed once, by itself), its own block with heads[w]."""
    before = [(("prompt",), prompt)] + ([(("separator",), separator)] if separator else [])
    for feed in before:
        oracle.step([feed])
    middle = ("separator",) if separator else ()
    workers = range(len(heads))
    others = [tuple(o for o in workers if o != w) if shared else () for w in workers]
    views = [("prompt", *others[w], *middle, w) for w in workers]
    due: list[list[int]] = [list(head) for head in heads]
    chosen: list[list[int]] = [[] for _ in workers]
    rows: list[list[Tensor]] = [[] for _ in workers]
    for _ in range(steps):
        logits = oracle.step(list(zip(views, due, strict=True)))
        for w in workers:
            rows[w].append(logits[w][-1])
            chosen[w].append(int(logits[w][-1].argmax()))
        due = [[ids[-1]] for ids in chosen]
    return chosen, [torch.stack(r) for r in rows]


def greedy_by_steps(
    oracle: Oracle,
    prompt: Sequence[int],
    heads: Sequence[Sequence[int]],
    step_end: Sequence[int],
    unfinished_shared: bool,
    steps: int = 200,
) -> list[list[int]]:
    """Token ids [worker][steps] where a worker's step ends with the tokens `step_end`: once the last has been read, the
    block that they stand in goes to the end of the common history and the worker begins a new one. A view: the prompt,
    the history, the other workers' unfinished blocks in order (when `unfinished_shared`), the own unfinished block."""
    oracle.step([(("prompt",), prompt)])
    workers = range(len(heads))
    begun = [0 for _ in workers]
    history: list[Name] = []
    written: list[list[int]] = [[] for _ in workers]
    due: list[list[int]] = [list(head) for head in heads]
    chosen: list[list[int]] = [[] for _ in workers]
    for _ in range(steps):
        unfinished = [(w, begun[w]) for w in workers]
        others = [[b for b in unfinished if b[0] != w and unfinished_shared] for w in workers]
        logits = oracle.step([(("prompt", *history, *others[w], unfinished[w]), due[w]) for w in workers])
        for w in workers:
            written[w] += due[w]
            if written[w][-len(step_end) :] == list(step_end):
                history.append(unfinished[w])
                begun[w] += 1
                written[w] = []
            chosen[w].append(int(logits[w][-1].argmax()))
        due = [[ids[-1]] for ids in chosen]
    return chosen


_listener: Oracle | None = None


@contextmanager
def _listening(oracle: Oracle) -> Iterator[None]:
    global _listener
    _listener = oracle
    try:
        yield
    finally:
        _listener = None


def _dense_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """The seam of `transformers`: [1, heads, N, head_dim] in, [1, N, heads, head_dim] out."""
    assert _listener is not None, "the oracle's attention runs inside Oracle.step only"
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    how = Softmax(scaling, softcap, s_aux)
    return _listener.attention(int(module.layer_idx), q, k, v, how).to(query.dtype)[None], None


AttentionInterface.register(ATTENTION_NAME, _dense_attention)
