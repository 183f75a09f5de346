/**
 * The server extension's calls, as functions.
 *
 * In: JupyterLab's connection settings (base URL, token, XSRF cookie). Out: typed answers, or an `ApiError` whose message
 * is the server's one sentence. What changes something carries an idempotency key and is asked again once if the
 * connection broke. Neighbours: `transport/socket` takes `wire` from here, the panels and the side bar take the rest.
 */

import { URLExt } from "@jupyterlab/coreutils";
import { ServerConnection } from "@jupyterlab/services";
import { Token, UUID } from "@lumino/coreutils";
import { Signal, type ISignal } from "@lumino/signaling";
import type { Wire } from "../transport/socket.ts";

export interface EngineStatus {
  state: "absent" | "starting" | "ready" | "busy" | "dead";
  pid?: number | null;
  model?: string | null;
  device?: string | null;
  dtype?: string | null;
  memory_bytes?: number | null;
  error?: string | null;
}

export interface Status {
  version: string;
  /** The one to be shown first. */
  engine: EngineStatus;
  /** All that are there, that one first. */
  engines: EngineStatus[];
}

export interface RunRow {
  run_id: string;
  status: string;
  task: string;
  model: string;
  layout: string;
  workers: number | string[];
  started_at: number;
  wall_s: number | null;
  tokens: number | null;
  answer: string | null;
  parent: string | { run_id: string } | null;
  live: boolean;
}

/** Solve rates with and without a row, from runs that were played both ways. */
export interface Effect {
  cases: number;
  rate_with: number;
  rate_without: number;
  difference: number;
  interval: number[];
  verdict: string;
}

export interface LibraryRow {
  id: string;
  kind: string;
  name: string;
  state: string;
  version: number;
  tags: string[];
  summary: string;
  usage?: { [name: string]: number } | null;
  helped?: Effect | null;
  why?: { view?: string; exemplar?: string; score?: number } | null;
}

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

export interface IWorkbench {
  readonly status: Status | null;
  readonly statusChanged: ISignal<IWorkbench, Status | null>;
  /** Something about the runs has changed by what was done here; lists ask again. */
  readonly runsChanged: ISignal<IWorkbench, void>;
  readonly wire: Wire;
  get<Answer = any>(path: string): Promise<Answer>;
  post<Answer = any>(path: string, body: object): Promise<Answer>;
  delete(path: string): Promise<void>;
  refreshStatus(): Promise<Status | null>;
  announceRuns(): void;
}

export const IWorkbench = new Token<IWorkbench>("agent-workbench:IWorkbench", "The workbench's server: runs, engine, libraries.");

export class Workbench implements IWorkbench {
  status: Status | null = null;
  readonly statusChanged: Signal<IWorkbench, Status | null> = new Signal<IWorkbench, Status | null>(this);
  readonly runsChanged: Signal<IWorkbench, void> = new Signal<IWorkbench, void>(this);

  constructor(private readonly settings: ServerConnection.ISettings) {}

  readonly wire: Wire = {
    open: (path) => {
      const url = URLExt.join(this.settings.wsUrl, "workbench/api", path.split("?")[0]);
      const query = new URLSearchParams(path.split("?")[1] ?? "");
      if (this.settings.appendToken && this.settings.token) query.set("token", this.settings.token);
      return new this.settings.WebSocket(`${url}?${query}`);
    },
    get: (path) => this.get(path),
  };

  get<Answer>(path: string): Promise<Answer> {
    return this.ask(path, { method: "GET" });
  }

  async post<Answer>(path: string, body: object): Promise<Answer> {
    const init = {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "Idempotency-Key": UUID.uuid4(), "Content-Type": "application/json" },
    };
    try {
      return await this.ask<Answer>(path, init);
    } catch (error) {
      // The same key again: if the first request did arrive, this only brings its answer.
      if (error instanceof ServerConnection.NetworkError) return this.ask<Answer>(path, init);
      throw error;
    }
  }

  async delete(path: string): Promise<void> {
    await this.ask(path, { method: "DELETE" });
  }

  async refreshStatus(): Promise<Status | null> {
    let status: Status | null = null;
    try {
      status = await this.get<Status>("status");
    } catch {
      status = null;
    }
    if (JSON.stringify(status) !== JSON.stringify(this.status)) {
      this.status = status;
      this.statusChanged.emit(status);
    }
    return status;
  }

  announceRuns(): void {
    this.runsChanged.emit();
  }

  private async ask<Answer>(path: string, init: RequestInit): Promise<Answer> {
    const [place, query] = path.split("?");
    const url = URLExt.join(this.settings.baseUrl, "workbench/api", place) + (query ? `?${query}` : "");
    const response = await ServerConnection.makeRequest(url, { cache: "no-store", ...init }, this.settings);
    const text = await response.text();
    let answer: any = null;
    try {
      answer = text ? JSON.parse(text) : null;
    } catch {
      // an error page of something in between
    }
    if (!response.ok) {
      const missing = response.status === 404 && !answer?.code;
      const fallback = missing ? "The Jupyter server does not know this request: its part of the workbench is missing or older than this page." : response.statusText;
      throw new ApiError(answer?.message || fallback, response.status);
    }
    return answer as Answer;
  }
}
