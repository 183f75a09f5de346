/**
 * The cache map: every block as a bar in every worker's view, as long as its tokens, with who wrote it and who reads it.
 *
 * In: a `RunState`. Out: one row per view, one row for blocks that have left the cache, and the same as a table.
 */

import { readersOf, viewsOf, type View } from "../core/layout.ts";
import { ownerOf, type Block, type RunState } from "../core/state.ts";
import { visible } from "../core/visible.ts";
import { colourOf, plural, type Context } from "./context.ts";
import { make, setAttribute, show, write } from "./dom.ts";
import { drawTable } from "./table.ts";

/** How wide a digit of a bar's length is, and the room beside the number. */
const DIGIT_PX = 7;
const ROOM_PX = 5;

export class CacheMap {
  readonly node = make("div", { class: "wb-cache" });
  private readonly rows = make("div", { role: "list" });
  private readonly legend = make("div", { class: "wb-legend wb-quiet" });
  private readonly empty: HTMLElement;
  private readonly table = make("div", { class: "wb-table" });
  private readonly details: HTMLDetailsElement;
  private latest: RunState | null = null;

  constructor(private readonly context: Context) {
    const { tr } = context;
    this.rows.setAttribute("aria-label", tr("Blocks in every worker's view"));
    this.empty = make("p", { class: "wb-quiet" }, [tr("No block yet.")]);
    this.details = make("details", { toggle: () => this.drawTable() }, [
      make("summary", {}, [tr("All blocks as a table")]), this.table,
    ]);
    this.node.append(this.empty, this.rows, this.legend, this.details);
  }

  update(state: RunState): void {
    const { tr } = this.context;
    this.latest = state;
    const views = viewsOf(state);
    const readers = readersOf(views);
    const longest = Math.max(1, ...views.map(({ blocks }) => blocks.reduce((sum, block) => sum + block.length, 0)));
    show(this.empty, state.blocks.length === 0);
    const gone = state.blocks.filter((block) => block.state === "pruned" || block.state === "merged");
    const rows: View[] = gone.length ? [...views, { worker: "", blocks: gone.slice(-200) }] : views;
    while (this.rows.children.length > rows.length) this.rows.lastElementChild!.remove();
    const width = (this.rows.querySelector(".wb-bars") as HTMLElement | null)?.clientWidth || 0;
    rows.forEach((view, at) => {
      let row = this.rows.children[at] as HTMLElement | undefined;
      if (!row) {
        row = make("div", { class: "wb-view", role: "listitem" }, [make("span", { class: "wb-view-name" }), make("div", { class: "wb-bars" })]);
        this.rows.append(row);
      }
      const left = view.worker === "";
      const total = view.blocks.reduce((sum, block) => sum + block.length, 0);
      write(row.children[0], left ? tr("left the cache") : tr("%1 sees", visible(view.worker)));
      setAttribute(row.children[0], "title", plural(tr, total, "%1 token", "%1 tokens"));
      row.classList.toggle("wb-gone", left);
      const scale = left ? Math.max(longest, total) : longest;
      this.drawBars(row.children[1] as HTMLElement, view, scale, width, state, readers);
    });
    const history = views.some(({ blocks }) => blocks.some((block) => ownerOf(block) === "history"));
    const sentences = [tr("%1 tokens held, each stored once; bars are in scale.", state.cached.toLocaleString("en-US"))];
    if (state.status === "running") sentences.push(tr("Striped: growing."));
    if (history) sentences.push(tr("Grey: merged history."));
    write(this.legend, sentences.join(" "));
    if (this.details.open) this.drawTable();
  }

  private drawBars(row: HTMLElement, view: View, scale: number, width: number, state: RunState, readers: Map<number, string[]>): void {
    const workers = state.lanes.map((lane) => lane.worker);
    const growing = state.status === "running";
    while (row.children.length > view.blocks.length) row.lastElementChild!.remove();
    view.blocks.forEach((block, at) => {
      let bar = row.children[at] as HTMLElement | undefined;
      if (!bar) {
        bar = make("div", { class: "wb-bar", role: "img" });
        row.append(bar);
      }
      const share = (100 * block.length) / scale;
      setAttribute(bar, "style", `width: ${share.toFixed(2)}%; --wb-block: ${colourOf(ownerOf(block), workers)}`);
      setAttribute(bar, "data-state", growing && block.state === "open" ? "growing" : block.state);
      bar.classList.toggle("wb-own", block.worker === view.worker && view.worker !== "");
      const room = (share / 100) * width >= String(block.length).length * DIGIT_PX + ROOM_PX;
      write(bar, room ? block.length : "");
      const said = this.describe(block, readers.get(block.block) ?? [], growing);
      setAttribute(bar, "title", said);
      setAttribute(bar, "aria-label", said);
    });
  }

  private describe(block: Block, readers: string[], growing: boolean): string {
    const { tr } = this.context;
    const read = readers.length ? tr("read by %1", visible(readers.join(", "))) : tr("read by nobody");
    const state = { open: growing ? tr("growing") : tr("open"), frozen: tr("frozen"), pruned: tr("pruned"), merged: tr("merged into another") }[block.state];
    return [this.whose(block), plural(this.context.tr, block.length, "%1 token", "%1 tokens"), state, read].join(", ");
  }

  private whose(block: Block): string {
    const { tr } = this.context;
    const owner = ownerOf(block);
    const name = owner === "prompt" ? tr("the prompt") : owner === "history" ? tr("merged steps") : visible(owner);
    return tr("block %1 of %2", block.block, name);
  }

  private drawTable(): void {
    const state = this.latest;
    if (!state || !this.details.open) return;
    const { tr } = this.context;
    const readers = readersOf(viewsOf(state));
    const heads = [tr("block"), tr("whose"), tr("tokens"), tr("state"), tr("read by")];
    const rows = state.blocks.map((block) => [
      block.block, ownerOf(block), block.length, block.state, (readers.get(block.block) ?? []).join(", "),
    ]);
    drawTable(this.table, heads, rows);
  }
}
