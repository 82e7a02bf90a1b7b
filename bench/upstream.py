"""A model server for benchmarks: streams OpenAI chunks at a given pace, each with the instant at which it was sent.

    .venv-test/bin/python bench/upstream.py        prints its port; runs until its standard input ends

The prompt of a request says what it gets: "N PACE_MS BYTES" chunks, milliseconds between them, bytes of padding.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                ),
                0,
            )
            body = json.loads(await reader.readexactly(length)) if length else {}
            if not body:
                text = json.dumps({"object": "list", "data": [{"id": "bench", "object": "model"}]}).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(text), text)
                )
                continue
            count, pace_ms, padding = map(int, body["messages"][0]["content"].split())
            writer.write(HEAD)
            due = time.monotonic()
            for _ in range(count):
                if pace_ms:
                    due += pace_ms / 1000
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                event = (
                    b'data: {"id":"x","object":"chat.completion.chunk","model":"bench","choices":[{"index":0,"delta":'
                    b'{"content":"%020d %s"}}]}\n\n' % (time.monotonic_ns(), b"x" * padding)
                )
                writer.write(b"%x\r\n%s\r\n" % (len(event), event))
                await writer.drain()
            writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


asyncio.run(main())
