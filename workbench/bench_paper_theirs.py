"""The paper's own code, one step at a time, for `bench_papers`; run by another Python, so it imports nothing of ours.

In: the folder of the code (github.com/eqimp/hogwild_llm, `main`), a saved model, tokens of shared context, workers,
tokens of each worker's own, and on the standard input a line for every step. Out: JSON lines: the logits
`[workers, vocab]` of the first step as a file's name, then the seconds of each step. That Python needs what the code's
`requirements.txt` asks for.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main(code: str, folder: str, context: int, workers: int, own: int, threads: int) -> None:
    os.environ |= {"HOGWILD_USE_TRITON": "0", "HOGWILD_NO_COMPILE": "1"}  # without compiling it is faster on a CPU
    sys.path.insert(0, code)
    import torch
    from shared_cache import CacheBlock, SharedCacheManager  # type: ignore[import-not-found]
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
    vocab = model.config.vocab_size
    prompt, *blocks = (CacheBlock(config=model.config) for _ in range(workers + 1))
    manager = SharedCacheManager([[prompt, *(b for b in blocks if b is not mine), mine] for mine in blocks])

    def step(tokens: list[int]) -> torch.Tensor:
        given = manager.get_input_kwargs(input_ids=torch.tensor([tokens] * workers))
        logits: torch.Tensor = model(**given, logits_to_keep=1).logits
        return logits[:, -1]

    with torch.inference_mode():
        for at in range(0, context, 2048):
            chunk = [(31 * i) % vocab for i in range(at, min(context, at + 2048))]
            places = torch.arange(at, at + len(chunk))
            model(input_ids=torch.tensor([chunk]), past_key_values=prompt, cache_position=places, logits_to_keep=1)
        step([(97 * i) % vocab for i in range(own)])
        torch.save(step([5]), os.path.join(folder, "theirs.pt"))
        print(json.dumps({"logits": os.path.join(folder, "theirs.pt")}), flush=True)
        for _ in sys.stdin:
            began = time.perf_counter()
            step([5])
            print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
