/**
 * One worker's stream as a person reads it: text, calls and injected text, in their order.
 *
 * In: decoded pieces of text as they are sampled, and the facts about calls. Out: a lane of spans, in which the raw
 * text of a call is hidden behind the call itself. Work per piece is proportional to the piece. A lane is plain JSON,
 * so a snapshot of it can travel. It follows `workbench/lanes.py`, which does the same for the terminal.
 */

import type { Fields } from "./events.ts";

const OPEN = "<tool_call>";
const CLOSE = "</tool_call>";
const RESPONSE = /<\/?tool_response>/g;
const NAME_SO_FAR = /["']name["']\s*:\s*["']([\w.-]+)["']/;
/** Long text is kept in pieces of about this many characters, so that a view can draw only those in sight. */
export const PIECE = 1500;
const LONGEST = 4000;

export interface Span {
  kind: "text" | "call" | "injected";
  text: string;
  /** The id of the call, empty while it is being written or if it could not be read. */
  call: string;
  /** Who injected the text: header, tool, person, check, closing. */
  source: string;
  closed: boolean;
  /** What the caller was told about a call that could not be read. */
  reply: string;
  unread: boolean;
  /** A call whose text ended before the call did: its worker was stopped, or given something, in the middle of it. */
  cut_short: boolean;
  /** This text goes on where the last span of text ended, in the same line. */
  goes_on: boolean;
}

export interface Stretch {
  state: string;
  /** Engine steps: from after this one to the one where the next stretch begins. */
  step: number;
  time: number;
}

export interface AttentionLog {
  steps: number[];
  /** By owner (a worker, "prompt" or "history"): its share of this worker's attention, one number for each of `steps`. */
  shares: { [owner: string]: number[] };
}

export interface Lane {
  worker: string;
  state: string;
  reason: string;
  budget: number | null;
  tokens: number;
  sampling: Fields;
  /** The tools that it may call; null: all that the run offers. */
  tools: string[] | null;
  /** The line that stands at the beginning of its block. */
  instruction: string;
  spans: Span[];
  stretches: Stretch[];
  attention: AttentionLog;
  held: string;
  /** Indices into `spans`: the call that is being written (-1: none), and written calls that are not planned yet. */
  writing: number;
  drafts: number[];
}

export function newLane(worker: string): Lane {
  return {
    worker,
    state: "decoding",
    reason: "",
    budget: null,
    tokens: 0,
    sampling: {}, tools: null, instruction: "",
    spans: [],
    stretches: [],
    attention: { steps: [], shares: {} },
    held: "",
    writing: -1,
    drafts: [],
  };
}

export function addText(lane: Lane, piece: string): void {
  let rest = lane.held + piece;
  lane.held = "";
  while (rest) {
    const tag = lane.writing >= 0 ? CLOSE : OPEN;
    const at = rest.indexOf(tag);
    if (at >= 0) {
      take(lane, rest.slice(0, at));
      switchSides(lane);
      rest = rest.slice(at + tag.length);
      continue;
    }
    const keep = unfinished(rest, tag);
    take(lane, rest.slice(0, rest.length - keep));
    lane.held = rest.slice(rest.length - keep);
    rest = "";
  }
}

export function inject(lane: Lane, text: string, source: string): Span {
  const span = newSpan(lane, "injected");
  span.text = text;
  span.source = source;
  return span;
}

/** A call was read from the worker's text: its raw text is hidden behind it from now on. */
export function plan(lane: Lane, call: string, raw: string): void {
  const inner = withoutCallTags(raw);
  let at = lane.drafts.findIndex((index) => {
    const draft = lane.spans[index];
    const text = draft.text.trim();
    return text === inner || (!draft.closed && inner.startsWith(text));
  });
  // A draft may hold several calls (a list of them), so a second call of the same draft gets a span of its own.
  if (at < 0 && lane.drafts.length > 0) at = 0;
  if (at >= 0) {
    for (const skipped of lane.drafts.slice(0, at)) lane.spans[skipped].unread = true;
    const span = lane.spans[lane.drafts[at]];
    lane.drafts.splice(0, at + 1);
    span.call = call;
    return;
  }
  (cutOut(lane, raw) ?? newSpan(lane, "call")).call = call;
}

/** The worker was told that a call of its could not be read; false if there is no such call. */
export function replyToUnread(lane: Lane, text: string): boolean {
  const index = lane.drafts.shift();
  if (index === undefined) return false;
  lane.spans[index].reply = withoutResponseTags(text);
  lane.spans[index].unread = true;
  return true;
}

/** Nothing more will be sampled for now: what was held back is shown. */
export function settle(lane: Lane): void {
  const held = lane.held;
  lane.held = "";
  take(lane, held);
  if (lane.writing >= 0) lane.spans[lane.writing].cut_short = true;
  closeWriting(lane);
}

export function giveUpDrafts(lane: Lane): void {
  for (const index of lane.drafts) if (lane.spans[index].closed) lane.spans[index].unread = true;
}

/** The name of the tool in a call that is still being written, if it stands there already. */
export function writtenTool(span: Span): string {
  return NAME_SO_FAR.exec(span.text)?.[1] ?? "";
}

/** Whether there is something to show. A heading with the worker's name is the lane's title. */
export function isShown(span: Span): boolean {
  if (span.kind === "call") return true;
  if (!span.text.trim()) return false;
  return span.source !== "header" || span.text.split("\n").some((line) => line && !line.startsWith("#"));
}

export function withoutCallTags(raw: string): string {
  return raw.replaceAll(OPEN, "").replaceAll(CLOSE, "").trim();
}

export function withoutResponseTags(text: string): string {
  return text.replace(RESPONSE, "").trim();
}

function take(lane: Lane, text: string): void {
  if (!text) return;
  if (lane.writing >= 0) {
    lane.spans[lane.writing].text += text;
    return;
  }
  if (text.trim()) giveUpDrafts(lane);
  let last = lane.spans.at(-1);
  if (!last || last.kind !== "text") last = newSpan(lane, "text");
  else if (last.text.length >= PIECE && (last.text.endsWith("\n") || last.text.length >= LONGEST)) {
    const inLine = !last.text.endsWith("\n");
    last = newSpan(lane, "text");
    last.goes_on = inLine;
  }
  last.text += text;
}

function switchSides(lane: Lane): void {
  if (lane.writing >= 0) {
    closeWriting(lane);
    return;
  }
  newSpan(lane, "call");
  lane.writing = lane.spans.length - 1;
  lane.drafts.push(lane.writing);
}

function closeWriting(lane: Lane): void {
  if (lane.writing < 0) return;
  lane.spans[lane.writing].closed = true;
  lane.writing = -1;
}

function newSpan(lane: Lane, kind: Span["kind"]): Span {
  const span: Span = { kind, text: "", call: "", source: "", closed: false, reply: "", unread: false, cut_short: false, goes_on: false };
  lane.spans.push(span);
  return span;
}

/** A call in a format without our tags stands in the text: take it out of there. */
function cutOut(lane: Lane, raw: string): Span | null {
  const held = lane.held;
  lane.held = "";
  take(lane, held);
  const last = lane.spans.at(-1);
  if (!last || last.kind !== "text" || !raw.trim()) return null;
  const from = Math.max(0, last.text.length - raw.length - 64);
  const at = last.text.lastIndexOf(raw);
  if (at < from) return null;
  const after = last.text.slice(at + raw.length);
  last.text = last.text.slice(0, at);
  const span = newSpan(lane, "call");
  span.text = raw;
  span.closed = true;
  take(lane, after);
  return span;
}

/** How many characters at the end of `text` may be the beginning of `tag`. */
function unfinished(text: string, tag: string): number {
  for (let length = Math.min(tag.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(tag.slice(0, length))) return length;
  }
  return 0;
}
