/**
 * The cache map: which blocks stand in whose view, in which order.
 *
 * In: the blocks of a run and the name of its layout. Out: for every worker its blocks, the last of them its own.
 * The rules are those of `hogwild/layouts.py` (Hogwild! Inference, arXiv 2504.06261, section 3.2 and figure 2).
 */

import type { Block, RunState } from "./state.ts";

export interface View {
  worker: string;
  blocks: Block[];
}

const SHARED_WHILE_OPEN = new Set(["contiguous", "combined"]);
const CLOSES_STEPS = new Set(["interleaved", "combined"]);

export function viewsOf(state: RunState): View[] {
  const there = state.blocks.filter((block) => block.state !== "pruned" && block.state !== "merged" && block.length > 0);
  const closes = CLOSES_STEPS.has(state.layout);
  const shared = state.layout === "" || SHARED_WHILE_OPEN.has(state.layout);
  const isHistory = (block: Block): boolean =>
    block.role === "history" || (closes && block.worker !== null && block.state === "frozen");
  const prompt = there.filter((block) => block.role === "prompt" && block.worker === null);
  const history = there.filter(isHistory).sort((a, b) => a.frozen_as - b.frozen_as);
  const separator = there.filter((block) => block.role === "separator");
  const open = (worker: string): Block[] => there.filter((block) => block.worker === worker && !isHistory(block));
  return state.lanes.map(({ worker }) => {
    const others = shared ? state.lanes.filter((lane) => lane.worker !== worker).flatMap((lane) => open(lane.worker)) : [];
    return { worker, blocks: [...prompt, ...history, ...others, ...separator, ...open(worker)] };
  });
}

/** For every block, who reads it. */
export function readersOf(views: View[]): Map<number, string[]> {
  const readers = new Map<number, string[]>();
  for (const view of views) {
    for (const block of view.blocks) {
      const known = readers.get(block.block);
      if (known) known.push(view.worker);
      else readers.set(block.block, [view.worker]);
    }
  }
  return readers;
}
