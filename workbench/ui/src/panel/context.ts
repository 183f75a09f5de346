/** What every part of the panel needs to know of the place it stands in. */

/** Translate a sentence; `%1`, `%2` stand for the arguments. */
export type Translate = (text: string, ...args: (string | number)[]) => string;

export const english: Translate = (text, ...args) =>
  text.replace(/%(\d)/g, (_, number) => String(args[Number(number) - 1] ?? ""));

/** What a run is exported as: a notebook, a page, an OpenTelemetry trace. */
export type Format = "ipynb" | "html" | "json";

/** What can be done to a run from here; where nothing can, the panel only shows. */
export interface Actions {
  /** Commands of `runs/{id}/control`; the returned promise fails with one sentence. */
  steer(command: string, args?: { [name: string]: unknown }): Promise<unknown>;
  /** Which commands this place offers; the comm of a kernel has fewer than the server. */
  commands: ReadonlySet<string>;
  export?(format: Format): Promise<void>;
  open?(runId: string): void;
  /** The engine of the run's model. */
  restartEngine?(model: string): Promise<void>;
}

export interface Context {
  tr: Translate;
  actions: Actions | null;
  /** Steer, and tell the person if it was refused; the panel that stands here sets it. */
  send?(command: string, args?: { [name: string]: unknown }): void;
}

export const ALL_COMMANDS: ReadonlySet<string> = new Set([
  "stop", "pause", "resume", "step", "break_at", "remove_breakpoint", "say", "edit_say", "cancel_say", "approve", "reject", "add_worker",
  "retire_worker", "set_sampling",
]);

/** What the server does beside: new runs from old ones. */
export const SERVER_COMMANDS: ReadonlySet<string> = new Set([...ALL_COMMANDS, "fork", "resume_interrupted"]);

/**
 * A run in an engine's process is steered through the server, which answers also while the kernel is busy with a cell. One
 * that lives in the kernel is steered over its comm, wherever its events are read; only new runs are the server's. again:
 * called when an interrupted run goes on, so that its log is followed anew.
 */
export function serverActions(server: Actions, steering: Actions, again: () => void): Actions {
  const inEngine = steering === server;
  return {
    ...server,
    commands: SERVER_COMMANDS,
    restartEngine: inEngine ? server.restartEngine : undefined,
    steer: async (command, args) => {
      if (command !== "fork" && command !== "resume_interrupted") return steering.steer(command, args);
      const answer = await server.steer(command, args);
      if (command === "resume_interrupted") again();
      return answer;
    },
  };
}

export function can(context: Context, command: string): boolean {
  return context.actions?.commands.has(command) ?? false;
}

const STATES: { [state: string]: string } = {
  out_of_budget: "out of budget",
  timed_out: "timed out",
  not_executed: "not executed",
  asked: "waits for approval",
};

/** A state's name as a person reads it. */
export function stateName(tr: Translate, state: string): string {
  return tr(STATES[state] ?? state.replaceAll("_", " "));
}

/** A model as a person reads it: of a folder the last name. */
export function modelName(model: string): string {
  return model.startsWith("/") ? (model.split("/").filter(Boolean).at(-1) ?? model) : model;
}

export function plural(tr: Translate, count: number, one: string, many: string): string {
  return tr(count === 1 ? one : many, count.toLocaleString("en-US"));
}

/** 0.0003 s is not a time that a person reads. */
export function duration(seconds: number): string {
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return `${seconds.toFixed(1)} s`;
}

/** The colour class of an owner of blocks: a worker by its place, "prompt" and "history" by name. */
export function colourOf(owner: string, workers: readonly string[]): string {
  const at = workers.indexOf(owner);
  return at >= 0 ? `var(--wb-worker-${at % 8})` : owner === "prompt" ? "var(--wb-prompt)" : "var(--wb-history)";
}
