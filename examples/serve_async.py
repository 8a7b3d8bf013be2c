"""Serves translations over HTTP to many clients at once, from one model: asyncio and the standard library.

    python examples/serve_async.py --port 8000
    curl --data "I am happy" http://127.0.0.1:8000/        # {"translation_text": "Je suis heureux"}

The model would block the event loop, so it works in a thread. What comes in while it does goes to it as one batch.
The same two coroutines serve under any web framework: put the text and a future on the queue, await the future.
"""

import argparse
import asyncio
import json

from pipelines import pipeline

MOST = 1_000_000  # bytes of a request
BATCH = 16  # texts


async def work(pipe, queue: asyncio.Queue) -> None:
    """Answers (text, future) from the queue, as many together as there are."""
    while True:
        batch = [await queue.get()]
        while not queue.empty() and len(batch) < BATCH:
            batch.append(queue.get_nowait())
        texts = [text for text, _ in batch]
        try:
            outputs = await asyncio.to_thread(pipe, texts, batch_size=len(texts))
        except Exception as error:  # of this batch; the next one is another
            outputs = [error] * len(batch)
        for (_, answer), output in zip(batch, outputs, strict=True):
            if not answer.done():  # the client may be gone
                answer.set_exception(output) if isinstance(output, Exception) else answer.set_result(output)


async def respond(queue: asyncio.Queue, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request: a text as the body of a POST, JSON back."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
        size = int(fields["content-length"])
        if not head.startswith("post ") or not 0 <= size <= MOST:
            raise ValueError(f"a POST of at most {MOST} bytes is wanted")
        text = (await reader.readexactly(size)).decode()
        answer = asyncio.get_running_loop().create_future()
        await queue.put((text, answer))
        status, body = "200 OK", await answer
    except (ValueError, KeyError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        status, body = "400 Bad Request", {"error": str(error)}
    except Exception as error:
        status, body = "500 Internal Server Error", {"error": str(error)}
    data = json.dumps(body).encode()
    writer.write(f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n".encode())
    writer.write(f"content-length: {len(data)}\r\nconnection: close\r\n\r\n".encode() + data)
    await writer.drain()
    writer.close()


async def start(pipe, host: str, port: int) -> tuple[asyncio.Server, asyncio.Task]:
    queue = asyncio.Queue(maxsize=1000)
    worker = asyncio.create_task(work(pipe, queue))
    return await asyncio.start_server(lambda *streams: respond(queue, *streams), host, port), worker


async def main() -> None:
    parser = argparse.ArgumentParser(description="Serve translations over HTTP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", default=None, help="a model of the Hub, a folder, or lstm")
    args = parser.parse_args()
    server, _worker = await start(pipeline("translation", model=args.model), args.host, args.port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
