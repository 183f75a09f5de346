"""Every promised family, every layout, 1 to 5 workers: the engine's logits are the oracle's.

The layouts are written out here as the views of the paper (Hogwild! Inference, section 3.2), not taken from the engine:
contiguous, every worker reads the others' whole blocks; interleaved, it reads the finished steps of all in the order in
which they were finished; combined, both; independent, only itself.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tiny_models import FAMILIES
from twin import TOLERANCE, Twin, text

WORKERS = (1, 2, 3, 5)


class Scene:
    """Workers on one prompt: which blocks each has begun, which steps are finished, and so what each reads."""

    def __init__(self, twin: Twin, layout: str, workers: int) -> None:
        self.twin = twin
        self.layout = layout
        self.steps_begun = [0] * workers
        self.finished: list[str] = []
        twin.step((["prompt"], text(11, seed=workers)))
        twin.freeze("prompt")

    def own(self, worker: int) -> str:
        return f"{worker}.{self.steps_begun[worker]}"

    def view(self, worker: int) -> list[str]:
        workers = range(len(self.steps_begun))
        others = [self.own(other) for other in workers if other != worker]
        finished = {
            "contiguous": [],
            "interleaved": self.finished,
            "combined": self.finished,
            "independent": [name for name in self.finished if name.startswith(f"{worker}.")],
        }[self.layout]
        return ["prompt", *finished, *(others if self.layout in ("contiguous", "combined") else []), self.own(worker)]

    def step(self, sizes: list[int], seed: int) -> float:
        """sizes[w] new tokens for worker w; a worker with 0 sits this step out."""
        feeds = [(self.view(w), text(size, seed=100 * seed + w)) for w, size in enumerate(sizes) if size]
        return self.twin.step(*feeds)

    def finish_step(self, worker: int) -> None:
        self.twin.freeze(self.own(worker))
        self.finished.append(self.own(worker))
        self.steps_begun[worker] += 1


def act(scene: Scene, workers: int) -> None:
    """Heads of different lengths, decoding, a long tool result, a worker that waits, steps that end one by one."""
    everyone = [1] * workers
    scene.step([2 + 3 * w for w in range(workers)], seed=1)
    scene.step(everyone, seed=2)
    scene.step([37, *everyone[1:]], seed=3)
    if scene.layout != "contiguous":
        scene.finish_step(0)
    scene.step(everyone, seed=4)
    scene.step([1, *[0] * (workers > 1), *everyone[2:]], seed=5)
    if scene.layout != "contiguous":
        scene.finish_step(workers - 1)
        scene.finish_step(0)
    scene.step([3, *everyone[2:], *[6] * (workers > 1)], seed=6)
    scene.step(everyone, seed=7)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("layout", ["contiguous", "interleaved", "combined", "independent"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_of_every_step_are_the_oracles(
    family: str, layout: str, workers: int, twin: Callable[[str], Twin]
) -> None:
    scene = Scene(twin(family), layout, workers)
    act(scene, workers)
    assert scene.twin.worst < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_a_worker_that_takes_37_tokens_while_others_decode_sees_and_is_seen_in_that_step(
    family: str, twin: Callable[[str], Twin]
) -> None:
    pair = twin(family)
    pair.step((["prompt"], text(8, seed=1)))
    pair.step((["prompt", "b", "c", "a"], [1]), (["prompt", "a", "c", "b"], [2]), (["prompt", "a", "b", "c"], [3]))
    ragged = [
        (["prompt", "b", "c", "a"], [4]),
        (["prompt", "a", "c", "b"], text(37, seed=2)),
        (["prompt", "a", "b", "c"], [5]),
    ]
    assert pair.step(*ragged) < TOLERANCE
    assert pair.step(*[(view, [6]) for view, _ in ragged]) < TOLERANCE


@pytest.mark.parametrize("family", ["llama", "llama-yarn", "glm4", "smollm3", "gemma3", "gpt_oss"])
def test_logits_stay_the_oracles_when_blocks_stand_many_hundred_positions_apart(
    family: str, twin: Callable[[str], Twin]
) -> None:
    pair = twin(family)
    pair.step((["far"], text(700, seed=1)), (["near"], text(300, seed=2)))
    pair.step((["far", "near", "a"], text(5, seed=3)), (["near", "far", "b"], text(3, seed=4)))
    pair.step((["far", "near", "b", "a"], [1]), (["b", "far", "c"], [2]))
    assert pair.worst < TOLERANCE
