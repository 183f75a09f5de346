"""Which problems first: greedily the one farthest from all that were chosen (Gonzalez 1985; CRAFT, section 2.1).

In: vectors of length 1, [N, dimensions]. Out: indices in the order of choice. Pure. Neighbours: `build` embeds the
problems and chooses with it.

>>> import numpy as np
>>> farthest_first(np.array([[1.0, 0.0], [0.99, 0.14], [0.0, 1.0]], np.float32), 2)
[0, 2]
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def farthest_first(vectors: npt.NDArray[np.float32], count: int) -> list[int]:
    """At most `count` indices; the first is the most typical one, nearest to the mean. O(N x count)."""
    if not len(vectors) or count <= 0:
        return []
    chosen = [int(np.argmax(vectors @ vectors.mean(axis=0)))]
    nearest = vectors @ vectors[chosen[0]]
    while len(chosen) < min(count, len(vectors)):
        nearest[chosen[-1]] = np.inf
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    return chosen
