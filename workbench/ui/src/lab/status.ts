/** The engines in the status bar: state, model, device and memory of each. A click opens the side bar. */

import { Widget } from "@lumino/widgets";
import { visible } from "../core/visible.ts";
import { modelName, type Translate } from "../panel/context.ts";
import { make, setAttribute, write } from "../panel/dom.ts";
import type { EngineStatus, IWorkbench } from "./api.ts";

/** So many stand in the bar; the others in its title. */
const MOST = 2;

export class StatusItem extends Widget {
  private readonly button: HTMLButtonElement;
  /** Whether the server has ever answered. */
  private answered = false;

  constructor(
    private readonly tr: Translate,
    private readonly api: IWorkbench,
    clicked: () => void,
  ) {
    super();
    this.addClass("wb-status-item");
    this.button = make("button", { type: "button", click: clicked });
    this.node.append(this.button);
    api.statusChanged.connect(this.draw, this);
    this.draw();
  }

  dispose(): void {
    this.api.statusChanged.disconnect(this.draw, this);
    super.dispose();
  }

  private draw(): void {
    const { tr } = this;
    const status = this.api.status;
    if (!status && this.answered) return this.say(tr("Engine: unknown, the server does not answer"), "absent", "");
    this.answered ||= status !== null;
    const engines = status?.engines?.length ? status.engines : [status?.engine];
    const told = engines.map((engine) => engineText(tr, engine));
    if (engines.length > MOST) told.splice(MOST, engines.length, tr("%1 more", engines.length - MOST));
    const lines = engines.map((engine) => [engine?.model ?? "", engine?.error || engineText(tr, engine)].filter(Boolean).join(": "));
    const text = engines.length > 1 ? tr("Engines: %1", told.join("  |  ")) : tr("Engine: %1", told[0]);
    this.say(text, engines[0]?.state ?? "absent", visible([...lines, tr("Click to open the side bar.")].join("\n")));
  }

  private say(text: string, state: string, title: string): void {
    write(this.button, text);
    setAttribute(this.button, "data-state", state);
    setAttribute(this.button, "title", title);
  }
}

export function engineText(tr: Translate, engine: EngineStatus | undefined): string {
  const states: { [state: string]: string } = {
    absent: tr("not started"), starting: tr("starting"), ready: tr("ready"), busy: tr("busy"), dead: tr("ended unexpectedly"),
  };
  const state = states[engine?.state ?? "absent"] ?? "";
  if (!engine || engine.state === "absent" || engine.state === "dead") return state;
  const memory = engine.memory_bytes ? tr("%1 MB", Math.round(engine.memory_bytes / 1e6).toLocaleString("en-US")) : "";
  return [state, visible(modelName(engine.model ?? "")), engine.device ?? "", memory].filter(Boolean).join(" · ");
}
