"""Trains the embedded model, or teaches another one to collaborate: `python -m hogwild.embedded.train`. Resumable.

In: nothing but the phrase bank and the tools; with `--model`, a model directory. Out: a model directory that plain
`transformers` loads; with `--model`, a LoRA adapter and the merged model. Below: `training.py`, `fine_tune.py`.

    python -m hogwild.embedded.train --preset gpu --out runs/embedded       one GPU, some 10 minutes of learning
    python -m hogwild.embedded.train --out runs/embedded                    a CPU, in as many sittings as you like
    python -m hogwild.embedded.train --begin-with DIR --curriculum mend     go on from a model
    python -m hogwild.embedded.train --model DIR --out runs/mine            teach your own model
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn
from transformers import PreTrainedTokenizerFast

from hogwild.embedded.lessons import CURRICULA
from hogwild.embedded.recipe import PRESETS, Recipe, sample_texts
from hogwild.embedded.training import Training, export
from hogwild.embedded.vocabulary import train_tokenizer
from hogwild.errors import HogwildError


def main(arguments: list[str] | None = None) -> None:
    """Train, or go on with a training that was interrupted; then export."""
    args = _parser().parse_args(arguments)
    try:
        if args.model:
            from hogwild.embedded.fine_tune import fine_tune_command  # peft is an extra

            fine_tune_command(args)
            return
        if not args.export_only:
            train(_recipe(args), args.out, args.processes, args.data_processes)
        if not (args.out / "checkpoint.pt").exists():
            raise HogwildError(f"There is no checkpoint in {args.out}: train first, or name another --out.")
        export(args.out, args.export or args.out / "model")
        print(f"The model is in {args.export or args.out / 'model'}.")
    except HogwildError as error:
        sys.exit(f"train: {error}")
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from the last checkpoint.", file=sys.stderr)
        sys.exit(130)


def train(recipe: Recipe, out: Path, processes: int = 1, data_processes: int = 0) -> None:
    """Train to the end of the recipe's schedule; a folder that holds a training goes on with that one's recipe."""
    out.mkdir(parents=True, exist_ok=True)
    held = out / "recipe.json"
    if held.exists():
        recipe = Recipe(**json.loads(held.read_text(encoding="utf-8")))
    else:
        held.write_text(json.dumps(asdict(recipe)), encoding="utf-8")
    if recipe.device != "cpu" and not torch.cuda.is_available():
        raise HogwildError(f"The recipe wants the device {recipe.device} and there is none; use --preset cpu.")
    if not (out / "tokenizer").exists():
        _tokenizer(recipe).save_pretrained(out / "tokenizer")
    # Batches differ in size; by default glibc keeps so many pieces of them that a process grew to 8 GB.
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 32))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 33))
    if processes == 1:
        _process(0, recipe, out, 1, 0, data_processes)
    else:
        port = random.SystemRandom().randint(20_000, 60_000)
        spawn(_process, (recipe, out, processes, port, data_processes), nprocs=processes)


def _process(rank: int, recipe: Recipe, out: Path, world: int, port: int, data_processes: int) -> None:
    if recipe.device == "cpu":
        torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    try:
        Training(recipe, out, rank, world, data_processes).run()
    finally:
        if world > 1:
            dist.destroy_process_group()


def _tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    if recipe.begin_with:
        held: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(recipe.begin_with)
        return held
    texts = sample_texts(recipe.tokenizer_lessons)
    return train_tokenizer(texts, recipe.vocab_size, recipe.context, min(20, recipe.tokenizer_lessons // 20))


def _recipe(args: argparse.Namespace) -> Recipe:
    given = {one.name: value for one in fields(Recipe) if (value := getattr(args, one.name, None)) is not None}
    return replace(PRESETS[args.preset], **given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hogwild.embedded.train", description="Train the embedded model, or fine-tune another one."
    )
    parser.add_argument("--preset", choices=list(PRESETS), default="cpu", help="size, schedule and device")
    parser.add_argument("--out", type=Path, default=Path("runs/embedded"), help="checkpoints and the log")
    parser.add_argument("--export", type=Path, help="write the model directory here; default OUT/model")
    parser.add_argument("--export-only", action="store_true", help="export the latest checkpoint, no training")
    parser.add_argument("--begin-with", metavar="DIR", help="a model directory to go on from")
    parser.add_argument("--curriculum", choices=list(CURRICULA), help="whole: from nothing; widen: from single calls")
    parser.add_argument("--minutes", type=float, help="time spent learning at which the schedule ends")
    parser.add_argument("--max-tokens", type=int, help="tokens read at which the schedule ends")
    parser.add_argument("--tokens-per-step", type=int, help="tokens of a batch")
    parser.add_argument("--lr", type=float, help="highest learning rate of the matrices")
    parser.add_argument("--embedding-lr", type=float, help="highest learning rate of everything else")
    parser.add_argument("--warmup-steps", type=int, help="steps in which the learning rate rises")
    parser.add_argument("--decay-from", type=float, help="share of the training from which the learning rate falls")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", help="cpu or cuda")
    parser.add_argument("--processes", type=int, default=1, help="that learn, one thread each (CPU)")
    parser.add_argument("--data-processes", type=int, default=0, help="that make shards ahead of the learning")
    tuning = parser.add_argument_group("fine-tuning another model")
    tuning.add_argument("--model", metavar="DIR", help="a RoPE model with its tokenizer, to be taught")
    tuning.add_argument("--rank", type=int, default=16, help="of the LoRA matrices; 0 trains all weights")
    tuning.add_argument("--steps", type=int, default=500, help="optimizer steps")
    tuning.add_argument("--easy", action="store_true", help="single calls by two workers only")
    return parser


if __name__ == "__main__":
    main()
