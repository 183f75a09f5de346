"""The embedded model's recipe: the phrase bank and, next to it, what turns it into worksheets and trains on them."""

from pathlib import Path

MODEL_DIR = Path(__file__).parent / "model"
"""The embedded model: a stock Qwen3 with its tokenizer and its prompting."""
