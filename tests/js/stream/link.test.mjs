import assert from "node:assert/strict";
import test from "node:test";
import { Link } from "../../../assets/lib/stream/link.mjs";
import { SseShare } from "../../../assets/lib/stream/sse-share.mjs";
import { Store } from "../../../assets/lib/series/store.mjs";
import { apply } from "../../../assets/lib/stream/wire.mjs";
import { T0, meta, stored } from "../helpers.mjs";

/** A browser of fakes: sockets and streams are kept, timers fire by hand, answers to fetch come from `status`. */
function browser({ tabs = null } = {}) {
  const world = { sockets: [], sources: tabs?.sources ?? [], posts: [], timers: new Map(), nowMs: 0, status: 200, timerId: 0 };
  world.fire = () => {
    const due = [...world.timers.values()];
    world.timers.clear();
    due.forEach((act) => act());
  };
  const timer = {
    setTimer: (act) => (world.timers.set((world.timerId += 1), act), world.timerId),
    clearTimer: (id) => world.timers.delete(id),
  };
  world.io = {
    ...timer,
    now: () => world.nowMs,
    openSocket(url) {
      const socket = { url, sent: [], readyState: 1, send: (text) => socket.sent.push(JSON.parse(text)), close: () => (socket.closed = true) };
      world.sockets.push(socket);
      return socket;
    },
    async fetch(url, options = {}) {
      if (options.method === "POST") world.posts.push([url, JSON.parse(options.body)]);
      if (world.status === 0) throw new TypeError("no answer");
      return { status: world.status };
    },
    makeShare: (on) =>
      new SseShare(
        {
          ...timer,
          locks: tabs?.locks ?? null,
          tab: tabs?.name ?? "only",
          makeChannel: tabs?.makeChannel ?? (() => ({ postMessage() {}, close() {} })),
          makeSource(url) {
            const source = { url, close: () => (source.closed = true) };
            world.sources.push(source);
            return source;
          },
        },
        on,
      ),
  };
  return world;
}

/** A page on that browser: link and store, as live.mjs joins them. */
function page(world) {
  const store = new Store();
  const changes = [];
  const wish = { rate_hz: 60, tables: [] };
  const link = new Link(world.io, {
    token: "page-token",
    on: { message: (m) => apply(store, m), change: () => changes.push(`${link.phase} ${link.way}`) },
    resume: () => ({ boot: store.boot, since: store.seq }),
    wish: () => wish,
  });
  return { link, store, changes, wish };
}

const hello = (more = {}) => ({ type: "hello", version: 1, boot: "a", client: "c7", now_ms: T0, series: [meta(1, "x.y")], resumed: false, ...more });
const frame = (seq, value) => ({ type: "frame", seq, t: T0 + seq * 10, v: [[1, 0, value]] });
const say = (way, message) => way.onmessage({ data: JSON.stringify(message) });
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("it greets with token, rate and watch, and is live when it is greeted", () => {
  const world = browser();
  const { link, changes } = page(world);
  link.start();
  const [socket] = world.sockets;
  assert.equal(socket.url, "/ws");
  socket.onopen();
  assert.deepEqual(socket.sent, [{ type: "hello", version: 1, token: "page-token", rate_hz: 60, watch: { series: null, tables: [] } }]);
  say(socket, hello());
  assert.deepEqual(changes, ["opening null", "live ws"]);
  assert.equal(link.send({ type: "ping", id: 1, client_ms: 2 }), true);
  assert.equal(socket.sent.at(-1).type, "ping");
});

test("a table that comes into view while the greeting is under way is asked for when it has arrived", () => {
  const world = browser();
  const { link, wish } = page(world);
  link.start();
  const [socket] = world.sockets;
  socket.onopen();
  wish.tables = ["processes"];
  link.want();
  assert.equal(socket.sent.length, 1, "nothing but the greeting is said before the answer");
  say(socket, hello());
  assert.deepEqual(socket.sent.slice(1), [{ type: "watch", series: null, tables: ["processes"] }]);
});

test("a killed WebSocket is resumed where it was", () => {
  const world = browser();
  const { link, store } = page(world);
  link.start();
  world.sockets[0].onopen();
  say(world.sockets[0], hello());
  for (const seq of [1, 2, 3]) say(world.sockets[0], frame(seq, seq));
  world.sockets[0].onclose({ code: 1006 });
  world.sockets[1].onopen();
  assert.deepEqual([world.sockets[1].sent[0].boot, world.sockets[1].sent[0].since], ["a", 3]);
  say(world.sockets[1], hello({ resumed: true }));
  for (const seq of [3, 4]) say(world.sockets[1], frame(seq, seq));
  assert.deepEqual(stored(store.tracks.get("x.y")), [[10, 1], [20, 2], [30, 3], [40, 4]]);
  assert.deepEqual([store.counters.duplicates, store.counters.overlaps], [0, 1]);
});

test("killed twice: SSE takes over from the same place, and gives back to the WebSocket, without gap or duplicate", async () => {
  const world = browser();
  const { link, store } = page(world);
  link.start();
  say(world.sockets[0], hello());
  say(world.sockets[0], frame(1, 1));
  world.sockets[0].onclose({ code: 1006 });
  say(world.sockets[1], hello({ resumed: true }));
  say(world.sockets[1], frame(2, 2));
  world.sockets[1].onclose({ code: 1006 });
  await settle();
  const [stream] = world.sources;
  assert.equal(stream.url, "/sse?rate_hz=60&last_event_id=a%3A2");
  say(stream, hello({ resumed: true }));
  say(stream, frame(3, 3));
  assert.equal(link.way, "sse");
  world.fire(); // time to look for the WebSocket again
  say(stream, frame(4, 4));
  say(world.sockets[2], hello({ resumed: true }));
  assert.deepEqual([link.way, stream.closed], ["ws", true]);
  say(world.sockets[2], frame(4, 4));
  say(world.sockets[2], frame(5, 5));
  assert.deepEqual(stored(store.tracks.get("x.y")).map(([, v]) => v), [1, 2, 3, 4, 5]);
});

test("on SSE what the page says is posted under its name, rate and tables too", async () => {
  const world = browser();
  const { link, wish } = page(world);
  link.start();
  world.sockets[0].onclose({ code: 1006 });
  await settle();
  say(world.sources[0], hello());
  link.send({ type: "ping", id: 3, client_ms: 4 });
  assert.deepEqual(world.posts.at(-1), ["/sse/c7", { type: "ping", id: 3, client_ms: 4 }]);
  Object.assign(wish, { rate_hz: 1, tables: ["processes"] });
  link.want();
  assert.deepEqual(world.posts.slice(-2).map(([, m]) => m), [
    { type: "rate", rate_hz: 1 },
    { type: "watch", series: null, tables: ["processes"] },
  ]);
});

test("a server that is gone is waited for; 401 says that the session has ended", async () => {
  const world = browser();
  const { link } = page(world);
  world.status = 0;
  link.start();
  world.sockets[0].onclose({ code: 1006 });
  await settle();
  assert.equal(link.phase, "waiting");
  world.status = 401;
  world.fire();
  world.sockets[1].onclose({ code: 1006 });
  await settle();
  assert.equal(link.phase, "ended");
  assert.match(link.ended, /--open/);
});

test("a stream that falls silent is taken for dead", () => {
  const world = browser();
  const { link } = page(world);
  link.start();
  say(world.sockets[0], hello());
  world.nowMs = 5_000;
  link.tick();
  assert.equal(link.phase, "live");
  world.nowMs = 7_000;
  link.tick();
  assert.equal(world.sockets[0].closed, true);
  assert.equal(world.sockets.length, 2);
});

test("a message that makes no sense is counted and changes nothing", () => {
  const world = browser();
  const { link, store } = page(world);
  link.start();
  say(world.sockets[0], hello());
  world.sockets[0].onmessage({ data: '{"type":"frame"}' });
  assert.equal(link.bad, 1);
  assert.equal(store.counters.frames, 0);
});

/** Tabs of one browser: a lock that passes on, a channel that all others hear. */
function tabsOf(names) {
  const queue = [];
  const channels = [];
  const sources = [];
  const grant = () => {
    if (queue[0] && !queue[0].held) {
      queue[0].held = true;
      Promise.resolve(queue[0].act()).then(() => {
        queue.shift();
        grant();
      });
    }
  };
  return names.map((name) => ({
    name,
    sources,
    locks: {
      request: (_lock, _options, act) =>
        new Promise(() => {
          queue.push({ act });
          grant();
        }),
    },
    makeChannel() {
      const channel = {
        postMessage: (data) => channels.filter((c) => c !== channel).forEach((c) => c.onmessage({ data: structuredClone(data) })),
        close: () => channels.splice(channels.indexOf(channel), 1),
      };
      channels.push(channel);
      return channel;
    },
  }));
}

test("two tabs read one stream, and the second takes it over when the first leaves", async () => {
  const worlds = tabsOf(["first", "second"]).map((tabs) => browser({ tabs }));
  const pages = worlds.map(page);
  for (const [i, world] of worlds.entries()) {
    pages[i].link.start();
    world.sockets[0].onclose({ code: 1006 });
    await settle();
    const { sources } = world;
    if (i === 0) {
      assert.equal(sources.length, 1);
      say(sources[0], hello());
    }
  }
  const { sources } = worlds[0];
  [...worlds[0].timers.values()].forEach((act) => act()); // the leader opens anew, so that the second hears the whole story
  const stream = sources.findLast((s) => !s.closed);
  const posts = worlds[0].posts.length;
  pages[0].link.send({ type: "ping", id: 1, client_ms: 1 }); // the old stream has ended, the new one has not greeted
  assert.equal(worlds[0].posts.length, posts);
  say(stream, hello());
  say(stream, { type: "snapshot", seq: 4, t0: T0, step_ms: 10, series: { 1: [9] } });
  say(stream, frame(5, 5));
  for (const { store, link } of pages) {
    assert.equal(link.way, "sse");
    assert.deepEqual(stored(store.tracks.get("x.y")), [[0, 9], [50, 5]]);
  }
  assert.equal(sources.filter((s) => !s.closed).length, 1);

  Object.assign(pages[1].wish, { tables: ["threads"] });
  pages[1].link.want();
  assert.deepEqual(worlds[0].posts.at(-1)[1], { type: "watch", series: null, tables: ["threads"] });

  pages[0].link.stop();
  assert.equal(pages[1].link.client, null);
  await settle();
  const open = sources.filter((s) => !s.closed);
  assert.equal(open.length, 1);
  say(open[0], hello({ resumed: true }));
  say(open[0], frame(6, 6));
  assert.equal(pages[1].store.tracks.get("x.y").last, 6);
});
