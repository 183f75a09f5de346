"""Products with segments: long ones by oneDNN as by torch's own library, short ones together as one by one."""

from __future__ import annotations

import pytest
import torch

from hogwild_kernels import attention, products


@pytest.mark.parametrize("length", [5, products.LEAST_LENGTH, products.LEAST_LENGTH + products.STRIDE + 7])
@pytest.mark.parametrize("rows", [1, products.LEAST_ROWS, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_long_segment_gives_what_plain_products_give(length: int, rows: int, dtype: torch.dtype) -> None:
    torch.manual_seed(length + rows)
    # As in a cache: the segment is the beginning of a longer buffer, the weights a part of a wider table.
    keys = torch.randn(2, length + 9, 32).to(dtype)[:, :length]
    query = torch.randn(2, rows, 32).to(dtype)
    weights = torch.softmax(torch.randn(2, rows, length + 3), -1).to(dtype)[..., :length]
    scores = torch.full((2, rows, length + 3), torch.nan, dtype=dtype)
    with torch.inference_mode():
        products.scores_into(scores[..., :length], query, keys)
        out = products.weighted(weights, keys)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype is torch.float32 else {"rtol": 2e-2, "atol": 2e-2}
    torch.testing.assert_close(scores[..., :length], query @ keys.transpose(1, 2), **close)
    torch.testing.assert_close(out, weights @ keys, **close)
    assert scores[..., length:].isnan().all()


def test_gradients_flow_through_a_long_segment() -> None:
    keys = torch.randn(1, products.LEAST_LENGTH, 16, requires_grad=True)
    weights = torch.rand(1, products.LEAST_ROWS, products.LEAST_LENGTH)
    products.weighted(weights, keys).sum().backward()
    assert keys.grad is not None
    assert bool(keys.grad.any())
    assert not products.is_long(weights, keys)


@pytest.mark.parametrize("sizes", [(3,), (700, 20, 1, 64), (20, 30, 2100, 5, 250, 256, 256, 256, 90), (257, 257)])
def test_short_neighbours_are_multiplied_together_and_long_segments_alone(sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    turns, visible = torch.zeros(2, len(sizes), dtype=torch.int64), torch.tensor([sizes, sizes])
    plan = attention.plan_attention(turns, visible, sizes, None, torch.float32)
    for span in plan.spans:
        inside = sizes[span]
        assert len(inside) == 1 or (max(inside) <= attention.SHORT and sum(inside) <= attention.TOGETHER)
    assert [at for span in plan.spans for at in range(span.start, span.stop)] == list(range(len(sizes)))
    query = torch.randn(6, 2, 16)
    keys, values = ([torch.randn(2, size, 16) for size in sizes] for _ in range(2))
    with torch.inference_mode():
        out, _ = attention.attend(query, keys, values, plan, 0.25)
    grouped = query.view(2, 6, 16) * 0.25
    expected = torch.softmax(grouped @ torch.cat(keys, 1).transpose(1, 2), -1) @ torch.cat(values, 1)
    torch.testing.assert_close(out, expected.view(6, 2, 16), rtol=1e-4, atol=1e-4)
