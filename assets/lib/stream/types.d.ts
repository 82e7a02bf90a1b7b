/** What the connection is made of: the transport's states and events, and what it needs of the browser. */

import type { Message, Place, Wish } from "./messages";

export type Way = "ws" | "sse";

export interface TransportState {
  phase: "idle" | "opening" | "live" | "waiting" | "ended";
  way: Way | null; // where messages are taken from
  ws: "closed" | "opening" | "open";
  sse: "closed" | "opening" | "open";
  deaths: number[]; // when a live WebSocket died
  failures: number; // attempts in a row that failed
  returns: number; // attempts to come back from SSE to WebSocket
  why: Ending | null; // of an end: "session" (not known to the server) or "version" (another protocol)
  tried: Way | null; // what failed last
}

export type Ending = "session" | "version";

export interface TransportEvent {
  type: "start" | "stop" | "wake" | "ws-hello" | "sse-hello" | "ws-down" | "sse-down" | "probe" | "timer";
  code?: number;
  status?: number;
}

export type Effect = { do: "open-ws" | "close-ws" | "open-sse" | "close-sse" | "probe" } | { do: "timer"; ms: number };

/** A timer's name: a number in a browser, an object in Node. */
export type Timer = ReturnType<typeof setTimeout>;

export interface Timers {
  setTimer(act: () => void, ms: number): Timer;
  clearTimer(timer: Timer | undefined): void;
}

export interface Socket {
  readonly readyState: number;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent<string>) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(text: string): void;
  close(): void;
}

export interface Channel {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}

export interface Source {
  readonly readyState: number;
  onmessage: ((event: MessageEvent<string>) => void) | null;
  onerror: ((event: Event) => void) | null;
  close(): void;
}

/** The events of a shared stream. */
export interface ShareListener {
  message(text: string): void;
  down(): void;
  renew(): void;
  wishes(wish: Wish): void;
}

/** What a shared stream needs of the browser. */
export interface ShareIo extends Partial<Timers> {
  locks: LockManager | null;
  makeChannel(name: string): Channel;
  makeSource(url: string): Source;
  tab: string;
}

export interface Share {
  open(url: string, fresh?: string): void;
  want(wish: Wish | null): void;
  close(): void;
}

/** What a link needs of the browser. */
export interface LinkIo extends Timers {
  openSocket(path: string): Socket;
  fetch(url: string, options?: RequestInit): Promise<{ status: number }>;
  now(): number;
  makeShare(on: ShareListener): Share;
}

/**
 * What a link is told: the session's token, whom to tell of messages and changes, where to go on from, what is wanted.
 */
export interface LinkOptions {
  token: string;
  on: { message(message: Message, receivedMs: number, way: Way): void; change(): void };
  resume(): Place;
  wish(): Wish;
}

/** What tabs say to one another about the stream that they share. */
export type Heard =
  | { kind: "message"; text: string }
  | { kind: "down" | "renew" | "join" | "who" }
  | { kind: "want"; tab: string; wish: Wish | null };
