/**
 * Time and attention on one axis, the engine's steps: a row for each worker, with what it did (a bar), its calls and
 * what it was told (marks), and how its attention was spread over everybody's blocks (the ribbon).
 *
 * In: a `RunState` and the step that is being looked at. Out: one canvas per worker, drawn anew; a legend; and the mean
 * shares as a table. The scrubber stands below, on the same axis.
 */

import type { Lane } from "../core/lane.ts";
import type { RunState } from "../core/state.ts";
import { oneLine, visible } from "../core/visible.ts";
import { colourOf, stateName, type Context } from "./context.ts";
import { make, setAttribute, show, write } from "./dom.ts";

const BAR = 9;
const GAP = 5;
const RIBBON = 34;
const HEIGHT = BAR + GAP + RIBBON;

interface Row {
  node: HTMLElement;
  name: HTMLElement;
  canvas: HTMLCanvasElement;
}

export class Timeline {
  readonly node = make("div", { class: "wb-timeline" });
  private readonly rows = make("div", { role: "list" });
  private readonly note = make("p", { class: "wb-quiet wb-note" });
  private readonly legend = make("div", { class: "wb-legend" });
  private readonly matrix = make("div", { class: "wb-table wb-matrix" });
  private readonly details: HTMLDetailsElement;
  private readonly byWorker = new Map<string, Row>();
  private latest: { state: RunState; steps: number; step: number | null } | null = null;
  private legendKey = "";

  constructor(
    private readonly context: Context,
    private readonly goTo: (step: number) => void,
  ) {
    const { tr } = context;
    this.rows.setAttribute("aria-label", tr("What each worker did and attended to, step by step"));
    this.details = make("details", { toggle: () => this.redraw() }, [
      make("summary", {}, [tr("Mean attention as a table")]), this.matrix,
    ]);
    this.node.append(this.rows, this.note, this.legend, this.details);
  }

  /** `steps`: how many steps the axis spans; `step`: the one looked at, null for now. */
  update(state: RunState, steps: number, step: number | null): void {
    this.latest = { state, steps: Math.max(1, steps), step };
    this.redraw();
  }

  /** Draw again, at the present size and in the present theme. */
  redraw(): void {
    if (!this.latest) return;
    const { tr } = this.context;
    const { state } = this.latest;
    const workers = state.lanes.map((lane) => lane.worker);
    const owners = ownersOf(state);
    for (const [worker, row] of this.byWorker) {
      if (workers.includes(worker)) continue;
      row.node.remove();
      this.byWorker.delete(worker);
    }
    for (const lane of state.lanes) this.drawRow(this.rowOf(lane.worker), lane, owners, workers);
    write(
      this.note,
      owners.length || state.steps === 0
        ? tr("Bar: what the worker did, its calls and what it was told. Ribbon: the share of its attention on each worker's blocks.")
        : tr("This run did not log attention. Start a run with attention logged to see who looks at whom."),
    );
    this.drawLegend(owners, workers);
    show(this.details, owners.length > 0);
    if (this.details.open) this.drawMatrix(state, owners);
  }

  private rowOf(worker: string): Row {
    const known = this.byWorker.get(worker);
    if (known) return known;
    const canvas = make("canvas", { class: "wb-canvas", role: "img" });
    const name = make("span", { class: "wb-view-name", title: visible(worker) }, [worker]);
    const node = make("div", { class: "wb-time-row", role: "listitem" }, [name, canvas]);
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      this.goTo(Math.round(((event.clientX - box.left) / box.width) * (this.latest?.steps ?? 1)));
    });
    canvas.addEventListener("mousemove", (event) => this.explain(worker, canvas, event));
    this.rows.append(node);
    const row = { node, name, canvas };
    this.byWorker.set(worker, row);
    return row;
  }

  private drawRow({ canvas }: Row, lane: Lane, owners: string[], workers: string[]): void {
    const { state, steps, step } = this.latest!;
    const width = canvas.clientWidth;
    if (!width) return;
    const height = owners.length ? HEIGHT : BAR + 2;
    const ratio = window.devicePixelRatio || 1;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    if (!pen) return;
    pen.scale(ratio, ratio);
    const colour = coloursOf(this.node);
    const x = (at: number): number => (Math.min(at, steps) / steps) * width;
    const ended = state.step;
    lane.stretches.forEach((stretch, at) => {
      const until = lane.stretches[at + 1]?.step ?? ended;
      if (["finished", "stopped", "out_of_budget"].includes(stretch.state)) return;
      pen.fillStyle = colour(stretch.state === "decoding" ? colourOf(lane.worker, workers) : "var(--wb-waiting)");
      pen.fillRect(x(stretch.step), stretch.state === "decoding" ? 1 : BAR / 2 - 1, Math.max(1, x(until) - x(stretch.step)), stretch.state === "decoding" ? BAR - 2 : 3);
    });
    for (const call of state.calls) {
      if (call.worker !== lane.worker) continue;
      pen.fillStyle = colour(call.state === "succeeded" ? "var(--wb-good)" : call.finished_step === null ? "var(--wb-waiting)" : "var(--wb-bad)");
      pen.fillRect(x(call.planned_step) - 1, 0, Math.max(3, x(call.finished_step ?? ended) - x(call.planned_step)), BAR);
    }
    pen.fillStyle = colour("var(--wb-ink)");
    for (const mark of state.marks) if (mark.worker === lane.worker || mark.worker === "") pen.fillRect(x(mark.step), 0, 1.5, BAR + 2);
    this.drawRibbon(pen, lane, owners, workers, x, colour);
    if (step !== null) {
      pen.fillStyle = colour("var(--wb-ink)");
      pen.fillRect(Math.min(width - 1.5, x(step)), 0, 1.5, height);
    }
    setAttribute(canvas, "aria-label", this.inWords(lane, owners));
  }

  private drawRibbon(
    pen: CanvasRenderingContext2D,
    lane: Lane,
    owners: string[],
    workers: string[],
    x: (at: number) => number,
    colour: (name: string) => string,
  ): void {
    for (const columns of columnsOf(lane.attention.steps)) this.drawStretch(pen, lane, columns, owners, workers, x, colour);
  }

  private drawStretch(
    pen: CanvasRenderingContext2D,
    lane: Lane,
    columns: Column[],
    owners: string[],
    workers: string[],
    x: (at: number) => number,
    colour: (name: string) => string,
  ): void {
    const base = new Float64Array(columns.length);
    const y = (share: number): number => BAR + GAP + RIBBON * (1 - share);
    for (const owner of owners) {
      const shares = lane.attention.shares[owner];
      if (!shares) continue;
      pen.fillStyle = colour(colourOf(owner, workers));
      pen.beginPath();
      const top = columns.map(({ first, count }, place) => base[place] + mean(shares, first, count));
      columns.forEach(({ from, to }, place) => {
        pen.lineTo(x(from), y(base[place]));
        pen.lineTo(x(to), y(base[place]));
      });
      for (let place = columns.length - 1; place >= 0; place--) {
        pen.lineTo(x(columns[place].to), y(top[place]));
        pen.lineTo(x(columns[place].from), y(top[place]));
      }
      pen.fill();
      base.set(top);
    }
  }

  private drawLegend(owners: string[], workers: string[]): void {
    const key = owners.join("\n");
    if (key === this.legendKey) return;
    this.legendKey = key;
    this.legend.replaceChildren(
      ...owners.map((owner) =>
        make("span", { class: "wb-key" }, [
          make("span", { class: "wb-swatch", style: `--wb-block: ${colourOf(owner, workers)}` }), this.nameOf(owner),
        ]),
      ),
    );
  }

  private drawMatrix(state: RunState, owners: string[]): void {
    const { tr } = this.context;
    const head = make("tr", {}, [make("th", { scope: "col" }, [tr("reader")]), ...owners.map((owner) => make("th", { scope: "col" }, [this.nameOf(owner)]))]);
    const body = state.lanes.map((lane) => {
      const cells = owners.map((owner) => {
        const share = meanShare(lane, owner);
        return make("td", { style: `--wb-share: ${(100 * share).toFixed(0)}%` }, [`${(100 * share).toFixed(1)} %`]);
      });
      return make("tr", {}, [make("th", { scope: "row" }, [lane.worker]), ...cells]);
    });
    this.matrix.replaceChildren(make("table", {}, [make("thead", {}, [head]), make("tbody", {}, body)]));
  }

  private nameOf(owner: string): string {
    const { tr } = this.context;
    return owner === "prompt" ? tr("prompt") : owner === "history" ? tr("history") : visible(owner);
  }

  private inWords(lane: Lane, owners: string[]): string {
    const { tr } = this.context;
    const shares = owners.map((owner) => `${this.nameOf(owner)} ${(100 * meanShare(lane, owner)).toFixed(0)} %`);
    const doing = stateName(tr, lane.state);
    const name = visible(lane.worker);
    return shares.length ? tr("%1: %2; attention: %3", name, doing, shares.join(", ")) : tr("%1: %2", name, doing);
  }

  private explain(worker: string, canvas: HTMLCanvasElement, event: MouseEvent): void {
    const { tr } = this.context;
    if (!this.latest) return;
    const { state, steps } = this.latest;
    const lane = state.lanes.find((one) => one.worker === worker);
    if (!lane) return;
    const box = canvas.getBoundingClientRect();
    const step = Math.round(((event.clientX - box.left) / box.width) * steps);
    const at = lane.attention.steps.indexOf(step);
    const shares = Object.entries(lane.attention.shares).map(([owner, column]) => `${this.nameOf(owner)} ${(100 * (column[at] ?? 0)).toFixed(0)} %`);
    const near = Math.max(1, steps / 100);
    const told = state.marks.filter((mark) => mark.worker === worker && Math.abs(mark.step - step) <= near);
    const lines = [tr("step %1", step), ...(at >= 0 ? shares : []), ...told.map((mark) => `${mark.kind}: ${oneLine(mark.text, 60)}`)];
    setAttribute(canvas, "title", lines.join("\n"));
  }
}

interface Column {
  /** Which of the logged steps it stands for, and where it stands on the axis. */
  first: number;
  count: number;
  from: number;
  to: number;
}

/** Columns of a ribbon, in stretches: where a worker did not decode there is nothing to draw. */
function columnsOf(steps: number[]): Column[][] {
  const stride = Math.max(1, Math.floor(steps.length / 800));
  const stretches: Column[][] = [];
  let at = 0;
  while (at < steps.length) {
    let count = 1;
    while (count < stride && steps[at + count] === steps[at] + count) count += 1;
    const column = { first: at, count, from: steps[at] - 1, to: steps[at] - 1 + count };
    const before = stretches.at(-1)?.at(-1);
    if (before?.to === column.from) stretches.at(-1)!.push(column);
    else stretches.push([column]);
    at += count;
  }
  return stretches;
}

/** The owners that anybody attended to: workers in their order, then history, then the prompt. */
function ownersOf(state: RunState): string[] {
  const there = new Set(state.lanes.flatMap((lane) => Object.keys(lane.attention.shares)));
  return [...state.lanes.map((lane) => lane.worker), "history", "prompt"].filter((owner) => there.has(owner));
}

function meanShare(lane: Lane, owner: string): number {
  const column = lane.attention.shares[owner];
  return column?.length ? mean(column, 0, column.length) : 0;
}

function mean(column: number[], from: number, count: number): number {
  const until = Math.min(column.length, from + count);
  let sum = 0;
  for (let at = from; at < until; at++) sum += column[at];
  return until > from ? sum / (until - from) : 0;
}

/** Colours for a canvas, from the style sheet's variables. */
function coloursOf(node: HTMLElement): (name: string) => string {
  const style = getComputedStyle(node);
  const known = new Map<string, string>();
  return (name) => {
    let value = known.get(name);
    if (value === undefined) {
      value = style.getPropertyValue(name.slice(4, -1)).trim() || "gray";
      known.set(name, value);
    }
    return value;
  };
}
