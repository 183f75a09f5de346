"""The embedded model's tokenizer: byte-level BPE, single digits, ChatML, tool-call tags as tokens of their own.

In: sample texts. Out: a stock `PreTrainedTokenizerFast` that saves and loads with plain transformers; and `Vocabulary`,
the encoder that `script.py` asks for. Above: `train.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
)
# One digit at a time, so that numbers copy digit by digit; a letter run takes its space along; line ends stand alone;
# runs of punctuation, with inner spaces, stay together, so that the glue of JSON is short.
PIECES = r"\d|-| ?\p{L}+|\n+|(?:[^\p{L}\d\s\-]| (?![\p{L}]))+|\s"

CHAT_TEMPLATE = """\
{%- for message in messages %}
{%- if message.role == 'system' and tools %}
{{- '<|im_start|>system\n' + message.content + '\nTools:' }}
{%- for tool in tools %}
{%- set f = tool.function %}
{{- '\n' + f.description + ': ' + f.name + '(' }}
{%- for name, schema in f.parameters.properties.items() %}
{{- (', ' if not loop.first else '') + name + ': ' }}
{%- if schema.format == 'date' %}{{- 'date' }}
{%- else %}{{- {'integer': 'int', 'number': 'number', 'string': 'text', 'array': 'list', 'boolean': 'bool'}
.get(schema.type, 'value') }}{%- endif %}
{%- endfor %}
{{- ')' }}
{%- endfor %}
{{- '<|im_end|>\n' }}
{%- elif message.role == 'tool' %}
{{- '<tool_response>' + message.content + '</tool_response>' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, context: int = 4096, min_frequency: int = 20
) -> PreTrainedTokenizerFast:
    """A tokenizer whose merges come from `texts`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=min_frequency,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
        model_max_length=context,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


class Vocabulary:
    """Text to token ids, remembering the pieces that come again and again."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.end: int = tokenizer.get_vocab()["<|im_end|>"]
        self._backend = tokenizer.backend_tokenizer

    def encode(self, text: str) -> list[int]:
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def prompt(self, system: str, user: str) -> list[int]:
        return self.encode(chat_text(system, user))


def chat_text(system: str, user: str) -> str:
    """What the chat template makes of a system and a user message; a test holds the two together."""
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
