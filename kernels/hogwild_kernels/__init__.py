"""Attention over shared blocks of keys and values: queries are turned, keys never move.

Above: `hogwild` (its runner calls `attend` once per layer). Below: torch. The plain-torch functions here are the
definition; a faster kernel has to equal them.
"""

from hogwild_kernels.attention import AttentionPlan, attend, first_seen, plan_attention
from hogwild_kernels.rotary import Rotary, turn

__all__ = ["AttentionPlan", "Rotary", "attend", "first_seen", "plan_attention", "turn"]
