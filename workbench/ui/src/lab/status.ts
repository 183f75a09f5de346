/** The engine in the status bar: its state, model, device and memory. A click opens the side bar. */

import { Widget } from "@lumino/widgets";
import { visible } from "../core/visible.ts";
import { modelName, type Translate } from "../panel/context.ts";
import { make, setAttribute, write } from "../panel/dom.ts";
import type { EngineStatus, IWorkbench } from "./api.ts";

export class StatusItem extends Widget {
  private readonly button: HTMLButtonElement;

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
    const engine = this.api.status?.engine;
    const state = engine?.state ?? "absent";
    write(this.button, tr("Engine: %1", engineText(tr, engine)));
    setAttribute(this.button, "data-state", state);
    setAttribute(this.button, "title", visible(engine?.error || tr("The workbench's engine. Click to open the side bar.")));
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
