/**
 * The facts of a run as they come over the wire: one flat object each, with run_id, seq, time and kind.
 *
 * In: JSON that `workbench.events.to_json` wrote. Out: types for it. A kind that is not named here is carried and
 * passed over. Neighbours: `state` folds events, the transports bring them.
 */

export interface Envelope {
  run_id: string;
  seq: number;
  time: number;
  kind: string;
}

export interface WorkerTokens {
  worker: string;
  block: number;
  ids: number[];
  text: string;
}

export interface Item {
  item: number;
  question: string;
  answer?: string | null;
  worker?: string | null;
}

export interface Metrics {
  steps: number;
  wall_s: number;
  tokens_per_s: number;
  cache_tokens: number;
  calls: number;
}

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Fields = { [name: string]: Json };

export type RunEvent = Envelope & { [field: string]: any };
