# SPDX-License-Identifier: Apache-2.0
"""Requests and load for the serving bench: one request in three forms (JSON, binary tensors over HTTP, gRPC), closed loops by wrk and h2load, and an
open loop, where requests come at their own rate whatever happens to those before."""
import asyncio
import json
import os
import re
import socket
import struct
import subprocess
import time

from common import ROOT


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    """A length-delimited field of protobuf."""
    return varint(number << 3 | 2) + varint(len(data)) + data


class Request:
    """An inference of a model with inputs [(name, datatype, shape, values)] and one output, written to files of a folder."""

    PACK = {"FP32": "f", "INT64": "q"}

    def __init__(self, folder, model, inputs, output):
        self.model, self.path = model, f"/v2/models/{model}/infer"
        blobs = [struct.pack(f"<{len(v)}{self.PACK[t]}", *v) for _, t, _, v in inputs]
        about = [{"name": n, "datatype": t, "shape": s} for n, t, s, _ in inputs]
        text = {"inputs": [{**a, "data": v} for a, (_, _, _, v) in zip(about, inputs)], "outputs": [{"name": output}]}
        head = json.dumps({"inputs": [{**a, "parameters": {"binary_data_size": len(b)}} for a, b in zip(about, blobs)],
                           "outputs": [{"name": output, "parameters": {"binary_data": True}}]}).encode()
        message = field(1, model.encode())
        for n, t, s, _ in inputs:
            message += field(5, field(1, n.encode()) + field(2, t.encode()) + field(3, b"".join(varint(d) for d in s)))
        message += field(6, field(1, output.encode())) + b"".join(field(7, b) for b in blobs)
        self.bodies = {"json": json.dumps(text).encode(), "binary": head + b"".join(blobs),
                       "grpc": b"\0" + struct.pack(">I", len(message)) + message}
        self.json_bytes = len(head)
        self.files = {}
        for form, body in self.bodies.items():
            self.files[form] = folder / f"{model}.{form}"
            self.files[form].write_bytes(body)

    def headers(self, form):
        if form == "binary":
            return {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(self.json_bytes)}
        return {"Content-Type": "application/json"}

    def message(self, form, keep_alive=False):
        """The bytes of a request over HTTP."""
        head = "".join(f"{k}: {v}\r\n" for k, v in self.headers(form).items()) + ("" if keep_alive else "Connection: close\r\n")
        return f"POST {self.path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(self.bodies[form])}\r\n{head}\r\n".encode() + self.bodies[form]

    def once(self, server, form):
        """Status of one request over HTTP."""
        with socket.create_connection(("127.0.0.1", server.http), 20) as s:
            s.sendall(self.message(form))
            return int(s.recv(65536).split(b" ")[1])


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def wrk(server, request, form, connections, seconds):
    env = {**os.environ, "BODY": str(request.files[form])}
    if form == "binary":
        env["JSON_BYTES"] = str(request.json_bytes)
    done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", ROOT / "tests/bench/peers/wrk.lua",
                           f"http://127.0.0.1:{server.http}{request.path}"], env=env, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(next(l for l in done.stdout.splitlines() if l.startswith("RESULT ")).removeprefix("RESULT "))


def h2load(server, request, connections, seconds, folder):
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    start = time.monotonic()
    done = subprocess.run(["h2load", f"-c{connections}", "-m1", "-t1", f"-D{seconds}", "-d", request.files["grpc"], "-H", "te: trailers", "-H",
                           "content-type: application/grpc", "--log-file", log,
                           f"http://127.0.0.1:{server.grpc}/inference.GRPCInferenceService/ModelInfer"], stdout=subprocess.PIPE, check=True, text=True)
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    times = [int(row[2]) for row in rows if row[1] == "200"]
    # gRPC says its errors in trailers, with 200 and no data
    data = re.search(r"traffic: .*, ([0-9.]+)([KMG]?)B \(\d+\) data", done.stdout)
    answers = int(re.search(r"\((\d+)\) data", done.stdout).group(1)) / max(len(times), 1) if data else 0
    errors = len(rows) - len(times) if answers > 5 else len(rows)
    return {"requests": len(times), "seconds": min(seconds, time.monotonic() - start), "errors": errors, "p50_us": percentile(times, 0.5),
            "p99_us": percentile(times, 0.99)}


def closed_loop(server, request, form, connections, seconds, folder):
    before = server.cpu_seconds()
    seen = h2load(server, request, connections, seconds, folder) if form == "grpc" else wrk(server, request, form, connections, seconds)
    n = max(seen["requests"], 1)
    return {**seen, "rate": n / seen["seconds"], "cpu_us": 1e6 * (server.cpu_seconds() - before) / n}


def paced(server, request, form, rate, seconds, connections=10):
    """HTTP/1.1 requests at that rate by h2load, and what they cost the server."""
    before = server.cpu_seconds()
    headers = [a for k, v in request.headers(form).items() for a in ("-H", f"{k}: {v}")]
    done = subprocess.run(["h2load", "--h1", "-t1", f"-c{connections}", f"--rps={rate // connections}", f"-D{seconds}", "-d", request.files[form], *headers,
                           f"http://127.0.0.1:{server.http}{request.path}"], stdout=subprocess.PIPE, check=True, text=True)
    cpu = server.cpu_seconds() - before
    n = int(re.search(r"status codes: (\d+) 2xx", done.stdout).group(1))
    return {"requests": n, "rate": n / seconds, "cpu_us": 1e6 * cpu / max(n, 1)}


async def one_of_many(server, message, results):
    """A client that asks once, on a connection of its own."""
    start = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http)
        writer.write(message)
        status = int((await reader.readline()).split(b" ")[1])
        while await reader.read(65536):
            pass
        writer.close()
    except (OSError, IndexError, ValueError):
        status = 0
    results.append((status, 1e6 * (time.monotonic() - start)))


def open_loop(server, request, form, rate, seconds):
    """[(status, microseconds)] of requests that come at that rate."""
    message = request.message(form)
    results = []

    async def run():
        tasks, start = [], time.monotonic()
        for i in range(int(rate * seconds)):
            await asyncio.sleep(max(0, start + i / rate - time.monotonic()))
            tasks.append(asyncio.create_task(one_of_many(server, message, results)))
        await asyncio.gather(*tasks)
        return time.monotonic() - start

    return asyncio.run(run()), results
