/** The view core on its own: folding, hiding raw calls, the time machine, the cache map, the graph of calls. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunEvent } from "../src/core/events.ts";
import { History } from "../src/core/history.ts";
import { viewsOf } from "../src/core/layout.ts";
import { breakpointText, fold, foldAll, newState, samplingWords, tokensPerSecond } from "../src/core/state.ts";
import { oneLine, visible } from "../src/core/visible.ts";
import { place } from "../src/panel/dag.ts";
import { SocketTransport } from "../src/transport/socket.ts";

class Story {
  readonly events: RunEvent[] = [];
  step = 0;

  add(kind: string, fields: object): this {
    const seq = this.events.length + 1;
    this.events.push({ run_id: "r", seq, time: 100 + seq / 10, kind, ...fields });
    return this;
  }

  begin(workers: string[], layout = "contiguous"): this {
    this.add("run_started", { task: "a task", items: [], model: "embedded", layout, workers, settings: {}, tools: [] });
    this.add("block_opened", { block: 1, role: "prompt", worker: null, text: "", tokens: [1, 2, 3] });
    workers.forEach((worker, at) => {
      this.add("worker_added", { worker, sampling: {}, budget: 50 });
      this.add("block_opened", { block: 10 + at, role: "worker", worker, text: "", tokens: [] });
    });
    return this;
  }

  tokens(texts: { [worker: string]: string }, attention?: object): this {
    this.step += 1;
    const workers = ["Alice", "Bob"];
    const tokens = Object.entries(texts).map(([worker, text]) => ({ worker, block: 10 + workers.indexOf(worker), ids: [1], text }));
    return this.add("tokens_added", { step: this.step, tokens, attention });
  }
}

test("an event that comes twice changes nothing, and a kind that nobody knows is passed over", () => {
  const story = new Story().begin(["Alice"]).tokens({ Alice: "one" }).add("from_the_future", { what: 1 });
  const state = foldAll(story.events);
  const before = JSON.stringify(state);
  for (const event of story.events) fold(state, event);
  assert.equal(JSON.stringify(state), before);
  assert.equal(state.seq, story.events.length);
});

test("a log that just stops leaves nothing that seems to go on", () => {
  const history = new History("r");
  const story = new Story().begin(["Alice", "Bob"]).tokens({ Alice: "<tool_call>{\"name\": \"gcd\"", Bob: "one" });
  story.add("call_planned", { call: "c1", worker: "Bob", tool: "gcd", arguments: {}, raw: "" });
  history.add(story.events);
  history.interrupted();
  assert.equal(history.live.status, "interrupted");
  assert.deepEqual(history.live.lanes.map((lane) => lane.state), ["interrupted", "interrupted"]);
  assert.equal(history.live.calls[0].state, "interrupted");
});

test("a run that was interrupted and goes on is as if it had never stopped", () => {
  const story = new Story().begin(["Alice"]).tokens({ Alice: "<tool_call>{" });
  story.add("call_planned", { call: "c1", worker: "Alice", tool: "gcd", arguments: {}, raw: "" });
  const history = new History("r");
  history.add(story.events);
  history.interrupted();
  story.add("run_resumed", {}).tokens({ Alice: "more" });
  history.add(story.events);
  assert.deepEqual(history.live, foldAll(story.events));
  assert.equal(history.moments, 2);
});

test("a stream that ended with an interruption begins again when somebody goes on with the run", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  Object.assign(globalThis, { window: globalThis, document: { hidden: false } });
  const opened: { path: string; close: () => void; onmessage?: (message: { data: string }) => void }[] = [];
  let live = false;
  const transport = new SocketTransport({
    open: (path) => opened[opened.push({ path, close: () => undefined }) - 1] as unknown as WebSocket,
    get: async () => ({ live, last_seq: 7, events: [] }),
  });
  const kinds: string[] = [];
  transport.start({ runId: "r", seq: () => 7, events: () => true, snapshot: () => true, connection: ({ kind }) => kinds.push(kind) });
  opened[0].onmessage!({ data: JSON.stringify({ frame: "end", last_seq: 7, status: "interrupted" }) });
  for (const goesOn of [false, true]) {
    live = goesOn;
    context.mock.timers.tick(3000);
    await new Promise((done) => setImmediate(done));
    assert.equal(opened.length, goesOn ? 2 : 1);
  }
  assert.deepEqual(kinds, ["ended"]);
  transport.close();
});

test("a state that travelled as JSON is gone on with as if it had not", () => {
  const story = new Story().begin(["Alice", "Bob"]);
  for (const piece of ["I take ", "1.\n<tool", "_call>{\"name\": \"gcd\"", "}</tool_", "call>\nDone."]) story.tokens({ Alice: piece, Bob: "x" });
  const whole = foldAll(story.events);
  for (let cut = 1; cut < story.events.length; cut++) {
    const half = JSON.parse(JSON.stringify(foldAll(story.events.slice(0, cut))));
    assert.deepEqual(foldAll(story.events.slice(cut), half), whole);
  }
});

test("what is wrong with an answer is told as an error is", () => {
  const story = new Story().begin(["Alice"]).tokens({ Alice: "yes" });
  story.add("run_finished", { status: "unanswered", answer: "yes", error: null, misfit: "The answer must be a number." });
  assert.equal(foldAll(story.events).error, "The answer must be a number.");
});

test("the raw text of a call is hidden behind the call", () => {
  const raw = '{"name": "gcd", "arguments": {"a": 4}}';
  const story = new Story().begin(["Alice"]);
  for (const piece of `I take 1.\n<tool_call>${raw}</tool_call>`.match(/.{1,5}/gs)!) story.tokens({ Alice: piece });
  story.add("call_planned", { call: "c1", worker: "Alice", tool: "gcd", arguments: { a: 4 }, raw });
  story.tokens({ Alice: "So 4." });
  const { spans } = foldAll(story.events).lanes[0];
  assert.deepEqual(spans.map(({ kind, call }) => [kind, call]), [["text", ""], ["call", "c1"], ["text", ""]]);
  assert.equal(spans[0].text + spans[2].text, "I take 1.\nSo 4.");
});

test("a call that its worker's end cuts short is not one that could not be read", () => {
  const story = new Story().begin(["Alice", "Bob"]).tokens({ Alice: '<tool_call>{"name": "gcd", ', Bob: "<tool_call>{broken</tool_call>" });
  for (const worker of ["Alice", "Bob"]) story.add("worker_state_changed", { worker, state: "stopped" });
  const [alice, bob] = foldAll(story.events).lanes.map((lane) => lane.spans[0]);
  assert.deepEqual([alice.cut_short, bob.cut_short, bob.unread], [true, false, true]);
});

test("long text is kept in pieces that together are the text", () => {
  const story = new Story().begin(["Alice"]);
  const line = "a line of text that is not short at all, with words\n";
  for (let at = 0; at < 400; at++) story.tokens({ Alice: line });
  const { spans } = foldAll(story.events).lanes[0];
  assert.ok(spans.length > 5);
  assert.ok(spans.every((span) => span.text.length < 5000));
  assert.equal(spans.map((span) => span.text).join(""), line.repeat(400));
});

test("a gap is noticed and nothing after it is taken", () => {
  const story = new Story().begin(["Alice"]).tokens({ Alice: "one" }).tokens({ Alice: "two" });
  const history = new History("r");
  assert.equal(history.add(story.events.slice(0, 4)), true);
  assert.equal(history.add(story.events.slice(5)), false);
  assert.equal(history.live.seq, 4);
  assert.equal(history.add(story.events), true);
  assert.equal(history.live.seq, story.events.length);
});

test("the time machine shows every step as it was, forwards and back", () => {
  const story = new Story().begin(["Alice", "Bob"]);
  for (let at = 0; at < 30; at++) story.tokens({ Alice: `${at} `, ...(at % 2 ? { Bob: "b" } : {}) });
  const history = new History("r");
  history.add(story.events);
  assert.equal(history.moments, 30);
  for (const moment of [0, 7, 8, 30, 3, 29]) {
    const until = story.events.findIndex((event) => event.step === moment) + 1;
    const expected = moment ? foldAll(story.events.slice(0, until)) : foldAll(story.events.slice(0, 6));
    assert.deepEqual(history.at(moment), expected);
    assert.equal(history.stepAt(moment), moment);
  }
  assert.equal(history.momentOf(12), 12);
  assert.equal(history.stepOfSeq(story.events.find((event) => event.step === 9)!.seq), 9);
});

test("in every layout a view ends with the worker's own block, and independent workers see nobody else", () => {
  const ids = (layout: string): number[][] => {
    const story = new Story().begin(["Alice", "Bob"], layout).tokens({ Alice: "a", Bob: "b" });
    story.add("block_frozen", { block: 10, length: 1 }).add("block_opened", { block: 12, role: "worker", worker: "Alice", tokens: [1] });
    return viewsOf(foldAll(story.events)).map(({ blocks }) => blocks.map(({ block }) => block));
  };
  assert.deepEqual(ids("contiguous"), [[1, 11, 10, 12], [1, 10, 12, 11]]);
  assert.deepEqual(ids("interleaved"), [[1, 10, 12], [1, 10, 11]]);
  assert.deepEqual(ids("combined"), [[1, 10, 11, 12], [1, 10, 12, 11]]);
  assert.deepEqual(ids("independent"), [[1, 10, 12], [1, 11]]);
});

test("the cache counts each token once, and what was merged or pruned no more", () => {
  const story = new Story().begin(["Alice", "Bob"]).tokens({ Alice: "a", Bob: "b" });
  story.add("blocks_merged", { block: 20, length: 2, merged: [10, 11] });
  assert.equal(foldAll(story.events).cached, 5);
  story.add("block_pruned", { block: 20 });
  assert.equal(foldAll(story.events).cached, 3);
});

test("attention is summed by the worker whose blocks are read", () => {
  const story = new Story().begin(["Alice", "Bob"]);
  story.tokens({ Alice: "a", Bob: "b" }, { Alice: { "1": 0.5, "10": 0.2, "11": 0.3 } });
  story.tokens({ Alice: "a" }, { Alice: { "1": 1 } });
  const { attention } = foldAll(story.events).lanes[0];
  assert.deepEqual(attention, { steps: [1, 2], shares: { prompt: [0.5, 1], Alice: [0.2, 0], Bob: [0.3, 0] } });
});

test("a person's line waits, is edited, is said", () => {
  const story = new Story().begin(["Alice"]);
  story.add("say_queued", { line: "l1", worker: null, text: "hi", when: "queued" });
  story.add("say_queued", { line: "l1", worker: null, text: "hello", when: "queued" });
  assert.deepEqual(foldAll(story.events).lines.map(({ text, state }) => [text, state]), [["hello", "queued"]]);
  story.add("text_injected", { worker: "Alice", block: 10, text: "hello", ids: [1], source: "person", line: "l1" });
  assert.equal(foldAll(story.events).lines[0].state, "said");
});

test("what is set for a worker stands in its lane", () => {
  const story = new Story().begin(["Alice"]);
  const sampling = { temperature: 0.7, top_k: 0, top_p: 1, min_p: 0, repetition_penalty: 1.1, seed: 3 };
  story.add("worker_added", { worker: "Bob", sampling, tools: ["add"], instruction: "Check." });
  const [alice, bob] = foldAll(story.events).lanes;
  assert.deepEqual([alice.tools, alice.instruction, samplingWords(alice.sampling)], [null, "", []]);
  assert.deepEqual([bob.tools, bob.instruction], [["add"], "Check."]);
  assert.deepEqual(samplingWords(bob.sampling), ["temperature 0.7", "repetition penalty 1.1"]);
});

test("a breakpoint is set, hit, gone on from and removed", () => {
  const story = new Story().begin(["Alice"]);
  story.add("steered", { command: "break_at", arguments: { breakpoint: "b1", tool: "gcd", worker: "Alice" } });
  story.add("breakpoint_hit", { breakpoint: "b1", step: 3, why: "Alice calls gcd", worker: "Alice" });
  story.add("steered", { command: "pause", arguments: { breakpoint: "b1" }, by: "breakpoint" });
  const paused = foldAll(story.events);
  assert.deepEqual([paused.paused, paused.hit], [true, { breakpoint: "b1", why: "Alice calls gcd" }]);
  assert.deepEqual(paused.breakpoints.map((one) => [breakpointText(one), one.hits]), [["before gcd of Alice", 1]]);
  story.add("steered", { command: "step", arguments: {} });
  story.add("steered", { command: "remove_breakpoint", arguments: { breakpoint: "b1" } });
  const after = foldAll(story.events);
  assert.deepEqual([after.paused, after.hit, after.breakpoints], [true, null, []]);
});

test("a call stands right of what it needs, and a worker's next plan right of its last", () => {
  const story = new Story().begin(["Alice", "Bob"]);
  const call = (id: string, worker: string, plan: string, needs: string[]): void => {
    story.add("call_planned", { call: id, worker, tool: "add", arguments: {}, raw: "", plan, needs });
  };
  call("c1", "Alice", "p1", []);
  call("c2", "Alice", "p1", []);
  call("c3", "Alice", "p1", ["c1", "c2"]);
  call("c4", "Bob", "p1", []);
  call("c5", "Alice", "p2", []);
  const { calls } = foldAll(story.events);
  const at = Object.fromEntries(place(calls, ["Alice", "Bob"]).map(({ call: one, column, row }) => [one.call, [column, row]]));
  assert.deepEqual(at, { c1: [0, 0], c2: [0, 1], c3: [1, 0], c4: [0, 2], c5: [2, 0] });
});

test("a call that a person has changed is shown as it runs, with what was asked for", () => {
  const story = new Story().begin(["Alice"]).tokens({ Alice: "x" });
  const planned = { worker: "Alice", tool: "gcd", raw: "" };
  story.add("call_planned", { call: "c1", ...planned, arguments: { a: 1, b: 2 } });
  story.add("call_planned", { call: "c2", ...planned, arguments: { a: "$1", b: 126 }, needs: ["c1"] });
  story.add("approval_asked", { call: "c2", arguments: { a: 84, b: 126 } });
  const asked = foldAll(story.events).calls[1];
  assert.deepEqual([asked.state, asked.arguments, asked.edited_by], ["asked", { a: 84, b: 126 }, ""]);
  story.add("approval_given", { call: "c2", approved: true, by: "Ann", arguments: { a: 84, b: "$3" }, needs: ["c3"] });
  const edited = foldAll(story.events);
  assert.deepEqual(edited.calls[1].arguments, { a: 84, b: "$3" });
  assert.deepEqual([edited.calls[1].asked, edited.calls[1].edited_by], [{ a: 84, b: 126 }, "Ann"]);
  assert.deepEqual(edited.calls[1].needs, ["c1", "c3"]);
  assert.equal(edited.marks.at(-1)?.text, 'gcd(a=84, b="$3")');
  story.add("call_started", { call: "c2", attempt: 1, arguments: { a: 84, b: 7 } });
  assert.deepEqual(foldAll(story.events).calls[1].arguments, { a: 84, b: 7 });
});

test("speed is that of the last steps", () => {
  const story = new Story().begin(["Alice"]);
  for (let at = 0; at < 100; at++) story.tokens({ Alice: "a" });
  assert.equal(Math.round(tokensPerSecond(foldAll(story.events))), 10);
  assert.equal(tokensPerSecond(newState()), 0);
});

test("controls, changes of writing direction and halves of characters become signs", () => {
  assert.equal(visible("a\x1b[31m\u202eb\ud800c\r\nd\te😀"), "a␛[31m�b�c\nd\te😀");
  assert.equal(oneLine(" a\n b ".repeat(3), 5), "a b …");
});
