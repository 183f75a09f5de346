/** The side bar: Runs, Tools and Concepts, as tabs. Each asks again while it is in sight. */

import type { CommandRegistry } from "@lumino/commands";
import { Widget } from "@lumino/widgets";
import type { Translate } from "../panel/context.ts";
import { freshId, make, show } from "../panel/dom.ts";
import type { IWorkbench } from "./api.ts";
import { icon } from "./icon.ts";
import { LibraryList } from "./library.ts";
import { RunsList } from "./runs.ts";

const REFRESH_MS = 2500;

export interface List {
  readonly node: HTMLElement;
  refresh(): Promise<void>;
}

export class SideBar extends Widget {
  readonly runs: RunsList;
  private readonly tabs: { button: HTMLButtonElement; list: List }[];
  private timer = 0;
  private chosen = 0;

  constructor(tr: Translate, api: IWorkbench, commands: CommandRegistry) {
    super();
    this.id = "agent-workbench-sidebar";
    this.addClass("wb-side");
    this.title.icon = icon;
    this.title.caption = tr("Agent workbench: runs, tools, concepts");
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", tr("Agent workbench"));
    this.runs = new RunsList(tr, api, commands);
    const lists: [string, List][] = [
      [tr("Runs"), this.runs],
      [tr("Tools"), new LibraryList(tr, api, "tools", commands)],
      [tr("Concepts"), new LibraryList(tr, api, "concepts", commands)],
    ];
    this.tabs = lists.map(([name, list], at) => {
      list.node.id = freshId();
      const button = make("button", { type: "button", role: "tab", class: "wb-tab", id: freshId(), "aria-controls": list.node.id, click: () => this.choose(at) }, [name]);
      list.node.setAttribute("role", "tabpanel");
      list.node.setAttribute("aria-labelledby", button.id);
      return { button, list };
    });
    const bar = make("div", { role: "tablist", class: "wb-tabs", "aria-label": tr("Agent workbench") }, this.tabs.map(({ button }) => button));
    bar.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!move) return;
      this.choose((this.chosen + move + this.tabs.length) % this.tabs.length);
      this.tabs[this.chosen].button.focus();
      event.preventDefault();
    });
    this.node.append(make("div", { class: "wb-run" }, [bar, ...this.tabs.map(({ list }) => list.node)]));
    this.choose(0);
    api.runsChanged.connect(() => void this.refresh());
  }

  choose(at: number): void {
    this.chosen = at;
    this.tabs.forEach(({ button, list }, number) => {
      button.setAttribute("aria-selected", String(number === at));
      button.tabIndex = number === at ? 0 : -1;
      show(list.node, number === at);
    });
    void this.refresh();
  }

  protected onAfterShow(): void {
    this.watch();
  }

  protected onAfterAttach(): void {
    this.watch();
  }

  protected onBeforeHide(): void {
    clearTimeout(this.timer);
  }

  protected onActivateRequest(): void {
    this.tabs[this.chosen].button.focus();
  }

  private watch(): void {
    clearTimeout(this.timer);
    void this.refresh().then(() => {
      if (this.isVisible) this.timer = window.setTimeout(() => this.watch(), REFRESH_MS);
    });
  }

  private async refresh(): Promise<void> {
    if (this.isVisible && document.visibilityState === "visible") await this.tabs[this.chosen].list.refresh();
  }
}
