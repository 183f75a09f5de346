"""A model whose layers are spread over devices gives what it gives in one place.

There is one kind of device here, so: a layer whose weights wait on the disk (accelerate's hooks move them in for every
step), and a cache that is made to believe in two devices. Copies between two GPUs are what this cannot show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engine_scenes import HEADS, PROMPT, operations, replayed, shares
from twin import TOLERANCE, relative_error

from hogwild import Engine
from hogwild.errors import HogwildError
from hogwild.loading import load

FAMILY = "smollm3"  # its second layer of three does not rotate


def split(folder: Path) -> Engine:
    """Layers 0 and 2 on one device, layer 1 on another one, which is the same processor by another name."""
    cpu, other = torch.device("cpu"), torch.device("cpu", 0)
    loaded = load(folder, "float32", cpu)
    return Engine(replace(loaded, placed=True, layers=(cpu, other, cpu)))


def test_layers_on_two_devices_give_the_logits_of_one(
    engine: Callable[[str], Engine], folder: Callable[[str], Path]
) -> None:
    one, two = engine(FAMILY), split(folder(FAMILY))
    assert two.cache.is_split
    assert not one.cache.is_split
    for scene in (operations, replayed):
        assert max(map(relative_error, scene(two), scene(one))) < TOLERANCE
    assert shares(two) == pytest.approx(shares(one), rel=1e-5)
    assert two.cache.num_tokens == two.cache.num_bytes == 0


def test_a_model_that_waits_on_the_disk_in_part_decodes_the_same_tokens(
    engine: Callable[[str], Engine], folder: Callable[[str], Path]
) -> None:
    parts = ("embed_tokens", "layers.0", "layers.1", "layers.2", "norm", "rotary_emb")
    places = {f"model.{part}": "disk" if part == "layers.1" else "cpu" for part in parts} | {"lm_head": "cpu"}
    spread = Engine.from_pretrained(folder(FAMILY), dtype="float32", device_map=places)
    assert {parameter.device.type for parameter in spread.model.parameters()} == {"cpu", "meta"}
    ids, truth = (one.decode(PROMPT, HEADS, max_new_tokens=10, stop=False) for one in (spread, engine(FAMILY)))
    assert ids == truth


def test_layers_and_parts_of_layers_are_not_spread_at_once(folder: Callable[[str], Path]) -> None:
    with pytest.raises(HogwildError, match="choose one"):
        Engine.from_pretrained(folder(FAMILY), device_map="auto", tensor_parallel=2)
