"""nats-py against a server, step by step: each step that went well is named on standard output.

Its one argument is JSON: `users` and `token` are addresses of two servers, the other fields what they let in.
Where the server is to be restarted it says so, and waits for a line on standard input.
"""

import asyncio
import json
import sys

import nats
from nats.errors import NoRespondersError
from nats.js import errors as js_errors
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

GIVEN = json.loads(sys.argv[1])
WAIT = 10  # seconds, for what takes milliseconds


async def refused(**options):
    """The server refuses these credentials."""

    async def ignore(_error):
        pass

    try:
        client = await nats.connect(
            allow_reconnect=False, connect_timeout=WAIT, error_cb=ignore, **options
        )
    except (nats.errors.Error, OSError) as error:
        assert "authorization violation" in str(error).lower(), error
        return
    await client.close()
    raise AssertionError("the server let it in")


async def fails(kind, call, code=None):
    """The call fails with this error."""
    try:
        await call
    except kind as error:
        if code is not None:
            assert error.err_code == code, error
        return error
    raise AssertionError(f"no {kind.__name__}")


async def eventually(what, holds):
    for _ in range(WAIT * 20):
        if await holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited in vain until {what}")


class Steps:
    def __init__(self):
        self.back = asyncio.Event()

    async def open(self):
        async def reconnected():
            self.back.set()

        self.nc = await nats.connect(
            GIVEN["users"],
            user=GIVEN["user"],
            password=GIVEN["password"],
            reconnect_time_wait=0.05,
            max_reconnect_attempts=-1,
            reconnected_cb=reconnected,
        )
        self.js = self.nc.jetstream(timeout=WAIT)

    async def connect(self):
        await self.open()
        assert self.nc.max_payload == 1024 * 1024, self.nc.max_payload
        assert self.nc.connected_server_version.major == 2
        await self.nc.flush(timeout=WAIT)

    async def token(self):
        client = await nats.connect(GIVEN["token_server"], token=GIVEN["token"])
        await client.flush(timeout=WAIT)
        await client.close()
        await refused(servers=GIVEN["token_server"], token="another")
        await refused(servers=GIVEN["token_server"])

    async def password(self):
        await refused(servers=GIVEN["users"], user=GIVEN["user"], password="another")
        await refused(servers=GIVEN["users"], user="another", password=GIVEN["password"])

    async def nkey(self):
        client = await nats.connect(GIVEN["users"], nkeys_seed_str=GIVEN["seed"])
        await client.flush(timeout=WAIT)
        await client.close()
        await refused(servers=GIVEN["users"], nkeys_seed_str=GIVEN["other_seed"])

    async def websocket(self):
        login = {"servers": GIVEN["websocket"], "user": GIVEN["user"]}
        client = await nats.connect(password=GIVEN["password"], **login)

        async def double(message):
            await message.respond(message.data * 2)

        await client.subscribe("py.websocket", cb=double)
        await client.flush(timeout=WAIT)
        for size in [0, 1, 500_000]:
            answer = await self.nc.request("py.websocket", b"x" * size, timeout=WAIT)
            assert answer.data == b"x" * (2 * size)
        await client.close()
        await refused(password="another", **login)

    async def request(self):
        await fails(NoRespondersError, self.nc.request("py.double", b"1", timeout=WAIT))

        async def double(message):
            await message.respond(message.data * 2)

        subscription = await self.nc.subscribe("py.double", cb=double)
        for size in [0, 1, 500_000]:
            answer = await self.nc.request(
                "py.double", b"x" * size, timeout=WAIT, headers={"Kind": "test"}
            )
            assert answer.data == b"x" * size * 2
        await subscription.unsubscribe()
        inbox = await self.nc.subscribe("py.headers")
        await self.nc.publish("py.headers", b"", headers={"Film": "Alien"})
        message = await inbox.next_msg(timeout=WAIT)
        assert message.headers["Film"] == "Alien", message.headers
        await inbox.unsubscribe()

    async def queues(self):
        got = ([], [])

        def member(number):
            async def take(message):
                got[number].append(int(message.data))

            return take

        for number in (0, 1):
            await self.nc.subscribe("py.work.*", "workers", cb=member(number))
        for number in range(200):
            await self.nc.publish("py.work.now", str(number).encode())

        async def all_came():
            return len(got[0]) + len(got[1]) >= 200

        await eventually("all messages came", all_came)
        assert sorted(got[0] + got[1]) == list(range(200)), "each message goes to one member"
        assert got[0] and got[1], "both members have some"

    async def streams(self):
        js = self.js
        info = await js.add_stream(StreamConfig(name="PY", subjects=["py.films.>"]))
        assert info.config.name == "PY" and info.state.messages == 0
        assert await js.find_stream_name_by_subject("py.films.added") == "PY"
        first = await js.publish("py.films.added", b"1", headers={"Nats-Msg-Id": "one"})
        again = await js.publish("py.films.added", b"1", headers={"Nats-Msg-Id": "one"})
        assert first.seq == again.seq == 1 and again.duplicate and not first.duplicate
        wrong = {"Nats-Expected-Last-Sequence": "7"}
        await fails(js_errors.APIError, js.publish("py.films.added", b"", headers=wrong), 10071)
        for number in range(2, 21):
            ack = await js.publish("py.films.edited", str(number).encode())
            assert ack.seq == number, ack
        assert (await js.get_msg("PY", 3)).data == b"3"
        assert (await js.get_last_msg("PY", "py.films.edited")).seq == 20
        await js.delete_msg("PY", 20)
        await fails(js_errors.NotFoundError, js.get_msg("PY", 20))
        await js.purge_stream("PY", subject="py.films.edited", keep=9)
        info = await js.update_stream(info.config.evolve(max_msgs=1000))
        assert info.config.max_msgs == 1000 and info.state.messages == 10, info
        await fails(js_errors.NotFoundError, js.stream_info("NONE"), 10059)
        assert (await js.account_info()).streams >= 1

    async def pull(self):
        js = self.js
        consumer = ConsumerConfig(ack_wait=30, max_ack_pending=100)
        subscription = await js.pull_subscribe("py.films.>", "puller", config=consumer)
        messages = await subscription.fetch(4, timeout=WAIT)
        assert [message.metadata.sequence.consumer for message in messages] == [1, 2, 3, 4]
        await messages[0].ack()
        await messages[1].ack_sync(timeout=WAIT)
        await messages[2].nak()
        await messages[3].term()
        seen = set()
        while len(seen) < 7:
            for message in await subscription.fetch(7, timeout=WAIT):
                redelivered = message.data == messages[2].data
                assert message.metadata.num_delivered == (2 if redelivered else 1)
                seen.add(message.data)
                await message.ack_sync(timeout=WAIT)
        info = await subscription.consumer_info()
        assert (info.num_pending, info.num_ack_pending) == (0, 0), info
        await fails(nats.errors.TimeoutError, subscription.fetch(1, timeout=0.2))
        assert await js.delete_consumer("PY", "puller")

    async def push(self):
        js = self.js
        subscription = await js.subscribe(
            "py.films.>", durable="pusher", manual_ack=True, idle_heartbeat=1, flow_control=True
        )
        for _ in range(10):
            message = await subscription.next_msg(timeout=WAIT)
            await message.ack_sync(timeout=WAIT)
        assert (await subscription.consumer_info()).push_bound
        await subscription.unsubscribe()
        ordered = await js.subscribe("py.films.>", ordered_consumer=True)
        sequences = [(await ordered.next_msg(timeout=WAIT)).metadata.sequence.stream for _ in range(10)]
        assert sequences == sorted(sequences) and len(set(sequences)) == 10
        await ordered.unsubscribe()
        group = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT)
        members = [
            await js.subscribe("py.films.>", queue="crew", durable="crew", manual_ack=True, config=group)
            for _ in (0, 1)
        ]

        async def drained():
            for member in members:
                while member.pending_msgs:
                    await (await member.next_msg(timeout=WAIT)).ack_sync(timeout=WAIT)
            info = await members[0].consumer_info()
            return (info.num_pending, info.num_ack_pending) == (0, 0)

        await eventually("the crew has acknowledged all", drained)

    async def key_value(self):
        bucket = await self.js.create_key_value(bucket="py_films", history=5)
        assert await bucket.create("alien", b"1979") == 1
        await fails(js_errors.KeyWrongLastSequenceError, bucket.create("alien", b"1980"))
        assert await bucket.update("alien", b"1986", last=1) == 2
        await fails(js_errors.KeyWrongLastSequenceError, bucket.update("alien", b"", last=1))
        assert await bucket.put("brazil", b"1985") == 3
        entry = await bucket.get("alien")
        assert (entry.value, entry.revision) == (b"1986", 2)
        assert (await bucket.get("alien", revision=1)).value == b"1979"
        watcher = await bucket.watchall()
        seen = []
        while (entry := await watcher.updates(timeout=WAIT)) is not None:
            seen.append(entry.key)
        assert sorted(seen) == ["alien", "brazil"], seen
        await bucket.delete("brazil")
        assert (await watcher.updates(timeout=WAIT)).operation == "DEL"
        await watcher.stop()
        await fails(js_errors.KeyNotFoundError, bucket.get("brazil"))
        assert await bucket.keys() == ["alien"]
        assert len(await bucket.history("alien")) == 2
        await bucket.purge("alien")
        assert len(await bucket.history("alien")) == 1
        await self.js.delete_key_value("py_films")
        await fails(js_errors.NotFoundError, self.js.key_value("py_films"))

    async def object_store(self):
        store = await self.js.create_object_store(bucket="py_covers")
        cover = bytes(range(256)) * 1200  # more than two chunks
        info = await store.put("alien.png", cover)
        assert (info.size, info.chunks) == (len(cover), 3), info
        assert (await store.get("alien.png")).data == cover
        await store.put("alien.png", b"smaller")
        assert (await store.get("alien.png")).data == b"smaller"
        assert [entry.name for entry in await store.list()] == ["alien.png"]
        await store.delete("alien.png")
        await fails(js_errors.ObjectNotFoundError, store.get("alien.png"))
        await self.js.delete_object_store("py_covers")

    async def reconnect(self):
        js = self.js
        messages = await self.nc.subscribe("py.again")
        puller = await js.pull_subscribe("py.films.>", "survivor")
        for message in await puller.fetch(4, timeout=WAIT):
            await message.ack_sync(timeout=WAIT)
        print("RESTART", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        await asyncio.wait_for(self.back.wait(), WAIT)
        await self.nc.publish("py.again", b"here")
        assert (await messages.next_msg(timeout=WAIT)).data == b"here"
        info = await puller.consumer_info()
        assert (info.num_pending, info.num_ack_pending) == (6, 0), info
        assert len(await puller.fetch(6, timeout=WAIT)) == 6
        again = await js.publish("py.films.added", b"1", headers={"Nats-Msg-Id": "one"})
        assert again.duplicate and again.seq == 1, again
        await js.delete_stream("PY")
        await self.nc.close()


async def main():
    steps = Steps()
    for name, step in [
        ("connect", steps.connect),
        ("token", steps.token),
        ("password", steps.password),
        ("nkey", steps.nkey),
        ("websocket", steps.websocket),
        ("request", steps.request),
        ("queues", steps.queues),
        ("streams", steps.streams),
        ("pull", steps.pull),
        ("push", steps.push),
        ("key-value", steps.key_value),
        ("object-store", steps.object_store),
        ("reconnect", steps.reconnect),
    ]:
        await asyncio.wait_for(step(), 3 * WAIT)
        print(f"ok {name}", flush=True)


asyncio.run(main())
