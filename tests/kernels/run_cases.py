"""Random packed runs, and what the definition and the kernels of whole runs make of them.

In: a `Case`. Out: the output and the gradients of queries, keys and values. Neighbours: the tests compare; `by_kernels`
and `losses_apart` run in a process whose Triton interprets, or on a device.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from hogwild_kernels import Rotary, attend, plan_attention
from hogwild_kernels.run_tables import Run, run_tables

PADDING = 5


@dataclass(frozen=True)
class Case:
    """runs: (causal rows, sizes of the segments) of each."""

    seed: int
    heads: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    runs: tuple[tuple[int, tuple[int, ...]], ...]
    rotary: bool = True

    @property
    def turning(self) -> Rotary | None:
        dims = torch.arange(0, self.head_dim, 2, dtype=torch.float64)
        return Rotary(10_000.0 ** -(dims / self.head_dim)) if self.rotary else None

    def packed(self) -> list[Run]:
        draw = torch.Generator().manual_seed(self.seed)
        made = []
        for causal, sizes in self.runs:
            rows = sum(sizes) - causal
            visible = torch.stack([torch.randint(0, n + 1, (rows,), generator=draw) for n in sizes], 1)
            visible[:, 0].clamp_(min=1)
            turns = torch.randint(-300, 40_000, (rows, len(sizes)), generator=draw)
            made.append(Run(causal, sizes, turns.int(), visible.int()))
        return made

    def tensors(self) -> list[Tensor]:
        draw = torch.Generator().manual_seed(self.seed + 1)
        rows = sum(sum(sizes) for _, sizes in self.runs) + PADDING
        shapes = [self.heads, self.kv_heads, self.kv_heads, self.heads]
        return [torch.randn(n, rows, self.head_dim, generator=draw).to(self.dtype) for n in shapes]


def by_definition(case: Case, dtype: torch.dtype) -> list[Tensor]:
    """Output of the runs' rows and the gradients, run by run."""
    query, key, value, wanted = (x[:, :-PADDING].to(dtype).requires_grad_() for x in case.tensors())
    parts, at = [], 0
    for run in case.packed():
        rows = slice(at, at + sum(run.sizes))
        lead = torch.zeros(run.causal, len(run.sizes), dtype=torch.int32)
        turns = torch.cat([lead, run.turns])
        lead = lead.clone()
        lead[:, 0] = torch.arange(1, run.causal + 1)
        plan = plan_attention(turns, torch.cat([lead, run.visible]), run.sizes, case.turning, dtype)
        keys = key[:, rows].split(run.sizes, 1)
        parts.append(attend(query[:, rows], keys, value[:, rows], plan, case.head_dim**-0.5)[0])
        at = rows.stop
    out = torch.cat(parts, 1)
    return [out.detach(), *torch.autograd.grad((out * wanted.detach()).sum(), (query, key, value))]


def by_kernels(case: Case, device: str = "cpu") -> list[Tensor]:
    """The same from the kernels, without the padding, for which they have to give 0."""
    from hogwild_kernels.whole_runs import attend_runs

    query, key, value, wanted = (x.to(device).requires_grad_() for x in case.tensors())
    tables = run_tables(case.packed()).to(device)
    out = attend_runs(query, key, value, tables, case.turning, case.head_dim**-0.5)
    given = torch.autograd.grad((out * wanted.detach()).sum(), (query, key, value))
    assert not any(bool(x[:, -PADDING:].any()) for x in (out, *given))
    return [x.detach()[:, :-PADDING].cpu() for x in (out, *given)]


def losses_apart(device: str = "cpu") -> list[float]:
    """How far loss and gradients of one batch differ between packed kernels and the definition, strip by strip."""
    import torch.nn.functional as F
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from hogwild.embedded.lessons import EASY, batch, lesson
    from hogwild.embedded.training import chosen_logits
    from hogwild.families import facts_of

    class Letters:
        end = 3

        def encode(self, text: str) -> list[int]:
            return [4 + ord(letter) % 60 for letter in text[::4]]

        def prompt(self, system: str, user: str) -> list[int]:
            return self.encode(system + user)

    given = batch([lesson(seed, EASY, Letters()) for seed in range(2)])
    torch.manual_seed(0)
    random.seed(0)
    config = Qwen3Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config).to(device)
    found = []
    for one in (given, given.packed(given.num_tokens + 9).to(device)):
        model.zero_grad()
        logits = chosen_logits(model, one, facts_of(model), device=device)
        loss = F.cross_entropy(logits, given.targets.to(device))
        loss.backward()
        grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        found.append({"loss": loss.detach(), **grads})
    return [float((found[1][name] - right).abs().max()) for name, right in found[0].items()]
