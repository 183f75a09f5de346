/**
 * The server extension's stream: `runs/{id}/events?since=seq` over a WebSocket, and polling where there is none.
 *
 * In: how to open a socket and how to ask over HTTP (given by the place: JupyterLab's own settings and token). Out:
 * events in order, without gap and repeat, through any number of broken connections: each new one asks from the last
 * number that arrived. Waits between tries grow from 0.25 s to 8 s, with some chance in them. A run that was interrupted
 * is looked at now and then, because somebody may go on with it.
 */

import type { RunEvent } from "../core/events.ts";
import type { Receiver, Transport } from "./transport.ts";

export interface Wire {
  /** Open `runs/{id}/events?since=...`; throws where the browser has no WebSocket. */
  open(path: string): WebSocket;
  get(path: string): Promise<any>;
}

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8000;
const POLL_MS = 500;
const LOOK_MS = 3000;
/** Sockets that never open are given up for polling. */
const TRIES_BEFORE_POLLING = 3;

export class SocketTransport implements Transport {
  private socket: WebSocket | null = null;
  private timer = 0;
  private closed = false;
  private failures = 0;
  private everOpened = false;
  private receiver!: Receiver;

  constructor(private readonly wire: Wire) {}

  start(receiver: Receiver): void {
    this.receiver = receiver;
    this.connect();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  private connect(): void {
    if (this.closed) return;
    const { runId } = this.receiver;
    if (!this.everOpened && this.failures >= TRIES_BEFORE_POLLING) {
      void this.poll();
      return;
    }
    let socket: WebSocket;
    try {
      socket = this.wire.open(`runs/${encodeURIComponent(runId)}/events?since=${this.receiver.seq()}`);
    } catch {
      void this.poll();
      return;
    }
    this.socket = socket;
    let ended = false;
    socket.onmessage = (message) => {
      this.everOpened = true;
      this.failures = 0;
      ended = this.take(JSON.parse(message.data as string)) || ended;
    };
    socket.onclose = (event) => {
      if (this.socket === socket) this.socket = null;
      if (this.closed || ended) return;
      if (event.code === 4404 || event.code === 4403) {
        this.receiver.connection({ kind: "failed", message: event.reason });
        return;
      }
      this.again();
    };
  }

  /** Returns whether there is no more to come. */
  private take(frame: any): boolean {
    if (frame.frame === "hello") {
      if (frame.snapshot?.state) this.receiver.snapshot(frame.snapshot.state);
      this.receiver.connection({ kind: "live", steered: frame.steered });
    } else if (frame.frame === "events") {
      if (!this.receiver.events(frame.events as RunEvent[])) this.socket?.close();
    } else if (frame.frame === "engine" && frame.state === "dead") {
      this.receiver.connection({ kind: "dead" });
    } else if (frame.frame === "end") {
      if (frame.last_seq > this.receiver.seq()) return false;
      this.ended(frame.status);
      return true;
    }
    return false;
  }

  private ended(status: string): void {
    const finished = status !== "interrupted";
    this.receiver.connection({ kind: "ended", finished });
    if (!finished) this.timer = window.setTimeout(() => void this.look(), LOOK_MS);
  }

  /** Whether somebody goes on with a run that was interrupted. */
  private async look(): Promise<void> {
    try {
      const { runId } = this.receiver;
      const answer = document.hidden ? null : await this.wire.get(`runs/${encodeURIComponent(runId)}/log?since=${this.receiver.seq()}&limit=1`);
      if (this.closed) return;
      if (answer && (answer.live || answer.last_seq > this.receiver.seq())) return this.connect();
    } catch {
      if (this.closed) return;
    }
    this.timer = window.setTimeout(() => void this.look(), LOOK_MS);
  }

  private again(): void {
    this.failures += 1;
    this.receiver.connection({ kind: "lost" });
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.failures - 1));
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.connect(), wait * (0.75 + Math.random() / 2));
  }

  private async poll(): Promise<void> {
    let wait = POLL_MS;
    try {
      const { runId } = this.receiver;
      const answer = await this.wire.get(`runs/${encodeURIComponent(runId)}/log?since=${this.receiver.seq()}&limit=5000`);
      if (this.closed) return;
      this.receiver.connection({ kind: "live" });
      this.receiver.events(answer.events as RunEvent[]);
      const all = this.receiver.seq() >= answer.last_seq;
      if (all && !answer.live) {
        return this.ended(answer.status);
      }
      if (!all) wait = 0;
    } catch {
      if (this.closed) return;
      this.receiver.connection({ kind: "lost" });
      wait = 4 * POLL_MS;
    }
    this.timer = window.setTimeout(() => void this.poll(), wait);
  }
}
