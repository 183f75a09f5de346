/**
 * The calls as a graph: left to right what had to wait for what, a group of rows for each worker.
 *
 * In: the calls of a `RunState`. Out: an SVG whose nodes are a list for a screen reader and can be reached by keyboard.
 * `place` is pure: from calls to columns and rows.
 */

import { callLabel, callOutcome, isOver, type Call, type RunState } from "../core/state.ts";
import { oneLine, visible } from "../core/visible.ts";
import { colourOf, duration, stateName, type Context } from "./context.ts";
import { make, makeSvg, setAttribute, show, write } from "./dom.ts";

const WIDTH = 168;
const HEIGHT = 38;
const GAP_X = 36;
const GAP_Y = 10;
/** A graph of more calls than this shows the last ones. */
const MOST = 200;

export interface Placed {
  call: Call;
  column: number;
  row: number;
}

/** A call stands right of everything it needs, and right of the plans that its worker made before. */
export function place(calls: Call[], workers: string[]): Placed[] {
  const columns = new Map<string, number>();
  const placed: Placed[] = [];
  let firstRow = 0;
  const callers = [...new Set([...workers, ...calls.map((call) => call.worker)])];
  const firstColumn = new Map<string, number>();
  for (const call of calls) {
    const planned = plansOf(calls, call);
    const before = firstColumn.get(planned) ?? startOf(calls, call, columns);
    firstColumn.set(planned, before);
    columns.set(call.call, Math.max(before, ...call.needs.map((need) => (columns.get(need) ?? -1) + 1)));
  }
  for (const worker of callers) {
    const taken = new Map<number, number>();
    let rows = 0;
    for (const call of calls.filter((one) => one.worker === worker)) {
      const column = columns.get(call.call)!;
      const row = taken.get(column) ?? 0;
      taken.set(column, row + 1);
      rows = Math.max(rows, row + 1);
      placed.push({ call, column, row: firstRow + row });
    }
    firstRow += rows;
  }
  return placed;
}

function plansOf(_: Call[], call: Call): string {
  return `${call.worker}\n${call.plan || call.call}`;
}

/** The column after everything that the worker called in earlier plans. */
function startOf(calls: Call[], call: Call, columns: Map<string, number>): number {
  let column = 0;
  for (const one of calls) {
    if (one === call) break;
    if (one.worker === call.worker && plansOf(calls, one) !== plansOf(calls, call)) column = Math.max(column, (columns.get(one.call) ?? 0) + 1);
  }
  return column;
}

export class Dag {
  readonly node = make("div", { class: "wb-dag", tabindex: 0, role: "group" });
  private readonly svg = makeSvg("svg", { role: "list" });
  private readonly empty: HTMLElement;
  private key: string | null = null;

  constructor(private readonly context: Context) {
    const { tr } = context;
    this.empty = make("p", { class: "wb-quiet" });
    this.node.setAttribute("aria-label", tr("Calls and what they wait for"));
    this.svg.setAttribute("aria-label", tr("Calls"));
    this.node.append(this.empty, this.svg);
  }

  update(state: RunState): void {
    const calls = state.calls.slice(-MOST);
    write(this.empty, state.status === "running" ? this.context.tr("No call yet.") : this.context.tr("No call was made."));
    const key = calls.map((call) => `${call.call} ${call.state} ${call.needs.length}`).join();
    if (key === this.key) return;
    this.key = key;
    show(this.empty, calls.length === 0);
    show(this.svg, calls.length > 0);
    const workers = state.lanes.map((lane) => lane.worker);
    const placed = place(calls, workers);
    const at = new Map(placed.map((one) => [one.call.call, one]));
    const edges = placed.flatMap((to) => to.call.needs.flatMap((need) => (at.has(need) ? [this.edge(at.get(need)!, to)] : [])));
    const nodes = placed.map((one) => this.box(one, workers));
    const width = Math.max(0, ...placed.map((one) => one.column + 1)) * (WIDTH + GAP_X) - GAP_X + 4;
    const height = Math.max(0, ...placed.map((one) => one.row + 1)) * (HEIGHT + GAP_Y) - GAP_Y + 4;
    setAttribute(this.svg, "viewBox", `-2 -2 ${Math.max(1, width)} ${Math.max(1, height)}`);
    setAttribute(this.svg, "width", String(Math.max(1, width)));
    setAttribute(this.svg, "height", String(Math.max(1, height)));
    this.svg.replaceChildren(...edges, ...nodes);
  }

  private box({ call, column, row }: Placed, workers: string[]): SVGElement {
    const { tr } = this.context;
    const [x, y] = [column * (WIDTH + GAP_X), row * (HEIGHT + GAP_Y)];
    const outcome = isOver(call) ? oneLine(callOutcome(call), 24) : stateName(tr, call.state);
    const title = makeSvg("title");
    title.textContent = visible(`${call.worker}: ${oneLine(callLabel(call), 200)}`) + (isOver(call) ? ` → ${oneLine(callOutcome(call), 200)} (${duration(call.wall_s)})` : "");
    const label = tr("%1 by %2, %3, %4", oneLine(callLabel(call), 80), visible(call.worker), stateName(tr, call.state), outcome) +
      (call.needs.length ? `, ${tr("after %1", call.needs.join(", "))}` : "");
    const lines = [
      [15, "wb-dag-tool", oneLine(call.tool === "?" ? tr("unreadable call") : call.tool, 22)],
      [30, "wb-dag-result", outcome],
    ].map(([dy, name, text]) => {
      const line = makeSvg("text", { x: 12, y: dy as number, class: name as string });
      line.textContent = text as string;
      return line;
    });
    return makeSvg(
      "g",
      { transform: `translate(${x} ${y})`, class: "wb-dag-call", "data-state": call.state, role: "listitem", "aria-label": label },
      [
        title,
        makeSvg("rect", { width: WIDTH, height: HEIGHT, rx: 3, class: "wb-dag-box" }),
        makeSvg("rect", { width: 5, height: HEIGHT, style: `fill: ${colourOf(call.worker, workers)}` }),
        ...lines,
      ],
    );
  }

  private edge(from: Placed, to: Placed): SVGElement {
    const [x1, y1] = [from.column * (WIDTH + GAP_X) + WIDTH, from.row * (HEIGHT + GAP_Y) + HEIGHT / 2];
    const [x2, y2] = [to.column * (WIDTH + GAP_X), to.row * (HEIGHT + GAP_Y) + HEIGHT / 2];
    const half = Math.max(GAP_X, x2 - x1) / 2;
    const path = `M${x1} ${y1} C${x1 + half} ${y1} ${x2 - half} ${y2} ${x2 - 5} ${y2} m-5 -4 l5 4 l-5 4`;
    return makeSvg("path", { d: path, class: "wb-dag-edge", "aria-hidden": "true" });
  }
}
