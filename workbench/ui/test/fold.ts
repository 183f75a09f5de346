/** Folds what Python sends, a line of events at a time, and tells what a page would show; for tests/workbench/test_front_end.py. */

import { createInterface } from "node:readline";
import { isShown } from "../src/core/lane.ts";
import { callLabel, callOutcome, foldAll } from "../src/core/state.ts";
import { visible } from "../src/core/visible.ts";

createInterface({ input: process.stdin }).on("line", (line) => {
  const state = foldAll(JSON.parse(line));
  const lanes = state.lanes.map((lane) => {
    const spans: string[][] = [];
    for (const span of lane.spans.filter(isShown)) {
      const last = spans.at(-1);
      const text = span.kind === "call" ? span.call : visible(span.text);
      if (span.kind === "text" && last?.[0] === "text") last[1] += text;
      else spans.push([span.kind, text]);
    }
    return { worker: lane.worker, state: lane.state, tokens: lane.tokens, spans };
  });
  const calls = state.calls.map((call) => [call.call, call.worker, call.state, callLabel(call), callOutcome(call)].map(visible));
  const blocks = state.blocks.map(({ block, length, state: how }) => [block, length, how]);
  console.log(JSON.stringify({ status: state.status, tokens: state.tokens, cached: state.cached, lanes, calls, blocks }));
});

