/**
 * The JupyterLab extension, as small plugins: the server's calls, runs in the main area, the side bar, the status bar, and
 * what a notebook's widgets and stored runs need of the page. Each can be disabled by its own name.
 */

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, IThemeManager, MainAreaWidget, Notification, WidgetTracker } from "@jupyterlab/apputils";
import { ILauncher } from "@jupyterlab/launcher";
import { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { IStatusBar } from "@jupyterlab/statusbar";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { serverActions, type Context, type Translate } from "../panel/context.ts";
import { RunPanel } from "../panel/panel.ts";
import type { PageWorkbench } from "../widget.ts";
import labStyle from "../../style/lab.css";
import runStyle from "../../style/run.css";
import { IWorkbench, Workbench } from "./api.ts";
import { CellRun, RUN_TYPE, type Server } from "./cellrun.ts";
import { CompareWidget } from "./compare.ts";
import { icon } from "./icon.ts";
import { actionsOf, EngineAwareTransport, NewRun, RunWidget, type Defaults } from "./mainpanel.ts";
import { SideBar } from "./sidebar.ts";
import { StatusItem } from "./status.ts";

const STATUS_MS = 1000;
const DEFAULTS: Defaults = { model: "embedded", workers: 2, layout: "contiguous", temperature: 0, attention: true };
function translateWith(translator: ITranslator | null): Translate {
  const bundle = (translator ?? nullTranslator).load("agent_workbench");
  return (text, ...args) => bundle.__(text, ...args.map(String));
}

function contextFor(app: JupyterFrontEnd, api: IWorkbench, tr: Translate, runId: string, inCell = true): Context {
  return { tr, actions: actionsOf(api, app.commands, runId, inCell) };
}

const server: JupyterFrontEndPlugin<IWorkbench> = {
  id: "agent-workbench:server",
  description: "The calls of the workbench's server extension, and the engine's state.",
  autoStart: true,
  provides: IWorkbench,
  activate: (app) => {
    const style = document.createElement("style");
    style.textContent = `${runStyle}\n${labStyle}`;
    document.head.append(style);
    const api = new Workbench(app.serviceManager.serverSettings);
    const watch = async (): Promise<void> => {
      if (document.visibilityState === "visible") await api.refreshStatus();
      window.setTimeout(() => void watch(), STATUS_MS);
    };
    void app.restored.then(watch);
    return api;
  },
};

const panel: JupyterFrontEndPlugin<void> = {
  id: "agent-workbench:panel",
  description: "Runs in the main area: start, watch, steer, compare, export.",
  autoStart: true,
  requires: [IWorkbench],
  optional: [ICommandPalette, ILauncher, ILayoutRestorer, ISettingRegistry, IThemeManager, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    api: IWorkbench,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    restorer: ILayoutRestorer | null,
    settings: ISettingRegistry | null,
    themes: IThemeManager | null,
    translator: ITranslator | null,
  ) => {
    const tr = translateWith(translator);
    const { commands, shell } = app;
    const tracker = new WidgetTracker<MainAreaWidget<RunWidget>>({ namespace: "agent-workbench-runs" });
    let defaults = { ...DEFAULTS };
    void settings?.load("agent-workbench:panel").then((loaded) => {
      const read = (): void => {
        defaults = { ...DEFAULTS, ...(loaded.composite as Partial<Defaults>) };
      };
      read();
      loaded.changed.connect(read);
    });
    const run = (runId: string): RunPanel => new RunPanel({ tr, actions: null }, new EngineAwareTransport(api), runId);
    const current = (): RunWidget | null => (tracker.currentWidget && shell.currentWidget === tracker.currentWidget ? tracker.currentWidget.content : null);

    commands.addCommand("agent-workbench:new-run", {
      label: (args) => (args.isPalette ? tr("New run") : tr("Agent run")),
      caption: tr("Let several workers solve a task in one shared cache"),
      icon: (args) => (args.isPalette ? undefined : icon),
      execute: () => {
        const form = new MainAreaWidget({ content: new NewRun(tr, api, commands, defaults) });
        form.toolbar.hide();
        form.id = `agent-workbench-new-run-${Date.now()}`;
        form.title.label = tr("New run");
        form.title.icon = icon;
        form.content.disposed.connect(() => form.dispose());
        shell.add(form, "main");
        shell.activateById(form.id);
      },
    });
    commands.addCommand("agent-workbench:open-run", {
      label: tr("Open run"),
      execute: (args) => {
        const runId = String(args.runId ?? "");
        const there = tracker.find((widget) => widget.content.runId === runId);
        if (there) {
          if (args.again === true) there.content.again();
          shell.activateById(there.id);
          return there;
        }
        const content = new RunWidget(runId, contextFor(app, api, tr, runId, false), () => new EngineAwareTransport(api), themes);
        const widget = new MainAreaWidget({ content });
        widget.toolbar.hide();
        widget.id = `agent-workbench-run-${runId}-area`;
        void tracker.add(widget);
        shell.add(widget, "main", { activate: args.activate !== false });
        return widget;
      },
    });
    commands.addCommand("agent-workbench:compare-runs", {
      label: tr("Compare runs"),
      execute: (args) => {
        const [left, right] = [String(args.left), String(args.right)];
        const id = `agent-workbench-compare-${left}-${right}`;
        const content = new CompareWidget(tr, run(left), run(right), id, api.get(`runs/compare?a=${encodeURIComponent(left)}&b=${encodeURIComponent(right)}`));
        const widget = new MainAreaWidget({ content });
        widget.toolbar.hide();
        widget.id = `${id}-area`;
        shell.add(widget, "main");
        return widget;
      },
    });
    commands.addCommand("agent-workbench:export-run", {
      label: (args) => ({ html: tr("Export run as web page"), json: tr("Export run as OpenTelemetry trace") })[String(args.format)] ?? tr("Export run as notebook"),
      isEnabled: (args) => args.runId !== undefined || current() !== null,
      execute: async (args) => {
        const runId = String(args.runId ?? current()?.runId ?? "");
        try {
          const { path } = await api.post(`runs/${encodeURIComponent(runId)}/export`, { format: args.format ?? "ipynb" });
          await commands.execute("docmanager:open", { path });
        } catch (error) {
          Notification.error(tr("The run was not exported: %1", (error as Error).message), { autoClose: false });
        }
      },
    });
    const steering: [string, string, (widget: RunWidget) => void][] = [
      ["pause", tr("Pause or resume the run"), ({ panel: { steering: by, history } }) => void by.send(history.live.paused ? "resume" : "pause")],
      ["stop", tr("Stop the run"), (widget) => void widget.panel.steering.send("stop")],
      ["say", tr("Say something to the workers"), (widget) => widget.panel.steering.focusSaying()],
    ];
    for (const [name, label, work] of steering) {
      commands.addCommand(`agent-workbench:${name}`, {
        label,
        isEnabled: () => current()?.panel.history.live.status === "running",
        execute: () => {
          const widget = current();
          if (widget) work(widget);
        },
      });
    }
    const category = tr("Agent workbench");
    for (const command of ["new-run", "export-run", "pause", "stop", "say", "show-sidebar"]) {
      palette?.addItem({ command: `agent-workbench:${command}`, category, args: { isPalette: true } });
    }
    for (const format of ["html", "json"]) palette?.addItem({ command: "agent-workbench:export-run", category, args: { isPalette: true, format } });
    launcher?.add({ command: "agent-workbench:new-run", category, rank: 0, categoryRank: 10 });
    if (restorer) {
      void restorer.restore(tracker, {
        command: "agent-workbench:open-run",
        args: ({ content }) => ({ runId: content.runId, activate: false }),
        name: ({ content }) => content.runId,
      });
    }
  },
};

const sidebar: JupyterFrontEndPlugin<void> = {
  id: "agent-workbench:sidebar",
  description: "Runs, tools and concepts in the side bar.",
  autoStart: true,
  requires: [IWorkbench],
  optional: [ILayoutRestorer, ITranslator],
  activate: (app: JupyterFrontEnd, api: IWorkbench, restorer: ILayoutRestorer | null, translator: ITranslator | null) => {
    const tr = translateWith(translator);
    const widget = new SideBar(tr, api, app.commands);
    app.shell.add(widget, "left", { rank: 650 });
    restorer?.add(widget, widget.id);
    app.commands.addCommand("agent-workbench:show-sidebar", {
      label: tr("Show runs, tools and concepts"),
      execute: () => app.shell.activateById(widget.id),
    });
    const { runs } = widget;
    const selected: [string, string, () => void][] = [
      ["open-selected", tr("Open"), () => runs.open()],
      ["compare-selected", tr("Compare"), () => runs.compare()],
      ["export-selected", tr("Export as notebook"), () => void app.commands.execute("agent-workbench:export-run", { runId: runs.selected })],
      ["export-selected-page", tr("Export as web page"), () => void app.commands.execute("agent-workbench:export-run", { runId: runs.selected, format: "html" })],
      ["export-selected-trace", tr("Export as OpenTelemetry trace"), () => void app.commands.execute("agent-workbench:export-run", { runId: runs.selected, format: "json" })],
      ["delete-selected", tr("Delete"), () => void runs.delete()],
    ];
    for (const [name, label, execute] of selected) app.commands.addCommand(`agent-workbench:${name}`, { label, execute });
  },
};

const status: JupyterFrontEndPlugin<void> = {
  id: "agent-workbench:status",
  description: "The engine's state in the status bar.",
  autoStart: true,
  requires: [IWorkbench, IStatusBar],
  optional: [ITranslator],
  activate: (app: JupyterFrontEnd, api: IWorkbench, bar: IStatusBar, translator: ITranslator | null) => {
    const show = (): void => void app.commands.execute("agent-workbench:show-sidebar");
    bar.registerStatusItem("agent-workbench:engine", { item: new StatusItem(translateWith(translator), api, show), align: "left", rank: 20 });
  },
};

const widgets: JupyterFrontEndPlugin<void> = {
  id: "agent-workbench:widgets",
  description: "Lets a notebook's run widgets use this page's connection to the server.",
  autoStart: true,
  requires: [IWorkbench],
  optional: [ITranslator],
  activate: (app: JupyterFrontEnd, api: IWorkbench, translator: ITranslator | null) => {
    const tr = translateWith(translator);
    const page: PageWorkbench = {
      contextOf: (runId) => contextFor(app, api, tr, runId),
      transport: async (runId) => {
        await api.get(`runs/${encodeURIComponent(runId)}/log?since=0&limit=1`);
        return new EngineAwareTransport(api, false);
      },
    };
    Object.assign(globalThis, { agentWorkbench: page });
  },
};

const stored: JupyterFrontEndPlugin<void> = {
  id: "agent-workbench:stored-runs",
  description: "Shows the runs that notebooks carry or name.",
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [IWorkbench, ITranslator],
  activate: (app: JupyterFrontEnd, registry: IRenderMimeRegistry, api: IWorkbench | null, translator: ITranslator | null) => {
    const known: Server | null = api && {
      panel: async (runId, again) => {
        await api.get(`runs/${encodeURIComponent(runId)}/log?since=0&limit=1`);
        const { tr, actions } = contextFor(app, api, translateWith(translator), runId);
        return new RunPanel({ tr, actions: serverActions(actions!, actions!, again) }, new EngineAwareTransport(api), runId);
      },
      picture: (runId) => api.get(`runs/${encodeURIComponent(runId)}/picture`),
    };
    // Before the widget, which a page that is loaded anew has lost when its kernel was restarted.
    const shows = (to: IRenderMimeRegistry, widgets: IRenderMimeRegistry | null): void =>
      to.addFactory({ safe: true, mimeTypes: [RUN_TYPE], defaultRank: -20, createRenderer: () => new CellRun(known, widgets) }, -20);
    shows(registry, null);
    // A notebook has a registry of its own, with the widgets of its kernel.
    app.docRegistry.addWidgetExtension("Notebook", {
      createNew: ({ content }: any) => {
        if (content.rendermime) shows(content.rendermime, content.rendermime);
      },
    });
  },
};

export default [server, panel, sidebar, status, widgets, stored];
