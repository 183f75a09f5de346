"""Fewer kernels in a decoder layer, where that changes nothing.

In: a loaded model. Out: the same model, whose layers do the same by fewer and larger operations: query, key and value
as one product, gate and up as another, a norm, a gate and a rotation as one kernel each, and a norm together with the
sum before it. A step of an 8 B model on a CUDA device is some 1,500 kernels as PyTorch writes them and some 400 by this
(`make bench-gpu`; kernels/LOG.md). Every replacement is compared once, on random input where the model lies, with what
the model does itself, and left out where the two differ by more than rounding, where somebody else has changed the
module, or where it cannot run. Weights stay the model's own Parameters; training and gradients use what the model does
itself. Above: `loading.py` (CUDA devices), `embedded/training.py` (norms). Below: `hogwild_kernels.between`.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hogwild_kernels import between

PROBED_ROWS = 4
PROJECTIONS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Linear layers of one input; what a product makes of it is cut in this order."""
_off = False


@contextmanager
def switched_off() -> Iterator[None]:
    """In this context models are run as if only their norms had been fused (for measuring what the rest gives)."""
    global _off
    before, _off = _off, True
    try:
        yield
    finally:
        _off = before


def fuse_norms(model: nn.Module) -> int:
    """Let every RMS norm that is proved to be `F.rms_norm` on random input run as one kernel, and say how many do.
    Whatever scales otherwise (by 1 + weight), takes a gate, is wrapped by somebody or has a weight of another type than
    the model stays as it is. Gradients flow."""
    dtype = next(model.parameters()).dtype
    norms = [_norm_of(module, dtype, between, 0.0) for module in model.modules()]
    return sum(norm is not None and norm.put() for norm in norms)


@torch.no_grad()
def fuse(model: nn.Module, by: Any = None) -> Counter[str]:
    """Replace what can be replaced, and say what and how often. by: `hogwild_kernels.between`, or the same by kernels;
    by default what suits the model's device."""
    if by is None:
        by = _kernels(next(model.parameters()).device)
    done = Counter[str]()
    for part in (_fuse_norms, _fuse_products, _fuse_gates, _fuse_rotations, _fuse_layers):
        try:
            part(model, by, done)
        except Exception as error:  # a kernel that a new device or library refuses must not keep a model from running
            told = (str(error).splitlines() or [""])[0][:200]
            logging.getLogger(__name__).warning(
                "A part of the model runs as it is written, by more kernels (%s): %s: %s",
                part.__name__.strip("_"),
                type(error).__name__,
                told,
            )
    if next(model.parameters()).device.type == "cuda":
        torch.cuda.empty_cache()  # the weights as they were before they were put side by side
    return done


def _kernels(device: torch.device) -> Any:
    if device.type == "cuda" and find_spec("triton") is not None:
        from hogwild_kernels import between_gpu

        return between_gpu
    return between


def _plain(module: Any) -> bool:
    """Nobody has changed how the module is called."""
    return "forward" not in vars(module) and not module._forward_hooks and not module._forward_pre_hooks


def _close(ours: Tensor, theirs: Tensor) -> bool:
    """The same but for rounding: each number within a few units of the largest one's last place, and on average within
    one unit of its size (a factor of 1.01 is more, in bfloat16 too)."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    eps = torch.finfo(ours.dtype).eps + 16 * torch.finfo(torch.float32).eps
    off, size = (ours.float() - theirs.float()).abs(), theirs.float().abs()
    return bool((off.max() <= 8 * eps * size.max()) & (off.mean() <= eps * size.mean()))


def _draw(like: Tensor, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(like.device, like.dtype)


# Norms.


class _Norm:
    """An RMS norm as one kernel. ahead: a sum and its norm, made by the layer before; the norm of the very same tensor
    is then there already."""

    def __init__(self, module: Any, eps: float, by: Any, offset: float) -> None:
        self.module, self.eps, self.by, self.offset = module, eps, by, offset
        self.original: Callable[[Tensor], Tensor] = module.forward
        self.ahead: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        held = self.ahead  # read once: another thread may run the same model
        if held is not None:
            self.ahead = None
            if held[0] is x:
                return held[1]
        if self.by is between or torch.is_grad_enabled() or _off:
            if self.offset:
                return self.original(x)
            return between.rms_norm(x, self.module.weight, self.eps)
        out: Tensor = self.by.rms_norm(x, self.module.weight, self.eps, self.offset)
        return out

    def put(self) -> bool:
        """Take the module's place, if both give the same."""
        same = self._same()
        if same:
            self.module.forward = self
        return same

    @torch.no_grad()
    def _same(self) -> bool:
        """For numbers about 1, and for some so small that epsilon counts."""
        weight = self.module.weight
        draw = torch.randn(2, PROBED_ROWS, len(weight), generator=torch.Generator().manual_seed(0))
        draw[1] *= 1e-3
        x = draw.to(weight.device, weight.dtype)
        ours, theirs = self(x), self.module(x)
        if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
            return False
        # Each number is a product; the module rounds it twice, and sums and roots in float32 differ in the last places.
        rounding = torch.finfo(weight.dtype)
        share = 2 * rounding.eps + 16 * torch.finfo(torch.float32).eps
        off = (ours.float() - theirs.float()).abs()
        return bool((off <= share * theirs.float().abs().clamp_min(rounding.smallest_normal)).all())


def _norm_of(norm: nn.Module, dtype: torch.dtype, by: Any, offset: float) -> _Norm | None:
    """`norm` as one kernel, if it looks like an RMS norm written out in PyTorch."""
    weight = getattr(norm, "weight", None)
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    looks = "RMSNorm" in type(norm).__name__ and not isinstance(norm, nn.RMSNorm) and "forward" not in vars(norm)
    if not looks or type(weight) is not nn.Parameter or weight.dim() != 1 or not isinstance(eps, float):
        return None
    if weight.dtype != dtype or weight.is_meta or len(inspect.signature(norm.forward).parameters) != 1:
        return None
    return _Norm(norm, eps, by, offset)


def _fuse_norms(model: nn.Module, by: Any, done: Counter[str]) -> None:
    dtype = next(model.parameters()).dtype
    try:
        for module in model.modules():
            for offset in (0.0, 1.0):
                norm = _norm_of(module, dtype, by, offset)
                if norm is not None and norm.put():
                    done["norms"] += 1
    except Exception:
        done["norms"] += fuse_norms(model)  # by PyTorch's own kernel
        raise


# Products.


class _Product:
    """Linear layers of one input, whose weights lie side by side: one product for all of them."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self.layers = tuple(layers)
        self.sizes = [layer.out_features for layer in layers]
        self.weight = torch.cat([layer.weight.detach() for layer in layers])
        self.bias = None if layers[0].bias is None else torch.cat([layer.bias.detach() for layer in layers])
        self.places: list[tuple[nn.Linear, str, int]] = []

    def put(self) -> bool:
        """Take the layers' place, if all give the same. Their Parameters become views of the common weight, so nothing
        is held twice, and whoever writes to them writes here."""
        x = _draw(self.weight, PROBED_ROWS, self.weight.shape[1])
        parts = self(x).split(self.sizes, dim=-1)
        if not all(_close(ours, layer(x)) for ours, layer in zip(parts, self.layers, strict=True)):
            return False
        for name, whole in (("weight", self.weight), ("bias", self.bias)):
            if whole is not None:
                for layer, part in zip(self.layers, whole.split(self.sizes), strict=True):
                    getattr(layer, name).data = part
                    self.places.append((layer, name, part.data_ptr()))
        first = _First(self)
        vars(self.layers[0])["forward"] = first
        for index, layer in enumerate(self.layers[1:], 1):
            vars(layer)["forward"] = _Later(first, layer, index)
        return True

    @property
    def usable(self) -> bool:
        """Nobody wants gradients, and the layers' weights are still the views that they became."""
        if _off or torch.is_grad_enabled():
            return False
        return all(getattr(layer, name).data_ptr() == place for layer, name, place in self.places)

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class _First:
    """The first of a product's layers: multiplies for all, and holds what the others will be asked for."""

    def __init__(self, product: _Product) -> None:
        self.product = product
        self.held: tuple[Tensor, tuple[Tensor, ...]] | None = None

    def __call__(self, input: Tensor) -> Tensor:
        product = self.product
        if not product.usable:
            return F.linear(input, product.layers[0].weight, product.layers[0].bias)
        parts: tuple[Tensor, ...] = product(input).split(product.sizes, dim=-1)
        self.held = (input, parts)
        return parts[0]


class _Later:
    """Another layer of a product: asked with the very same tensor, it has its part already."""

    def __init__(self, first: _First, layer: nn.Linear, index: int) -> None:
        self.first, self.layer, self.index = first, layer, index

    def __call__(self, input: Tensor) -> Tensor:
        held = self.first.held  # read once: another thread may run the same model
        if held is None or held[0] is not input:
            return F.linear(input, self.layer.weight, self.layer.bias)
        if self.index == len(held[1]) - 1:
            self.first.held = None
        return held[1][self.index]


def _fuse_products(model: nn.Module, by: Any, done: Counter[str]) -> None:
    dtype = next(model.parameters()).dtype
    for module in model.modules():
        for names in PROJECTIONS:
            layers = [getattr(module, name, None) for name in names]
            if all(_can_join(layer, layers[0], dtype) for layer in layers) and _Product(layers).put():  # type: ignore[arg-type]
                done["products"] += 1


def _can_join(layer: Any, first: Any, dtype: torch.dtype) -> bool:
    # A quantised weight, a part of one that is shared out, and an adapter are of kinds of their own.
    if type(layer) is not nn.Linear or type(layer.weight) is not nn.Parameter or not _plain(layer):
        return False
    same = layer.in_features == first.in_features and (layer.bias is None) == (first.bias is None)
    here = layer.weight.device == first.weight.device and not layer.weight.is_meta
    return same and here and layer.weight.dtype == dtype and (layer.bias is None or layer.bias.dtype == dtype)


# Gates.


class _Gated:
    """A feed-forward block down(activation(gate) * up) whose gate and up come out of one product."""

    def __init__(self, module: Any, both: Callable[[Tensor], Tensor], activation: str, by: Any) -> None:
        self.module, self.both, self.activation, self.by = module, both, activation, by
        self.original: Callable[[Tensor], Tensor] = module.forward

    def __call__(self, x: Tensor) -> Tensor:
        changed = isinstance(self.both, _Product) and not self.both.usable
        if _off or changed or torch.is_grad_enabled():
            plain: Tensor = self.original(x)
            return plain
        out: Tensor = self.module.down_proj(self.by.gated(self.both(x), self.activation))
        return out


def _fuse_gates(model: nn.Module, by: Any, done: Counter[str]) -> None:
    dtype = next(model.parameters()).dtype
    for module in model.modules():
        both, width = _both_halves(module, dtype)
        if both is None or len(inspect.signature(module.forward).parameters) != 1:
            continue
        x = _draw(next(module.parameters()), 1, PROBED_ROWS, width)
        for activation in between.ACTIVATIONS:
            block = _Gated(module, both, activation, by)
            if _close(block(x), module(x)):
                vars(module)["forward"] = block
                done["gates"] += 1
                break


def _both_halves(module: Any, dtype: torch.dtype) -> tuple[Callable[[Tensor], Tensor] | None, int]:
    """What gives gate and up of a feed-forward block in one product, and the width of its input."""
    if not isinstance(getattr(module, "down_proj", None), nn.Module) or not _plain(module):
        return None, 0
    joined, gate = getattr(module, "gate_up_proj", None), getattr(module, "gate_proj", None)
    if type(joined) is nn.Linear and type(joined.weight) is nn.Parameter and joined.weight.dtype == dtype:
        return joined, joined.in_features
    first = vars(gate).get("forward") if isinstance(gate, nn.Module) else None
    if isinstance(first, _First) and first.product.layers[-1] is getattr(module, "up_proj", None):
        return first.product, first.product.layers[0].in_features
    return None, 0


# Rotations.


@dataclass(frozen=True, slots=True)
class Waiting:
    """A rotation that has not been done: of `query [heads, rows, head_dim]` and `key`, with what comes after them in
    `hogwild_kernels.between.rotate`."""

    query: Tensor
    key: Tensor
    how: tuple[Any, ...]

    def is_of(self, query: Tensor, key: Tensor) -> bool:
        """Nobody has touched them in between."""
        pairs = ((self.query, query), (self.key, key))
        return all(
            a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride() and a.dtype == b.dtype
            for a, b in pairs
        )


class Keeper(Protocol):
    """Whoever will do a rotation later, with its own work."""

    rotation: Waiting | None


_keeper = ContextVar[Keeper | None]("keeper", default=None)


@contextmanager
def rotations_left_to(keeper: Keeper | None) -> Iterator[None]:
    """In this context, rotations that a kernel can do are not done: the keeper is told, and has to."""
    token = _keeper.set(keeper)
    try:
        yield
    finally:
        _keeper.reset(token)


class _Rotation:
    """Stands for the function of a model's source file that rotates queries and keys. known: how one kernel does it, by
    device, type, head size and width of the tables; whatever else comes is left to the function itself."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self.original = original
        self.known: dict[tuple[str, torch.dtype, int, int], tuple[Any, int, bool, int]] = {}

    def __call__(self, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *args: Any, **kwargs: Any) -> Any:
        how = None if args or kwargs or _off or torch.is_grad_enabled() else self.known.get(self.key(k, cos))
        if how is None or q.dim() != 4 or cos.dim() != 3 or q.dtype != k.dtype or len(q) != 1 or len(cos) != 1:
            return self.original(q, k, cos, sin, *args, **kwargs)
        by, *shape = how
        keeper = _keeper.get()
        if keeper is not None and hasattr(by, "rotate_append"):
            keeper.rotation = Waiting(q[0], k[0], (cos[0], sin[0], *shape))
            return q, k
        turned, keys = by.rotate(q[0], k[0], cos[0], sin[0], *shape)
        return turned[None], keys[None]

    @staticmethod
    def key(k: Tensor, cos: Tensor) -> tuple[str, torch.dtype, int, int]:
        return k.device.type, k.dtype, k.shape[-1], cos.shape[-1]

    def how(self, head_dim: int, cos: Tensor, sin: Tensor, dtype: torch.dtype, by: Any) -> Any:
        """What to know of rotations by these tables `[1, rows, width]`, or None where no kernel does the same."""
        width = cos.shape[-1]
        q, k = (_draw(cos.to(dtype), 1, cos.shape[1], heads, head_dim).transpose(1, 2) for heads in (3, 2))
        theirs = self.original(q, k, cos, sin)
        for size, interleaved, stride in (
            (width, False, 1), (width, True, 1), (width, True, 2), (2 * width, False, 1), (2 * width, True, 1),
        ):  # fmt: skip
            if size <= head_dim:
                ours = by.rotate(q[0], k[0], cos[0], sin[0], size, interleaved, stride)
                if all(_close(mine[None], other) for mine, other in zip(ours, theirs, strict=True)):
                    return self.key(k, cos), (by, size, interleaved, stride)
        return None


def _fuse_rotations(model: nn.Module, by: Any, done: Counter[str]) -> None:
    if not hasattr(model, "config"):
        return
    config: Any = model.config.get_text_config(decoder=True)  # type: ignore[operator, union-attr]
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    dtype = next(model.parameters()).dtype
    for source in {
        type(module).__module__: sys.modules[type(module).__module__] for module in model.modules()
    }.values():
        original = getattr(source, "apply_rotary_pos_emb", None)
        if callable(original):
            rotation = original if isinstance(original, _Rotation) else _Rotation(original)
            found = [rotation.how(head_dim, cos, sin, dtype, by) for cos, sin in _tables(model, config)]
            if found and None not in found:
                rotation.known.update(found)
                source.apply_rotary_pos_emb = rotation  # type: ignore[attr-defined]
                done["rotations"] += 1


def _tables(model: nn.Module, config: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Cosines and sines `[1, rows, width]` as the model makes them, of a few positions."""
    like = next(model.parameters())
    positions = torch.tensor([[0, 1, 7, 1000]], device=like.device)
    x = like.new_zeros(1, positions.shape[1], 1)
    for module in model.modules():
        if "RotaryEmbedding" in type(module).__name__:
            types: list[tuple[str, ...]] = [()]
            if "layer_type" in inspect.signature(module.forward).parameters:
                types = [(kind,) for kind in dict.fromkeys(config.layer_types)]
            for kind in types:
                yield module(x, positions, *kind)


# Layers.


class _Layer:
    """A decoder layer x + attention(norm(x)), then x + feed-forward(norm(x)), whose sums and norms are one kernel each.
    following: the norm that the next layer begins with; it is made here, with the sum that ends this one."""

    def __init__(self, layer: Any, middle: _Norm, following: _Norm | None, by: Any) -> None:
        self.layer, self.middle, self.following, self.by = layer, middle, following, by
        self.original: Callable[..., Any] = layer.forward

    def __call__(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        layer, middle, following = self.layer, self.middle, self.following
        if args or _off or layer.training or torch.is_grad_enabled():
            return self.original(hidden_states, *args, **kwargs)
        attended = layer.self_attn(hidden_states=layer.input_layernorm(hidden_states), **kwargs)[0]
        x, normed = self.by.add_rms_norm(hidden_states, attended, middle.module.weight, middle.eps, middle.offset)
        fed = layer.mlp(normed)
        fed = fed[0] if isinstance(fed, tuple) else fed
        if following is None:
            return x + fed
        out, ahead = self.by.add_rms_norm(x, fed, following.module.weight, following.eps, following.offset)
        following.ahead = (out, ahead)
        return out

    def put(self) -> bool:
        """Take the layer's place, if both give the same around an attention that is put in for the trial."""
        attention, x = vars(self.layer.self_attn), _draw(self.middle.module.weight, 1, PROBED_ROWS, self._width)

        def mixed(hidden_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
            return 0.7 * hidden_states.roll(1, -1), None

        attention["forward"] = mixed
        try:
            ours, theirs = self(x), self.original(x)
        finally:
            del attention["forward"]
        same = isinstance(theirs, Tensor) and _close(ours, theirs)
        if self.following is not None and self.following.ahead is not None:
            out, ahead = self.following.ahead
            self.following.ahead = None
            same = same and out is ours and _close(ahead, self.following.original(out))
        if same:
            vars(self.layer)["forward"] = self
        return same

    @property
    def _width(self) -> int:
        return len(self.middle.module.weight)


def _fuse_layers(model: nn.Module, by: Any, done: Counter[str]) -> None:
    for module in model.modules():
        layers = getattr(module, "layers", None)
        if not isinstance(layers, nn.ModuleList):
            continue
        begins = [_fused_norm(layer, "input_layernorm") for layer in layers] + [_fused_norm(module, "norm")]
        for layer, begin, following in zip(layers, begins, begins[1:], strict=False):
            middle, attention = _fused_norm(layer, "post_attention_layernorm"), getattr(layer, "self_attn", None)
            apart = isinstance(attention, nn.Module) and _plain(attention) and hasattr(layer, "mlp") and _plain(layer)
            if begin is not None and middle is not None and apart and not layer.training:
                done["layers"] += _Layer(layer, middle, following, by).put()


def _fused_norm(module: nn.Module, name: str) -> _Norm | None:
    norm = vars(getattr(module, name, None) or nn.Identity()).get("forward")
    return norm if isinstance(norm, _Norm) else None
