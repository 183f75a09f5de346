/**
 * A run in a notebook's output: the events that an export carries, or the run of that name in this server's log, live.
 *
 * In: {events}, or {run_id, in_kernel?}, under `RUN_TYPE`. Out: a panel. A run that a kernel does is shown by that kernel's
 * widget, which steers it; where the kernel has gone, by the log. Neighbours: `index` registers it.
 */

import type { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import type { IRenderMime } from "@jupyterlab/rendermime-interfaces";
import { Panel } from "@lumino/widgets";
import { make, show } from "../panel/dom.ts";
import type { RunPanel } from "../panel/panel.ts";
import { showRun } from "../static.ts";

/** The MIME type under which a notebook carries a run's events, or its name. */
export const RUN_TYPE = "application/vnd.agent-workbench.run+json";
const WIDGET_TYPE = "application/vnd.jupyter.widget-view+json";
/** So long a kernel may take to bring its widget, or the picture of a run's end. */
const KERNEL_MS = 3000;
const LOOK_MS = 250;
/** A picture of a run that was taken before its end. */
const UNFINISHED = /^(running|starting)\b/;

/** What the server has of runs. */
export interface Server {
  /** Fails where its log does not hold the run. again: called when an interrupted run goes on. */
  panel(runId: string, again: () => void): Promise<RunPanel>;
  picture(runId: string): Promise<{ [type: string]: string }>;
}

export class CellRun extends Panel implements IRenderMime.IRenderer {
  private panel: RunPanel | null = null;
  private model: IRenderMime.IMimeModel | null = null;
  private shown = "";
  private looking = 0;
  private readonly place = make("div");

  /** ofKernel: knows how the notebook's widgets are shown. */
  constructor(
    private readonly server: Server | null,
    private readonly ofKernel: IRenderMimeRegistry | null,
  ) {
    super();
    this.node.append(this.place);
  }

  async renderModel(model: IRenderMime.IMimeModel, again = false): Promise<void> {
    const data = model.data[RUN_TYPE] as any;
    this.model = model;
    // The output's picture was renewed at the end of the run; who is looking at the run goes on with that.
    if (data?.run_id && data.run_id === this.shown && !again) return;
    this.shown = String(data?.run_id ?? "");
    clearInterval(this.looking);
    this.panel?.dispose();
    this.panel = null;
    this.place.replaceChildren();
    if (data?.events || !data?.run_id) this.panel = showRun(this.place, data?.events ?? []);
    else if (data.in_kernel && model.data[WIDGET_TYPE] && this.ofKernel?.mimeTypes.includes(WIDGET_TYPE) && !again) await this.showWidget(model);
    else await this.showLog(model);
  }

  dispose(): void {
    clearInterval(this.looking);
    this.panel?.dispose();
    super.dispose();
  }

  /** The kernel's widget, once it is there; until then, and where it has gone for good, what the log has of the run. */
  private async showWidget(model: IRenderMime.IMimeModel): Promise<void> {
    let there = false;
    let factory: unknown = null;
    let widget: IRenderMime.IRenderer | null = null;
    const look = (): void => {
      // The notebook gets its kernel's widgets some time after it is drawn; a renderer made before waits in vain.
      const known = this.ofKernel!.getFactory(WIDGET_TYPE);
      if (known && known !== factory) {
        factory = known;
        widget?.dispose();
        widget = this.ofKernel!.createRenderer(WIDGET_TYPE);
        show(widget.node, false);
        this.addWidget(widget);
        void widget.renderModel(model).catch(() => undefined); // it may wait for its kernel for ever
      }
      // It says in words that it waits, or has failed; what is a node is the widget.
      there = (widget?.node.childElementCount ?? 0) > 0;
      if (!there) return;
      clearInterval(this.looking);
      this.panel?.dispose();
      this.panel = null;
      this.place.replaceChildren();
      show(widget!.node, true);
    };
    this.looking = window.setInterval(look, LOOK_MS);
    look();
    await sleep(KERNEL_MS);
    if (!there && !this.isDisposed) await this.showLog(model, () => there);
  }

  private async showLog(model: IRenderMime.IMimeModel, tooLate: () => boolean = () => false): Promise<void> {
    const runId = this.shown;
    try {
      if (!this.server) throw new Error("no server");
      const panel = await this.server.panel(runId, () => void this.renderModel(model, true));
      if (this.isDisposed || tooLate()) return panel.dispose();
      this.panel = panel;
      this.place.replaceChildren(panel.node);
      panel.node.classList.add("wb-in-cell");
      void panel.ended.then(() => this.renew(panel));
    } catch {
      // Another machine's run, or one that was deleted: what the notebook keeps of it is its picture in letters.
      if (!tooLate()) this.place.replaceChildren(make("pre", {}, [String(model.data["text/plain"] ?? runId)]));
    }
  }

  /**
   * Put the picture of the end in the place of that of the beginning, which is all that a saved notebook has where nothing
   * is live. The kernel sends it, too, but a page that was loaded anew since does not know any more which output it is for.
   */
  private async renew(panel: RunPanel): Promise<void> {
    await sleep(KERNEL_MS);
    const stale = (): boolean => this.panel === panel && UNFINISHED.test(String(this.model?.data["text/plain"] ?? ""));
    if (!stale()) return;
    try {
      const picture = await this.server!.picture(panel.history.live.run_id);
      if (stale()) this.model!.setData({ data: { ...this.model!.data, ...picture } });
    } catch {
      // The picture of the beginning is better than none.
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
