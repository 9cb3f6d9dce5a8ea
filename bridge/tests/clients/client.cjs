// nats.js against a server, step by step: each step that went well is named on standard output.
//
// Its one argument is JSON: `users` and `token_server` are addresses of two servers, the other fields what they let
// in. Where the server is to be restarted it says so, and waits for a line on standard input.
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { connect, headers, nanos, nkeyAuthenticator, wsconnect } = require("@nats-io/transport-node");
const { AckPolicy, jetstream, jetstreamManager } = require("@nats-io/jetstream");
const { Kvm } = require("@nats-io/kv");
const { Objm } = require("@nats-io/obj");

const given = JSON.parse(process.argv[2]);
const WAIT = 10_000; // milliseconds, for what takes few
const bytes = (text) => new TextEncoder().encode(text);
const signer = (seed) => nkeyAuthenticator(bytes(seed));
let nc, js, manager;

/** The server refuses these credentials. */
async function refused(options) {
  const attempt = connect({ reconnect: false, timeout: WAIT, ...options });
  await assert.rejects(attempt, /authorization violation/i);
}

async function accepted(options) {
  const client = await connect({ timeout: WAIT, ...options });
  await client.flush();
  await client.close();
}

async function eventually(what, holds) {
  const end = Date.now() + WAIT;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The first `count` of an iterator, which is ended with that. */
async function take(iterator, count) {
  const taken = [];
  for await (const item of iterator) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}

async function all(iterator) {
  const taken = [];
  for await (const item of iterator) taken.push(item);
  return taken;
}

/** Calls the JetStream API, which fails with this code. */
async function fails(call, code) {
  await assert.rejects(call, (error) => error.code === code || assert.fail(error));
}

const steps = {
  async connect() {
    nc = await connect({
      servers: given.users,
      user: given.user,
      pass: given.password,
      timeout: WAIT,
      reconnectTimeWait: 50,
      maxReconnectAttempts: -1,
    });
    assert.equal(nc.info.max_payload, 1024 * 1024);
    assert.equal(nc.info.headers, true);
    js = jetstream(nc, { timeout: WAIT });
    manager = await jetstreamManager(nc, { timeout: WAIT });
    await nc.flush();
  },

  async token() {
    await accepted({ servers: given.token_server, token: given.token });
    await refused({ servers: given.token_server, token: "another" });
    await refused({ servers: given.token_server });
  },

  async password() {
    await refused({ servers: given.users, user: given.user, pass: "another" });
    await refused({ servers: given.users, user: "another", pass: given.password });
  },

  async nkey() {
    await accepted({ servers: given.users, authenticator: signer(given.seed) });
    await refused({ servers: given.users, authenticator: signer(given.other_seed) });
  },

  async websocket() {
    const login = { servers: given.websocket, user: given.user, timeout: WAIT };
    const client = await wsconnect({ ...login, pass: given.password });
    const double = (_error, message) => message.respond(Buffer.concat([message.data, message.data]));
    client.subscribe("js.websocket", { callback: double });
    await client.flush();
    for (const size of [0, 1, 500_000]) {
      const answer = await nc.request("js.websocket", "x".repeat(size), { timeout: WAIT });
      assert.equal(answer.string(), "x".repeat(2 * size));
    }
    await client.close();
    const attempt = wsconnect({ ...login, pass: "another", reconnect: false });
    await assert.rejects(attempt, /authorization violation/i);
    // nats.js reconnects every client in the way of the last that connected.
    await accepted({ servers: given.users, user: given.user, pass: given.password });
  },

  async request() {
    await assert.rejects(nc.request("js.double", "1", { timeout: WAIT }), /no responders/i);
    const double = (_error, message) => message.respond(Buffer.concat([message.data, message.data]));
    const service = nc.subscribe("js.double", { callback: double });
    for (const size of [0, 1, 500_000]) {
      const answer = await nc.request("js.double", "x".repeat(size), { timeout: WAIT });
      assert.equal(answer.string(), "x".repeat(2 * size));
    }
    service.unsubscribe();
    const inbox = nc.subscribe("js.headers", { max: 1 });
    const told = headers();
    told.append("Film", "Alien");
    told.append("Film", "Brazil");
    nc.publish("js.headers", "", { headers: told });
    const [message] = await take(inbox, 1);
    assert.deepEqual(message.headers.values("Film"), ["Alien", "Brazil"]);
  },

  async queues() {
    const got = [[], []];
    const members = got.map((mine) => {
      const callback = (_error, message) => mine.push(message.json());
      return nc.subscribe("js.work.*", { queue: "workers", callback });
    });
    for (let number = 0; number < 200; number++) nc.publish("js.work.now", `${number}`);
    await eventually("all messages came", () => got[0].length + got[1].length >= 200);
    const sorted = got.flat().sort((one, other) => one - other);
    assert.deepEqual(sorted, Array.from({ length: 200 }, (_, number) => number));
    assert.ok(got[0].length > 0 && got[1].length > 0, "both members have some");
    members.forEach((member) => member.unsubscribe());
  },

  async streams() {
    const { streams } = manager;
    const made = await streams.add({ name: "JS", subjects: ["js.films.>"] });
    assert.equal(made.state.messages, 0);
    assert.equal(await streams.find("js.films.added"), "JS");
    const first = await js.publish("js.films.added", "1", { msgID: "one" });
    const again = await js.publish("js.films.added", "1", { msgID: "one" });
    assert.deepEqual([first.seq, first.duplicate, again.seq, again.duplicate], [1, false, 1, true]);
    await fails(js.publish("js.films.added", "", { expect: { lastSequence: 7 } }), 10071);
    for (let number = 2; number <= 20; number++) {
      assert.equal((await js.publish("js.films.edited", `${number}`)).seq, number);
    }
    assert.equal((await streams.getMessage("JS", { seq: 3 })).string(), "3");
    assert.equal((await streams.getMessage("JS", { last_by_subj: "js.films.edited" })).seq, 20);
    await streams.deleteMessage("JS", 20);
    assert.equal(await streams.getMessage("JS", { seq: 20 }), null);
    await streams.purge("JS", { filter: "js.films.edited", keep: 9 });
    await streams.update("JS", { max_msgs: 1000 });
    const info = await streams.info("JS", { subjects_filter: ">" });
    assert.deepEqual([info.config.max_msgs, info.state.messages], [1000, 10]);
    assert.deepEqual(info.state.subjects, { "js.films.added": 1, "js.films.edited": 9 });
    await fails(streams.info("NONE"), 10059);
    assert.ok((await manager.getAccountInfo()).streams >= 1);
  },

  async pull() {
    await manager.consumers.add("JS", { durable_name: "puller", ack_policy: AckPolicy.Explicit });
    const consumer = await js.consumers.get("JS", "puller");
    const messages = await all(await consumer.fetch({ max_messages: 4, expires: WAIT }));
    assert.deepEqual(messages.map((message) => message.info.deliverySequence), [1, 2, 3, 4]);
    messages[0].ack();
    assert.ok(await messages[1].ackAck({ timeout: WAIT }));
    messages[2].nak();
    messages[3].term("of no use");
    const seen = new Set();
    const consuming = await consumer.consume({ max_messages: 7 });
    for await (const message of consuming) {
      const redelivered = message.seq === messages[2].seq;
      assert.equal(message.info.deliveryCount, redelivered ? 2 : 1);
      seen.add(message.seq);
      assert.ok(await message.ackAck({ timeout: WAIT }));
      if (seen.size === 7) break;
    }
    await consuming.close();
    const info = await consumer.info();
    assert.deepEqual([info.num_pending, info.num_ack_pending], [0, 0]);
    assert.equal(await consumer.next({ expires: 1000 }), null);
    assert.ok(await consumer.delete());
    const ordered = await js.consumers.get("JS");
    const sequences = (await take(await ordered.consume(), 10)).map((message) => message.seq);
    assert.deepEqual(sequences, [...sequences].sort((one, other) => one - other));
  },

  async push() {
    await manager.consumers.add("JS", {
      durable_name: "pusher",
      deliver_subject: "js.delivered",
      ack_policy: AckPolicy.Explicit,
      idle_heartbeat: nanos(1000),
      flow_control: true,
    });
    const consumer = await js.consumers.getPushConsumer("JS", "pusher");
    const messages = await consumer.consume();
    let delivered = 0;
    for await (const message of messages) {
      assert.ok(await message.ackAck({ timeout: WAIT }));
      delivered++;
      if (delivered < 10) continue;
      const info = await consumer.info();
      assert.deepEqual([info.push_bound, info.num_ack_pending], [true, 0]);
      break;
    }
    const ordered = await js.consumers.getPushConsumer("JS");
    const sequences = (await take(await ordered.consume(), 10)).map((message) => message.seq);
    assert.equal(new Set(sequences).size, 10);
  },

  async "key-value"() {
    const bucket = await new Kvm(js).create("js_films", { history: 5 });
    assert.equal(await bucket.create("alien", "1979"), 1);
    await fails(bucket.create("alien", "1980"), 10071);
    assert.equal(await bucket.update("alien", "1986", 1), 2);
    await fails(bucket.update("alien", "", 1), 10071);
    assert.equal(await bucket.put("brazil", "1985"), 3);
    const entry = await bucket.get("alien");
    assert.deepEqual([entry.string(), entry.revision], ["1986", 2]);
    assert.equal((await bucket.get("alien", { revision: 1 })).string(), "1979");
    const watching = await bucket.watch();
    const source = watching[Symbol.asyncIterator]();
    const seen = [(await source.next()).value.key, (await source.next()).value.key];
    assert.deepEqual(seen.sort(), ["alien", "brazil"]);
    await bucket.delete("brazil");
    assert.equal((await source.next()).value.operation, "DEL");
    watching.stop();
    assert.equal((await bucket.get("brazil")).operation, "DEL");
    assert.deepEqual(await all(await bucket.keys()), ["alien"]);
    assert.equal((await all(await bucket.history({ key: "alien" }))).length, 2);
    await bucket.purge("alien");
    assert.equal((await all(await bucket.history({ key: "alien" }))).length, 1);
    assert.ok(await bucket.destroy());
  },

  async "object-store"() {
    const store = await new Objm(js).create("js_covers");
    const cover = Uint8Array.from({ length: 300_000 }, (_, place) => place % 251);
    const info = await store.putBlob({ name: "alien.png" }, cover);
    assert.deepEqual([info.size, info.chunks], [300_000, 3]);
    assert.deepEqual(Uint8Array.from(await store.getBlob("alien.png")), cover);
    await store.putBlob({ name: "alien.png" }, bytes("smaller"));
    assert.deepEqual(Uint8Array.from(await store.getBlob("alien.png")), bytes("smaller"));
    assert.deepEqual((await store.list()).map((entry) => entry.name), ["alien.png"]);
    await store.delete("alien.png");
    assert.equal(await store.getBlob("alien.png"), null);
    assert.ok(await store.destroy());
  },

  async reconnect() {
    const messages = nc.subscribe("js.again", { max: 1 });
    await manager.consumers.add("JS", { durable_name: "survivor", ack_policy: AckPolicy.Explicit });
    const consumer = await js.consumers.get("JS", "survivor");
    for await (const message of await consumer.fetch({ max_messages: 4, expires: WAIT })) {
      assert.ok(await message.ackAck({ timeout: WAIT }));
    }
    const back = new Promise((resolve, reject) => {
      (async () => {
        for await (const status of nc.status()) {
          if (status.type === "reconnect") return resolve();
        }
        reject(new Error("closed for good"));
      })();
    });
    console.log("RESTART");
    await once(process.stdin, "data");
    process.stdin.pause();
    await back;
    nc.publish("js.again", "here");
    assert.equal((await take(messages, 1))[0].string(), "here");
    const info = await consumer.info();
    assert.deepEqual([info.num_pending, info.num_ack_pending], [6, 0]);
    const rest = await all(await consumer.fetch({ max_messages: 6, expires: WAIT }));
    assert.equal(rest.length, 6);
    const again = await js.publish("js.films.added", "1", { msgID: "one" });
    assert.deepEqual([again.seq, again.duplicate], [1, true]);
    assert.ok(await manager.streams.delete("JS"));
    await nc.drain();
  },
};

async function main() {
  for (const [name, step] of Object.entries(steps)) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${name} took too long`)), 3 * WAIT);
    });
    await Promise.race([step(), late]);
    clearTimeout(timer);
    console.log(`ok ${name}`);
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
