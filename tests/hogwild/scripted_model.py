"""A real Llama whose next token is decided by the token before it alone, so that a test writes what workers say.

In: chains of pieces of text; every piece is one token, and after a piece comes the piece that follows it in a chain.
Out: the folder of a stock model with a tokenizer, to be loaded like any other. Attention runs as in any Llama, but its
output and the feed-forward layers' are multiplied by zero, so only the last token decides. Neighbours: `tiny_models`
beside it for models that look at everything; the tests of both rooms use this one.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

END = "<end>"
Piece = str | bytes
"""Text that is one token; a single byte stands for a part of a character."""

WORDS: dict[str, Any] = {
    "rules": "{names} work together.",
    "tools_in_template": False,
    "header": "# {name}\n",
    "step_header": "# {name} {step}\n",
    "tool_response": "<tool_response>{content}</tool_response>",
    "person": "({content})",
    "closing": "Joint answer:\n",
}
"""The fields of a prompting whose headers and answers are easy to write chains for."""


def call(name: str, **arguments: Any) -> str:
    """A tool call as a worker writes it."""
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def save(
    folder: Path,
    *chains: Sequence[Piece],
    words: dict[str, Any] | None = WORDS,
    chat_template: str | None = None,
    max_positions: int = 2048,
    certainty: float = 1.0,
) -> Path:
    """Write the model; a piece that nothing follows is followed by the end of the turn.

    words: its prompting.json, None for a model that brings none. certainty: how far the next piece stands out.
    """
    tokenizer = byte_tokenizer([piece for chain in chains for piece in chain if isinstance(piece, str)])
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    size = len(tokenizer) + -len(tokenizer) % 8
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size, hidden_size=size, intermediate_size=8, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=16, max_position_embeddings=max_positions, tie_word_embeddings=False,
            bos_token_id=None, pad_token_id=None, eos_token_id=tokenizer.eos_token_id,
        )
    ).eval()  # fmt: skip
    _write_weights(model, _next_ids(tokenizer, chains, size), certainty)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if words is not None:
        (folder / "prompting.json").write_text(json.dumps(words))
    return folder


def byte_tokenizer(pieces: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Every byte is a token, and so is every piece, wherever it stands in a text."""
    alphabet = {sign: number for number, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([END])
    made.add_tokens([AddedToken(piece, normalized=False) for piece in dict.fromkeys(pieces) if piece != END])
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END)


def _id_of(tokenizer: Any, piece: Piece) -> int:
    if isinstance(piece, bytes):
        return int(tokenizer.convert_tokens_to_ids(_SIGNS[piece[0]]))
    (found,) = tokenizer.encode(piece, add_special_tokens=False)
    return int(found)


def _next_ids(tokenizer: Any, chains: Sequence[Sequence[Piece]], size: int) -> list[int]:
    after = [int(tokenizer.eos_token_id)] * size
    said: dict[int, Piece] = {}
    for chain in chains:
        for piece, follower in itertools.pairwise(chain):
            at = _id_of(tokenizer, piece)
            if said.setdefault(at, follower) != follower:
                raise ValueError(f"After {piece!r} come both {said[at]!r} and {follower!r}; a piece has one follower.")
            after[at] = _id_of(tokenizer, follower)
    return after


def _write_weights(model: LlamaForCausalLM, after: Sequence[int], certainty: float) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1.0)
            else:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        model.model.embed_tokens.weight.copy_(torch.eye(len(after)))
        model.lm_head.weight.zero_()
        for token, follower in enumerate(after):
            model.lm_head.weight[follower, token] = certainty


def _byte_signs() -> dict[int, str]:
    """The printable sign that byte-level tokenizers write for each byte (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + n) for n, byte in enumerate(other)}


_SIGNS = _byte_signs()
