/**
 * A run as a person sees it: `fold` takes in one event after another.
 *
 * In: the events of the run log, in their order. Out: a `RunState`, plain JSON, so that a snapshot of it can travel and
 * be gone on with. Pure: no clock, no page. An event costs what it holds, never what the run has become.
 * Neighbours: `lane` keeps the streams; `layout` says whose view holds which block; `history` keeps the events.
 */

import type { Fields, Item, Metrics, RunEvent, WorkerTokens } from "./events.ts";
import * as lanes from "./lane.ts";
import type { Lane } from "./lane.ts";

export const STATE_VERSION = 1;
/** While a run goes on, its speed is that of its last steps. */
const RATE_STEPS = 32;
const REAL_ENDS = new Set(["finished", "stopped", "out_of_budget"]);

export interface Call {
  call: string;
  worker: string;
  tool: string;
  label: string;
  plan: string;
  needs: string[];
  effect: string;
  arguments: Fields;
  /** What a person was asked about, and who has changed it; `arguments` are then theirs. */
  asked: Fields | null;
  edited_by: string;
  /** Why it waits on, though a person has given it other arguments. */
  problem: string;
  raw: string;
  /** planned, asked (waits for a person), running, then how it ended: succeeded, failed, timed_out, ... */
  state: string;
  text: string;
  error: string;
  isolation: string;
  attempts: number;
  wall_s: number;
  trusted: boolean;
  cut: boolean;
  progress: string;
  planned_step: number;
  planned_at: number;
  started_at: number | null;
  finished_step: number | null;
}

export interface Block {
  block: number;
  /** prompt, worker, separator, or history for what was merged. */
  role: string;
  worker: string | null;
  length: number;
  /** open, frozen, pruned, merged (into another). */
  state: string;
  /** In which order blocks were frozen: finished steps stand in the history in this order. 0: not frozen. */
  frozen_as: number;
}

/** A person's line that waits to be put into a worker's block. */
export interface Line {
  line: string;
  worker: string | null;
  text: string;
  when: string;
  state: "queued" | "said" | "taken_back";
}

/** How a worker samples, in words; empty where it simply takes the likeliest token. */
export function samplingWords(sampling: Fields): string[] {
  const usual: { [name: string]: number } = { temperature: 0, top_k: 0, top_p: 1, min_p: 0, repetition_penalty: 1 };
  const other = Object.keys(usual).filter((name) => typeof sampling[name] === "number" && sampling[name] !== usual[name]);
  return other.map((name) => `${name.replaceAll("_", " ")} ${sampling[name]}`);
}

/** Where a person wants the run to pause by itself; the fields are those of the command `break_at`. */
export interface Breakpoint {
  breakpoint: string;
  tool?: string;
  step?: number;
  text?: string;
  pattern?: string;
  flags?: string;
  ended?: boolean;
  when?: string;
  worker?: string;
  hits: number;
}

/** Something worth a mark on the timeline. */
export interface Mark {
  kind: string;
  worker: string;
  text: string;
  step: number;
  time: number;
}

export interface ShownRow {
  library: string;
  row: string;
  name: string;
  version: number;
  why: Fields;
}

export interface RunState {
  version: number;
  run_id: string;
  seq: number;
  /** running, interrupted, or how it ended: solved, unanswered, stopped, failed. */
  status: string;
  paused: boolean;
  task: string;
  items: Item[];
  model: string;
  model_fingerprint: string;
  layout: string;
  seed: number;
  settings: Fields;
  tools: string[];
  parent: { run_id: string; seq: number } | null;
  children: { run_id: string; seq: number }[];
  answer: string;
  error: string;
  metrics: Metrics | null;
  started_at: number | null;
  last_at: number | null;
  step: number;
  steps: number;
  tokens: number;
  cached: number;
  recent: [number, number][];
  lanes: Lane[];
  calls: Call[];
  blocks: Block[];
  frozen: number;
  lines: Line[];
  breakpoints: Breakpoint[];
  /** The breakpoint that the run is paused at, and why. */
  hit: { breakpoint: string; why: string } | null;
  marks: Mark[];
  shown: ShownRow[];
}

export function newState(runId = ""): RunState {
  return {
    version: STATE_VERSION,
    run_id: runId,
    seq: 0,
    status: "running",
    paused: false,
    task: "",
    items: [],
    model: "",
    model_fingerprint: "",
    layout: "",
    seed: 0,
    settings: {},
    tools: [],
    parent: null,
    children: [],
    answer: "",
    error: "",
    metrics: null,
    started_at: null,
    last_at: null,
    step: 0,
    steps: 0,
    tokens: 0,
    cached: 0,
    recent: [],
    lanes: [],
    calls: [],
    blocks: [],
    frozen: 0,
    lines: [],
    breakpoints: [],
    hit: null,
    marks: [],
    shown: [],
  };
}

type Folder = (state: RunState, event: RunEvent) => void;

const FOLDERS: { [kind: string]: Folder } = {
  run_started: runStarted,
  worker_added: workerAdded,
  block_opened: blockOpened,
  block_frozen: blockFrozen,
  block_pruned: (state, event) => drop(state, blockOf(state, event.block), "pruned"),
  blocks_merged: blocksMerged,
  tokens_added: tokensAdded,
  text_injected: textInjected,
  call_planned: callPlanned,
  call_started: callStarted,
  call_progress: callProgress,
  call_finished: callFinished,
  plan_problem: (state, event) => mark(state, "problem", event.worker, event.message),
  approval_asked: (state, event) => {
    const call = callOf(state, event);
    call.state = "asked";
    call.arguments = event.arguments ?? call.arguments; // as the tool will get them
    call.problem = event.problem ?? "";
    mark(state, "asked", call.worker, callLabel(call));
  },
  approval_given: approvalGiven,
  library_shown: (state, event) => {
    for (const row of event.rows ?? []) state.shown.push({ ...row, library: event.library });
  },
  steered: steered,
  breakpoint_hit: (state, event) => {
    const known = state.breakpoints.find((one) => one.breakpoint === event.breakpoint);
    if (known) known.hits += 1;
    state.hit ??= { breakpoint: event.breakpoint, why: event.why ?? "" };
    mark(state, "breakpoint", event.worker ?? "", [event.breakpoint, event.why ?? ""].join(": "));
  },
  say_queued: sayQueued,
  sampling_changed: (state, event) => {
    laneOf(state, event.worker).sampling = event.sampling ?? {};
    mark(state, "sampling", event.worker, samplingText(event.sampling ?? {}));
  },
  worker_state_changed: workerStateChanged,
  run_forked: (state, event) => {
    state.children.push({ run_id: event.child, seq: event.at });
    mark(state, "forked", "", event.child);
  },
  run_resumed: (state) => {
    state.status = "running";
    mark(state, "resumed", "", "");
  },
  run_finished: runFinished,
};

/** Take in the next event. An event that was taken in already changes nothing. */
export function fold(state: RunState, event: RunEvent): void {
  if (event.seq <= state.seq) return;
  state.run_id = event.run_id || state.run_id;
  state.seq = event.seq;
  state.last_at = event.time;
  state.started_at ??= event.time;
  FOLDERS[event.kind]?.(state, event);
}

export function foldAll(events: Iterable<RunEvent>, state: RunState = newState()): RunState {
  for (const event of events) fold(state, event);
  return state;
}

export function laneOf(state: RunState, worker: string): Lane {
  let lane = state.lanes.find((one) => one.worker === worker);
  if (!lane) {
    lane = lanes.newLane(worker);
    lane.stretches.push({ state: "decoding", step: state.step, time: state.last_at ?? 0 });
    state.lanes.push(lane);
  }
  return lane;
}

/** `gcd(a=48, b=36)`: the call as one would write it, or its text if that could not be read. */
export function callLabel(call: Call): string {
  if (call.tool === "?") return lanes.withoutCallTags(call.raw) || "?";
  const given = Object.entries(call.arguments).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return `${call.tool}(${given.join(", ")})`;
}

export function callOutcome(call: Call): string {
  return call.state === "succeeded" ? call.text : call.error || call.text;
}

/** A breakpoint's condition in words. */
export function breakpointText(one: Breakpoint): string {
  const of = one.worker ? ` of ${one.worker}` : "";
  if (one.tool !== undefined) return `before ${one.tool === "*" ? "any call" : one.tool}${of}`;
  if (one.step !== undefined) return `after step ${one.step}`;
  if (one.pattern !== undefined) return `at /${one.pattern}/${one.flags ?? ""}${of}`;
  if (one.text !== undefined) return `at "${one.text}"${of}`;
  if (one.when !== undefined) return `when ${one.when}`;
  return `when ${one.worker ?? "a worker"} has ended`;
}

const ENDED: ReadonlySet<string> = new Set(["finished", "stopped", "out_of_budget", "failed"]);

export function isOver(call: Call): boolean {
  return call.state !== "planned" && call.state !== "asked" && call.state !== "running";
}

/** The run's process is gone: what was going on in it has stopped, too. */
export function interrupt(state: RunState): void {
  state.status = "interrupted";
  for (const lane of state.lanes) {
    lanes.settle(lane);
    if (!ENDED.has(lane.state)) lane.state = "interrupted";
  }
  for (const call of state.calls) if (!isOver(call)) call.state = "interrupted";
}

/** Sampled tokens of all workers per second: of the last steps, or of the whole run once it has ended. */
export function tokensPerSecond(state: RunState): number {
  if (state.metrics) return state.metrics.tokens_per_s;
  const first = state.recent[0];
  const last = state.recent.at(-1);
  return first && last && last[0] > first[0] ? (last[1] - first[1]) / (last[0] - first[0]) : 0;
}

export function wallSeconds(state: RunState): number {
  return state.metrics ? state.metrics.wall_s : (state.last_at ?? 0) - (state.started_at ?? 0);
}

/** Whose words a block holds: a worker's name, "prompt", or "history" for what was merged. */
export function ownerOf(block: Block | undefined): string {
  if (!block) return "history";
  return block.worker ?? (block.role === "prompt" || block.role === "separator" ? "prompt" : "history");
}

function runStarted(state: RunState, event: RunEvent): void {
  state.task = event.task ?? "";
  state.items = event.items ?? [];
  state.model = event.model ?? "";
  state.model_fingerprint = event.model_fingerprint ?? "";
  state.layout = event.layout ?? "";
  state.seed = event.seed ?? 0;
  state.settings = event.settings ?? {};
  state.tools = event.tools ?? [];
  state.parent = event.parent ?? null;
  for (const worker of event.workers ?? []) laneOf(state, worker);
}

function workerAdded(state: RunState, event: RunEvent): void {
  const joinedLate = !state.lanes.some((lane) => lane.worker === event.worker);
  const lane = laneOf(state, event.worker);
  lane.budget = event.budget ?? null;
  lane.sampling = event.sampling ?? {};
  lane.tools = event.tools ?? null;
  lane.instruction = event.instruction ?? "";
  if (joinedLate) mark(state, "joined", event.worker, "");
}

function blockOf(state: RunState, id: number): Block {
  let block = state.blocks.findLast((one) => one.block === id);
  if (!block) {
    block = { block: id, role: "worker", worker: null, length: 0, state: "open", frozen_as: 0 };
    state.blocks.push(block);
  }
  return block;
}

function blockOpened(state: RunState, event: RunEvent): void {
  const block = blockOf(state, event.block);
  block.role = event.role;
  block.worker = event.worker ?? null;
  setLength(state, block, event.tokens?.length ?? 0);
}

function blockFrozen(state: RunState, event: RunEvent): void {
  const block = blockOf(state, event.block);
  block.state = "frozen";
  block.frozen_as = ++state.frozen;
  setLength(state, block, event.length);
}

function blocksMerged(state: RunState, event: RunEvent): void {
  const old = (event.merged as number[]).map((id) => blockOf(state, id));
  const block = blockOf(state, event.block);
  block.role = old.every((one) => one.role === "prompt") ? "prompt" : "history";
  block.state = "frozen";
  block.frozen_as = Math.min(...old.map((one) => one.frozen_as || Infinity), ++state.frozen);
  for (const one of old) drop(state, one, "merged");
  setLength(state, block, event.length);
}

function isGone(block: Block): boolean {
  return block.state === "pruned" || block.state === "merged";
}

function drop(state: RunState, block: Block, how: string): void {
  if (isGone(block)) return;
  block.state = how;
  state.cached -= block.length;
}

function setLength(state: RunState, block: Block, length: number): void {
  if (!isGone(block)) state.cached += length - block.length;
  block.length = length;
}

function grow(state: RunState, id: number, tokens: number, worker: string): void {
  const block = blockOf(state, id);
  block.worker ??= block.role === "worker" ? worker : null;
  setLength(state, block, block.length + tokens);
}

function tokensAdded(state: RunState, event: RunEvent): void {
  state.step = event.step ?? state.step + 1;
  state.steps += 1;
  for (const added of event.tokens as WorkerTokens[]) {
    const lane = laneOf(state, added.worker);
    lane.tokens += added.ids.length;
    state.tokens += added.ids.length;
    grow(state, added.block, added.ids.length, added.worker);
    lanes.addText(lane, added.text);
  }
  state.recent.push([event.time, state.tokens]);
  if (state.recent.length > RATE_STEPS) state.recent.shift();
  for (const [worker, shares] of Object.entries(event.attention ?? {})) {
    attended(state, laneOf(state, worker), shares as { [block: string]: number });
  }
}

function attended(state: RunState, lane: Lane, shares: { [block: string]: number }): void {
  const log = lane.attention;
  const at = log.steps.length;
  log.steps.push(state.step);
  for (const [id, share] of Object.entries(shares)) {
    const number = Number(id);
    const owner = ownerOf(state.blocks.findLast((one) => one.block === number));
    const column = (log.shares[owner] ??= []);
    while (column.length < at) column.push(0);
    column[at] = (column[at] ?? 0) + share;
  }
  for (const column of Object.values(log.shares)) if (column.length <= at) column.push(0);
}

function textInjected(state: RunState, event: RunEvent): void {
  grow(state, event.block, event.ids?.length ?? 0, event.worker);
  const line = state.lines.find((one) => one.line === event.line);
  if (line) line.state = "said";
  if (!event.worker) return;
  const lane = laneOf(state, event.worker);
  lanes.settle(lane);
  if (event.source === "tool") {
    const call = state.calls.findLast((one) => one.call === event.call);
    if (call) {
      call.text ||= lanes.withoutResponseTags(event.text);
      return;
    }
    if (lanes.replyToUnread(lane, event.text)) return;
  }
  lanes.inject(lane, event.text, event.source);
  if (event.source !== "header") mark(state, event.source, event.worker, event.text.trim());
}

function callOf(state: RunState, event: RunEvent): Call {
  let call = state.calls.findLast((one) => one.call === event.call);
  if (!call) {
    call = {
      call: event.call, worker: "", tool: "?", label: "", plan: "", needs: [], effect: "read", arguments: {},
      asked: null, edited_by: "", problem: "", raw: "",
      state: "planned", text: "", error: "", isolation: "", attempts: 1, wall_s: 0, trusted: true, cut: false,
      progress: "", planned_step: state.step, planned_at: event.time, started_at: null, finished_step: null,
    };
    state.calls.push(call);
  }
  return call;
}

function callPlanned(state: RunState, event: RunEvent): void {
  const call = callOf(state, event);
  call.worker = event.worker;
  call.tool = event.tool;
  call.arguments = event.arguments ?? {};
  call.raw = event.raw ?? "";
  call.plan = event.plan ?? "";
  call.label = event.label ?? "";
  call.needs = event.needs ?? [];
  call.effect = event.effect ?? "read";
  lanes.plan(laneOf(state, event.worker), event.call, call.raw);
}

function callStarted(state: RunState, event: RunEvent): void {
  const call = callOf(state, event);
  call.state = "running";
  call.started_at ??= event.time;
  call.attempts = event.attempt ?? 1;
  if (event.arguments) call.arguments = event.arguments;
  if (event.isolation) call.isolation = event.isolation;
}

function callProgress(state: RunState, event: RunEvent): void {
  const call = callOf(state, event);
  const parts: string[] = [];
  if (typeof event.done === "number") parts.push(event.total ? `${Math.round((100 * event.done) / event.total)} %` : `${event.done}`);
  if (event.message) parts.push(event.message);
  if (parts.length) call.progress = parts.join(" ");
}

function callFinished(state: RunState, event: RunEvent): void {
  const call = callOf(state, event);
  call.state = event.status;
  call.text = event.text ?? "";
  call.error = event.error ?? "";
  call.wall_s = event.wall_s ?? 0;
  call.attempts = event.attempts ?? call.attempts;
  if (event.isolation) call.isolation = event.isolation;
  call.trusted = event.trusted ?? true;
  call.cut = event.cut ?? false;
  call.progress = "";
  call.finished_step = state.step;
}

function approvalGiven(state: RunState, event: RunEvent): void {
  const call = callOf(state, event);
  if (call.state === "asked") call.state = "planned";
  if (event.arguments) {
    call.asked = call.arguments;
    call.arguments = event.arguments;
    call.edited_by = event.by || "?";
    for (const need of event.needs ?? []) if (!call.needs.includes(need)) call.needs.push(need);
    mark(state, "approved", call.worker, [callLabel(call), event.reason].filter(Boolean).join(": "));
    return;
  }
  mark(state, event.approved ? "approved" : "rejected", call.worker, event.reason ?? "");
}

function steered(state: RunState, event: RunEvent): void {
  if (event.command === "pause") state.paused = true;
  if (event.command === "resume") state.paused = false;
  if (event.command === "resume" || event.command === "step") state.hit = null;
  if (event.command === "break_at") state.breakpoints.push({ ...event.arguments, hits: 0 });
  if (event.command === "remove_breakpoint") {
    state.breakpoints = state.breakpoints.filter((one) => one.breakpoint !== event.arguments.breakpoint);
  }
  mark(state, event.command, event.arguments?.worker ?? "", "");
}

function sayQueued(state: RunState, event: RunEvent): void {
  const known = state.lines.find((one) => one.line === event.line);
  const line: Line = {
    line: event.line,
    worker: event.worker ?? null,
    text: event.text,
    when: event.when ?? "now",
    state: event.text ? "queued" : "taken_back",
  };
  if (known) Object.assign(known, event.text ? line : { state: line.state });
  else state.lines.push(line);
}

function workerStateChanged(state: RunState, event: RunEvent): void {
  const lane = laneOf(state, event.worker);
  lane.state = event.state;
  lane.reason = event.reason ?? "";
  lane.stretches.push({ state: event.state, step: state.step, time: event.time });
  if (REAL_ENDS.has(event.state)) settleAndGiveUp(lane);
}

function runFinished(state: RunState, event: RunEvent): void {
  for (const lane of state.lanes) settleAndGiveUp(lane);
  state.status = event.status;
  state.answer = event.answer ?? "";
  state.error = event.error || event.misfit || "";
  state.items = event.items?.length ? event.items : state.items;
  state.metrics = event.metrics ?? null;
}

function settleAndGiveUp(lane: Lane): void {
  lanes.settle(lane);
  lanes.giveUpDrafts(lane);
}

function samplingText(sampling: Fields): string {
  return typeof sampling.temperature === "number" ? `temperature ${sampling.temperature}` : "";
}

function mark(state: RunState, kind: string, worker: string, text: string): void {
  state.marks.push({ kind, worker, text, step: state.step, time: state.last_at ?? 0 });
}
