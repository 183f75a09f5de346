"""The process of a rank beyond 0: loads its part of the model, then does what rank 0 tells it, until there is none.

In: one JSON argument (directory, dtype, device, size, store); messages of rank 0. Out: on standard output a line of
JSON each for "ready", "loaded" and, when it goes wrong, "error". It draws no token and writes no log. Beside:
`ranks.py`, which starts it. Below: `engine.py`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from hogwild.errors import HogwildError, IntegrityError
from hogwild.tape import Chunk, Seen, Tape
from hogwild.views import Block, Feed

if TYPE_CHECKING:
    from hogwild.engine import Engine
    from hogwild.ranks import Member


class Follower:
    """Does to this rank's engine what rank 0 does to its own. One method for every word of the messages."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.cache = engine.cache

    def do(self, what: str, *arguments: Any) -> None:
        getattr(self, f"_{what}")(*arguments)

    def _open(self) -> None:
        self.cache.open_block()

    def _freeze(self, block: int) -> None:
        self.cache.freeze(self.cache.block(block))

    def _release(self, blocks: list[int]) -> None:
        self.cache.release([self.cache.block(block) for block in blocks])

    def _compact(self, blocks: list[int]) -> None:
        self.cache.compact([self.cache.block(block) for block in blocks])

    def _branch(self, block: int, length: int, frozen: bool) -> None:
        self.cache.branch(self.cache.block(block), length, frozen=frozen)

    def _cut(self, block: int, length: int) -> None:
        self.cache.cut(self.cache.block(block), length)

    def _step(self, feeds: list[Any], last_only: bool, mass: bool) -> None:
        made = []
        for view, tokens, length in feeds:
            made.append(Feed(tuple(self.cache.block(block) for block in view), tokens))
            if made[-1].own.length != length:
                raise IntegrityError(f"{made[-1].own} has {length} tokens on rank 0; the ranks are out of step.")
        if last_only:
            self.engine.step_last(made, mass=mass)
        else:
            self.engine.step(made)

    def _replay(self, tape: Any) -> None:
        self.engine.replay(_tape(tape))

    def _replay_rows(self, tape: Any, places: list[Any]) -> None:
        self.engine.replay_rows(_tape(tape), [(block, index) for block, index in places])

    def _rebuild(self, tape: Any, blocks: list[Any]) -> None:
        self.engine.rebuild(_tape(tape), [Block(*block) for block in blocks])


def _tape(sent: Any) -> Tape:
    chunks, merged, num_steps = sent
    return Tape(
        [
            Chunk(step, worker, block, at, tuple(tokens), tuple(Seen(*one) for one in seen))
            for step, worker, block, at, tokens, seen in chunks
        ],
        {new: tuple((old, size) for old, size in parts) for new, parts in merged},
        num_steps,
    )


def follow(member: Member, given: Mapping[str, Any], loaded: Callable[[], None] = lambda: None) -> None:
    """Load this rank's part, say so by `loaded`, and do what rank 0 says until it says that this is the end."""
    import torch
    import torch.distributed as dist

    from hogwild.engine import Engine
    from hogwild.loading import load

    part = load(given["directory"], given["dtype"], torch.device(given["device"]), ranks=member.size)
    loaded()
    follower = Follower(Engine(part, ranks=member))
    while True:
        for what, *arguments in member.told():
            if what == "end":
                dist.destroy_process_group()
                return
            follower.do(what, *arguments)


def main() -> None:
    """The process. It is over when standard input ends: rank 0 holds the other side, and is gone."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints is not for rank 0
    threading.Thread(target=_end_with_rank_0, daemon=True).start()

    def say(word: str, what: Any = True) -> None:
        print(json.dumps({word: what}), file=out)

    try:
        _work(json.loads(sys.argv[1]), say)
    except Exception as error:
        sentence = str(error) if isinstance(error, HogwildError) else f"{type(error).__name__}: {error}"
        say("error", sentence.strip().split("\n")[0][:300])
        os._exit(1)
    os._exit(0)


def _work(given: Mapping[str, Any], say: Callable[[str], None]) -> None:
    import torch

    from hogwild.ranks import Member, file_store, meet

    say("ready")
    rank, size = int(os.environ["RANK"]), given["size"]
    torch.set_num_threads(given["threads"])
    meet(rank, given["device"], store=file_store(given["store"], size), rank=rank, world_size=size)
    follow(Member(rank, size), given, partial(say, "loaded"))


def _end_with_rank_0() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
