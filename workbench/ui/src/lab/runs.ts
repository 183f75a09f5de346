/** All runs of all processes, newest first: live state, search, open, compare, export, delete. */

import { Dialog, showDialog } from "@jupyterlab/apputils";
import type { CommandRegistry } from "@lumino/commands";
import { oneLine, visible } from "../core/visible.ts";
import { modelName, plural, stateName, type Translate } from "../panel/context.ts";
import { arrange, make, setAttribute, show, write } from "../panel/dom.ts";
import type { IWorkbench, RunRow } from "./api.ts";
import type { List } from "./sidebar.ts";

const PAGE = 50;
/** The server gives no more at once. */
const MOST = 500;

/** A run's place in the list. It stays the same node however often its row changes. */
interface Item {
  node: HTMLElement;
  main: HTMLElement;
  actions: HTMLElement;
  shown: string;
  offered: string;
}

export class RunsList implements List {
  readonly node: HTMLElement;
  private readonly search: HTMLInputElement;
  private readonly list: HTMLElement;
  private readonly note = make("p", { class: "wb-quiet", role: "status" });
  /** Why the last thing that a person did was refused; it stays until the next. */
  private readonly refusal = make("p", { class: "wb-error", role: "alert", hidden: true });
  private readonly more: HTMLElement;
  private limit = PAGE;
  private rows: RunRow[] = [];
  private readonly items = new Map<string, Item>();
  selected = "";
  private compareWith = "";

  constructor(
    private readonly tr: Translate,
    private readonly api: IWorkbench,
    private readonly commands: CommandRegistry,
  ) {
    this.search = make("input", { type: "search", class: "wb-input", placeholder: tr("Search"), "aria-label": tr("Search runs") });
    this.search.addEventListener("input", () => void this.refresh());
    this.list = make("ul", { class: "wb-list", "aria-label": tr("Runs") });
    const start = make("button", { type: "button", class: "wb-button wb-primary", click: () => void commands.execute("agent-workbench:new-run") }, [tr("New run")]);
    this.more = make("button", { type: "button", class: "wb-button", hidden: true, click: () => this.showMore() }, [tr("Show more")]);
    this.node = make("div", { class: "wb-pane" }, [make("div", { class: "wb-row wb-tools" }, [this.search, start]), this.refusal, this.note, this.list, this.more]);
    this.node.addEventListener("contextmenu", (event) => {
      const item = (event.target as HTMLElement).closest<HTMLElement>(".wb-run-item");
      if (item) this.selected = item.dataset.run ?? "";
    });
  }

  async refresh(): Promise<void> {
    const { tr } = this;
    const query = this.query();
    try {
      const answer = await this.api.get<{ runs: RunRow[]; more: boolean }>(query);
      if (query !== this.query()) return; // somebody has typed on: this answers an earlier question
      this.rows = answer.runs;
      show(this.more, answer.more && this.limit < MOST);
      write(this.note, this.rows.length ? "" : this.search.value ? tr("No run matches.") : tr("No run yet. Start one, and it is kept here."));
    } catch (error) {
      if (query !== this.query()) return;
      write(this.note, (error as Error).message);
    }
    show(this.note, this.note.textContent !== "");
    arrange(this.list, this.rows.map((row) => this.drawn(row)));
    const there = new Set(this.rows.map((row) => row.run_id));
    for (const runId of this.items.keys()) if (!there.has(runId)) this.items.delete(runId);
  }

  private query(): string {
    return `runs?limit=${this.limit}&search=${encodeURIComponent(this.search.value)}`;
  }

  private showMore(): void {
    this.limit = Math.min(MOST, this.limit + PAGE);
    void this.refresh();
  }

  open(runId = this.selected): void {
    if (runId) void this.commands.execute("agent-workbench:open-run", { runId });
  }

  /** The first run that is named is kept; with the second, both stand side by side. */
  compare(runId = this.selected): void {
    if (this.compareWith && this.compareWith !== runId) {
      void this.commands.execute("agent-workbench:compare-runs", { left: this.compareWith, right: runId });
      this.compareWith = "";
    } else {
      this.compareWith = this.compareWith === runId ? "" : runId;
    }
    void this.refresh();
  }

  async delete(runId = this.selected): Promise<void> {
    const { tr } = this;
    const sure = await showDialog({
      title: tr("Delete this run?"),
      body: tr("Run %1 and its log are deleted for good.", visible(runId)),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: tr("Delete") })],
    });
    if (!sure.button.accept) return;
    show(this.refusal, false);
    try {
      await this.api.delete(`runs/${encodeURIComponent(runId)}`);
      if (this.compareWith === runId) this.compareWith = "";
    } catch (error) {
      write(this.refusal, (error as Error).message);
      show(this.refusal, true);
      this.refusal.scrollIntoView({ block: "nearest" });
    }
    await this.refresh();
  }

  private drawn(row: RunRow): HTMLElement {
    let item = this.items.get(row.run_id);
    if (!item) {
      const main = make("button", { type: "button", class: "wb-item-main", click: () => this.open(row.run_id) });
      const actions = make("div", { class: "wb-row wb-item-actions" });
      item = { node: make("li", { class: "wb-item wb-run-item", "data-run": row.run_id }, [main, actions]), main, actions, shown: "", offered: "" };
      this.items.set(row.run_id, item);
    }
    const shown = JSON.stringify(row);
    if (shown !== item.shown) {
      item.shown = shown;
      setAttribute(item.main, "title", `${row.run_id}\n${visible(row.task)}`);
      item.main.replaceChildren(...this.facts(row));
    }
    const offered = !this.compareWith ? "" : this.compareWith === row.run_id ? "this" : "with";
    if (offered !== item.offered || !item.actions.childElementCount) {
      item.offered = offered;
      this.offer(row, item.actions);
    }
    return item.node;
  }

  private facts(row: RunRow): HTMLElement[] {
    const { tr } = this;
    const status = row.live ? "running" : row.status;
    const workers = Array.isArray(row.workers) ? row.workers.length : row.workers;
    const facts = [
      when(row.started_at), modelName(row.model), workers ? plural(tr, workers, "%1 worker", "%1 workers") : "", row.layout, row.tokens ? plural(tr, row.tokens, "%1 token", "%1 tokens") : "",
      row.parent ? tr("fork") : "",
    ];
    return [
      make("span", { class: "wb-status", "data-status": status }, [stateName(tr, status)]),
      make("span", { class: "wb-item-title" }, [oneLine(row.task, 120) || row.run_id]),
      make("span", { class: "wb-quiet wb-item-facts" }, [facts.filter(Boolean).join(" · ")]),
      ...(row.answer ? [make("span", { class: "wb-item-facts" }, [`→ ${oneLine(row.answer, 80)}`])] : []),
    ];
  }

  private offer(row: RunRow, actions: HTMLElement): void {
    const { tr } = this;
    const focused = [...actions.children].indexOf(document.activeElement as Element);
    const small = (text: string, label: string, click: () => void, pressed?: boolean): HTMLElement =>
      make("button", { type: "button", class: "wb-button wb-small", "aria-label": label, title: label, "aria-pressed": pressed === undefined ? undefined : String(pressed), click }, [text]);
    const name = oneLine(row.task, 40);
    actions.replaceChildren(
      small(tr("Export"), tr("Export %1 as a notebook", name), () => void this.commands.execute("agent-workbench:export-run", { runId: row.run_id })),
      small(
        this.compareWith && this.compareWith !== row.run_id ? tr("Compare with this") : tr("Compare"), tr("Compare %1 with another run", name),
        () => this.compare(row.run_id), this.compareWith === row.run_id,
      ),
      small(tr("Delete"), tr("Delete %1", name), () => void this.delete(row.run_id)),
    );
    (actions.children[focused] as HTMLElement | undefined)?.focus();
  }
}

function when(seconds: number): string {
  if (!seconds) return "";
  const then = new Date(seconds * 1000);
  const today = then.toDateString() === new Date().toDateString();
  return today ? then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : then.toLocaleDateString();
}
