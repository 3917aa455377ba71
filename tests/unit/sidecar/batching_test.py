#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""batching_test.py SIDECAR MODEL: a joined request gets the answer that it would have got alone.

Two servers of one model, one that joins requests and one that does not, get the same random requests: the first many at once, the second one by one.
Rows, ids, wanted outputs, binary or JSON, and requests that must fail are drawn; status, id, outputs, shapes and error texts must be equal,
numbers up to the order of summation. The joining server must have needed fewer runs than requests.

The same for a model of two free dimensions that knows by its mask what is padding, and requests of different lengths."""
import json
import http.client
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent))
import onnx_bytes as onnx

SIDECAR, MODEL = sys.argv[1:3]
REQUESTS, CLIENTS, SEED = 240, 12, 20261126


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, folder, name, model=MODEL, **batching):
        self.port = free_port()
        config = {"model": {"name": "digits", "uri": f"file://{model}"}, "serving": {"port": self.port, "metricsPort": free_port()}, "runtime": {"threads": 2, "concurrency": 64}}
        if batching:
            config["batching"] = batching
        file = pathlib.Path(folder) / f"{name}.json"
        file.write_text(json.dumps(config))
        self.process = subprocess.Popen([SIDECAR, "--config", file, "--log-level", "warn"])
        for _ in range(200):
            try:
                if self.call("GET", "/v2/health/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        sys.exit(f"{name}: not ready")

    def call(self, method, path, body=b"", headers={}):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        c.request(method, path, body, headers)
        r = c.getresponse()
        return r.status, dict(r.getheaders()), r.read()

    def stats(self):
        return json.loads(self.call("GET", "/v2/models/digits/stats")[2])["model_stats"][0]

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(20) == 0


def draw(rng, i):
    """(body, headers) of a request."""
    rows = rng.choice([1, 1, 1, 2, 3, 5, 8, 11])
    values = [rng.uniform(0, 16) for _ in range(rows * 64)]
    tensor = {"name": "x", "shape": [rows, 1, 8, 8], "datatype": "FP32", "data": values}
    request = {"inputs": [tensor]}
    if rng.random() < 0.7:
        request["id"] = f"request {i} ü"
    outputs = rng.choice([None, ["probabilities"], ["logits", "probabilities"], ["probabilities", "logits"]])
    if outputs:
        request["outputs"] = [{"name": name} for name in outputs]
    if rng.random() < 0.2:
        request["parameters"] = {"batching": False}
    if rng.random() < 0.15 and outputs:
        request["outputs"][0]["parameters"] = {"classification": 3}
    if rng.random() < 0.2:
        request.setdefault("parameters", {})["binary_data_output"] = True
    fault = rng.random()
    if fault < 0.05:
        tensor["shape"] = [rows, 1, 8, 9]
    elif fault < 0.1:
        tensor["datatype"] = "INT64"
    elif fault < 0.15:
        tensor["data"] = values[:-1]
    elif fault < 0.2:
        request["outputs"] = [{"name": "nothing"}]
    body, headers = json.dumps(request).encode(), {"Content-Type": "application/json"}
    if fault > 0.6 and rng.random() < 0.5:
        raw = struct.pack(f"<{len(values)}f", *values)
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": len(raw)}
        head = json.dumps(request).encode()
        body, headers = head + raw, {"Inference-Header-Content-Length": str(len(head))}
    return body, headers


def parse(answer):
    """Everything that must be equal, and the numbers that must be close."""
    status, headers, body = answer
    length = int(headers.get("Inference-Header-Content-Length", len(body)))
    head, raw = json.loads(body[:length]), body[length:]
    numbers = []
    for output in head.get("outputs", []):
        size = output.get("parameters", {}).get("binary_data_size")
        if size is not None and output["datatype"] == "FP32":
            numbers += struct.unpack(f"<{size // 4}f", raw[:size])
            raw = raw[size:]
        elif output["datatype"] == "FP32":
            numbers += output.pop("data")
        else:  # classes: value:index, the index exactly
            texts = output.pop("data", None)
            if texts is None:
                texts, left, raw = [], raw[:size], raw[size:]
                while left:
                    n = struct.unpack("<I", left[:4])[0]
                    texts.append(left[4:4 + n].decode())
                    left = left[4 + n:]
            output["classes"] = [t.split(":")[1] for t in texts]
            numbers += [float(t.split(":")[0]) for t in texts]
        output.pop("parameters", None)
    return status, head, numbers


def differs(got, want):
    if got[:2] != want[:2] or len(got[2]) != len(want[2]):
        return f"{got[:2]} instead of {want[:2]}"
    scale = max((abs(v) for v in want[2]), default=1)
    worst = max((abs(a - b) for a, b in zip(got[2], want[2])), default=0)
    return f"numbers differ by {worst}, scale {scale}" if worst > 1e-5 * max(scale, 1) else None


def drive(server, requests):
    answers, at, lock = [None] * len(requests), [0], threading.Lock()

    def client():
        while True:
            with lock:
                i = at[0]
                at[0] += 1
            if i >= len(requests):
                return
            answers[i] = server.call("POST", "/v2/models/digits/infer", *requests[i])
    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


def write_masked(path):
    """mean [batch, 1] of the values where the mask is 1; twice the values [batch, sequence]; the values kept [batch, 1, sequence]."""
    words = ["batch", "sequence"]
    onnx.write(path, "masked", onnx.node("Mul", ["x", "mask"], "kept"), onnx.node("ReduceSum", ["kept", "axis"], "sum"),
               onnx.node("ReduceSum", ["mask", "axis"], "count"), onnx.node("Div", ["sum", "count"], "mean"), onnx.node("Add", ["x", "x"], "twice"),
               onnx.node("Unsqueeze", ["kept", "axis"], "rows"),
               onnx.constant("axis", 1), onnx.graph_input("x", onnx.FLOAT, words), onnx.graph_input("mask", onnx.FLOAT, words),
               onnx.graph_output("mean", onnx.FLOAT, ["batch", 1]), onnx.graph_output("twice", onnx.FLOAT, words),
               onnx.graph_output("rows", onnx.FLOAT, ["batch", 1, "sequence"]))


def draw_masked(rng, i):
    """Of more bytes than are read on the loop's own thread, where nothing waits for others."""
    rows, length = rng.choice([1, 1, 2]), rng.randint(1, 12)
    tensors = [{"name": "x", "shape": [rows, length], "datatype": "FP32", "data": [rng.uniform(1, 9) for _ in range(rows * length)]},
               {"name": "mask", "shape": [rows, length], "datatype": "FP32", "data": [1 if n % length == 0 else rng.randint(0, 1) for n in range(rows * length)]}]
    request = {"id": str(i), "inputs": tensors}
    if rng.random() < 0.5:
        request["outputs"] = [{"name": n} for n in rng.choice([["mean"], ["twice"], ["rows", "mean"]])]
    if rng.random() < 0.1:  # a mask for all rows: not of the values' length, so it is not filled up
        tensors[1].update(shape=[rows, 1], data=[1] * rows)
    if rng.random() < 0.05:
        tensors[1]["data"].pop()
    return json.dumps(request).encode() + b" " * (20 << 10), {"Content-Type": "application/json"}


def padding(folder, rng):
    """Returns the number of failures."""
    model = pathlib.Path(folder) / "masked.onnx"
    write_masked(model)
    requests = [draw_masked(rng, i) for i in range(REQUESTS)]
    alone = Server(folder, "masked-alone", model)
    want = [parse(alone.call("POST", "/v2/models/digits/infer", *r)) for r in requests]
    alone.stop()
    failures, needed = 0, []
    for name, more in ("ragged apart", {}), ("padded", {"padding": "x=7.5, mask=0"}):
        server = Server(folder, name.replace(" ", "-"), model, maxSize=64, maxDelayUs=30000, **more)
        got = drive(server, requests)
        needed.append(server.stats()["execution_count"])
        server.stop()
        for i, (g, w) in enumerate(zip(got, want)):
            why = differs(parse(g), w)
            if why:
                failures += 1
                print(f"FAILED {name}: request {i}: {why}")
        print(f"{name}: {sum(w[0] == 200 for w in want)} requests in {needed[-1]} runs")
    if needed[1] >= needed[0]:
        failures += 1
        print("FAILED padding: no fewer runs than without")
    return failures


def refused_padding(folder):
    for text, want in [("y=0", '"y=0": the model has no such input'), ("x", '"x": want INPUT=VALUE'), ("x=a", '"x=a": want INPUT=VALUE'),
                       ("x=0,x=0", '"x=0": want INPUT=VALUE'), ("x=1 2", '"x=1 2": want INPUT=VALUE')]:
        config = pathlib.Path(folder) / "refused.json"
        config.write_text(json.dumps({"model": {"name": "m", "uri": f"file://{folder}/masked.onnx"}, "serving": {"port": free_port(), "metricsPort": free_port()},
                                      "batching": {"maxSize": 4, "padding": text}}))
        server = subprocess.Popen([SIDECAR, "--config", config], stderr=subprocess.PIPE, text=True)
        for line in server.stderr:
            if "model failed" in line:
                break
        server.kill()
        server.wait()
        assert "batching.padding: " + want in json.loads(line)["error"], line


def main():
    rng = random.Random(SEED)
    requests = [draw(rng, i) for i in range(REQUESTS)]
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        alone = Server(folder, "alone")
        want = [parse(alone.call("POST", "/v2/models/digits/infer", *r)) for r in requests]
        alone.stop()
        served = sum(w[0] == 200 for w in want)
        print(f"{served} of {REQUESTS} requests are to be served, the others refused")
        for name, batching in {"no delay": {"maxSize": 8}, "delay": {"maxSize": 16, "maxDelayUs": 4000}, "preferred sizes": {"maxSize": 16, "maxDelayUs": 20000, "preferredSizes": "4, 8"},
                               "sizes filled up": {"maxSize": 16, "maxDelayUs": 2000, "sizes": "4, 16"}}.items():
            server = Server(folder, name.replace(" ", "-"), **batching)
            got = drive(server, requests)
            stats = server.stats()
            server.stop()
            for i, (g, w) in enumerate(zip(got, want)):
                why = differs(parse(g), w)
                if why:
                    failures += 1
                    print(f"FAILED {name}: request {i}: {why}")
            runs = stats["execution_count"]
            print(f"{name}: {stats['inference_count']} rows of {served} requests in {runs} runs")
            if stats["inference_stats"]["success"]["count"] != served or ("maxDelayUs" in batching and runs >= served):
                failures += 1
                print(f"FAILED {name}: {stats}")
        failures += padding(folder, rng)
        refused_padding(folder)
    sys.exit(1 if failures else 0)


main()
