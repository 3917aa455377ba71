#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""server_test.py PINTLE SIDECAR MODEL: the running server, from outside: predictions, refusals, downloads, overload, and its end.

Only Python's own library is used. Every server gets free ports; what it logs is printed when a case fails."""
import csv
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

PINTLE, SIDECAR, MODEL = (pathlib.Path(a).resolve() for a in sys.argv[1:4])
CACHE = tempfile.TemporaryDirectory()  # of `pintle serve`, where a case has none of its own
DIGEST = "sha256:" + hashlib.sha256(MODEL.read_bytes()).hexdigest()
ROWS = [list(map(int, r)) for r in csv.reader(open(MODEL.parent / "heldout.csv"))]


class Server:
    """A process of ours; ready() waits until it serves."""

    def __init__(self, argv, env=None):
        self.log = tempfile.NamedTemporaryFile("a")
        self.process = subprocess.Popen(list(map(str, argv)), stderr=self.log, stdout=self.log, env={**os.environ, "XDG_CACHE_HOME": CACHE.name, **(env or {})})
        self.port = self.metrics_port = None

    def lines(self):
        return pathlib.Path(self.log.name).read_text().splitlines()

    def listening(self):
        def ports():
            for line in self.lines():
                if '"listening"' in line and line.endswith("}"):
                    record = json.loads(line)
                    self.port, self.metrics_port = int(record["port"]), int(record["metrics_port"])
            return self.port or self.process.poll() is not None
        wait(ports)
        assert self.port, "it ended at the start"
        return self

    def ready(self):
        self.listening()
        wait(lambda: self.get("/v2/health/ready")[0] == 200)
        return self

    def request(self, method, path, body=None, headers=None, port=None):
        c = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=30)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, r.read().decode(), r.headers
        finally:
            c.close()

    def get(self, path):
        return self.request("GET", path)

    def infer(self, body, model="digits"):
        return self.request("POST", f"/v2/models/{model}/infer", body)

    def metric(self, line):
        for text in self.request("GET", "/metrics", port=self.metrics_port)[1].splitlines():
            if text.startswith(line + " "):
                return float(text.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {line}")

    def end(self, sig=signal.SIGINT, timeout=30):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(timeout)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if kind:
            print("--- log of the server", *self.lines()[-30:], sep="\n")


def wait(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


def serve(*more):
    return Server([PINTLE, "serve", MODEL, "--port", 0, "--metrics-port", 0, *more])


def sidecar(directory, model, env=None, **sections):
    config = {"model": {"name": "digits", "uri": MODEL.as_uri(), **model}, "serving": {"port": 0, "metricsPort": 0}, **sections}
    path = pathlib.Path(directory) / "config.json"
    path.write_text(json.dumps(config))
    mounts = {"PINTLE_MOUNTS": f"/var/cache/pintle={directory}/cache", "PINTLE_POD_IP": "127.0.0.1"}
    return Server([SIDECAR, "--config", path, "--log-format", "json"], {**mounts, **(env or {})})


def body_of(rows, **more):
    data = [p for r in rows for p in r[1:]]
    return json.dumps({"inputs": [{"name": "x", "shape": [len(rows), 1, 8, 8], "datatype": "FP32", "data": data}], **more})


def slow_body(n=4000):
    """A batch that keeps a worker busy for a while: some tens of milliseconds."""
    return '{"inputs":[{"name":"x","shape":[%d,1,8,8],"datatype":"FP32","data":[%s]}]}' % (n, ",".join(["0.5"] * (64 * n)))


def assert_equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


# --- cases ------------------------------------------------------------------------------------------------------------------------


def case_predicts():
    with serve() as s:
        s.ready()
        assert_equal(json.loads(s.get("/v2")[1])["name"], "pintle")
        assert_equal(s.get("/v2/health/live")[:2], (200, '{"live":true}'))
        assert_equal(s.get("/v2/models/digits/versions/1/ready")[:2], (200, '{"name":"digits","ready":true}'))
        assert_equal(json.loads(s.get("/v2/models/digits")[1])["inputs"], [{"name": "x", "datatype": "FP32", "shape": [-1, 1, 8, 8]}])
        whole = json.loads(s.infer(body_of(ROWS))[1])["outputs"][0]
        assert_equal((whole["name"], whole["shape"]), ("logits", [len(ROWS), 10]))
        right = 0
        for i, row in enumerate(ROWS[:100]):
            status, text, _ = s.infer(body_of([row], id=f"r{i}", outputs=[{"name": "logits"}]))
            reply = json.loads(text)
            assert_equal((status, reply["id"], len(reply["outputs"])), (200, f"r{i}", 1))
            one = reply["outputs"][0]["data"]
            assert all(abs(a - b) < 1e-4 for a, b in zip(one, whole["data"][10 * i:10 * i + 10])), "a batch gives other values than its rows"
            right += one.index(max(one)) == row[0]
        assert right >= 95, f"only {right} of 100 digits were right"
        assert_equal(s.metric('pintle_requests_total{model="digits",version="1",code="200"}'), 101)
        assert_equal(s.metric('pintle_request_duration_seconds_count{model="digits",version="1"}'), 101)
        assert_equal(s.metric('pintle_model_state{model="digits",version="1",state="Ready"}'), 1)
        assert_equal(s.request("GET", "/healthz", port=s.metrics_port)[0], 200)
        assert_equal(s.end(), 0)


def case_refuses():
    infer = "/v2/models/digits/infer"
    good = body_of(ROWS[:1])
    table = [
        ("GET", "/v2/models/none", None, {}, 404, 'no model "none" here; this server has "digits"'),
        ("GET", "/v2/models/digits/versions/9", None, {}, 404, 'has no version "9"'),
        ("POST", "/v2/models/none/infer", good, {}, 404, 'no model "none"'),
        ("GET", "/v3", None, {}, 404, "no such path: /v3"),
        ("GET", "/v2/models/%zz", None, {}, 404, "no such path"),
        ("GET", infer, None, {}, 405, "takes POST, not GET"),
        ("DELETE", "/v2/health/live", None, {}, 405, "takes GET, not DELETE"),
        ("POST", infer, "", {}, 400, "the request has no body"),
        ("POST", infer, "{", {}, 400, "JSON"),
        ("POST", infer, good.replace("[1, 1, 8, 8]", "[1, 1, 8, 9]"), {}, 400, 'input \\"x\\": shape: want [-1,1,8,8], got [1,1,8,9]'),
        ("POST", infer, good.replace("FP32", "FP16"), {}, 400, "datatype: want FP32, got FP16"),
        ("POST", infer, good, {"Inference-Header-Content-Length": "5"}, 400, "the text ends at byte 5"),
        ("POST", infer, good, {"Inference-Header-Content-Length": "x"}, 400, "Inference-Header-Content-Length"),
        ("POST", infer, good, {"Content-Encoding": "gzip"}, 400, "body: inflate"),
        ("POST", infer, good, {"Content-Encoding": "br"}, 400, 'Content-Encoding: encoding \\"br\\" is not supported'),
        ("POST", infer, None, {"Content-Length": str(1 << 40)}, 413, "too large"),
    ]
    with serve() as s:
        s.ready()
        for method, path, body, headers, status, text in table:
            got = s.request(method, path, body, headers)
            assert got[0] == status and text in got[1] or text in json.loads(got[1])["error"], f"{method} {path}: {got[0]} {got[1]}"
            assert "error" in json.loads(got[1])
            if status == 405:
                assert got[2]["Allow"] in ("GET", "POST")
        assert_equal(s.request("POST", infer, good, {"Content-Type": "application/x-www-form-urlencoded"})[0], 200)
        assert_equal(s.request("HEAD", "/v2/health/ready")[0], 200)
        assert_equal(s.end(), 0)


def case_command_line():
    def run(*argv, env=None):
        p = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=30, env=env)
        return p.returncode, p.stderr.strip().splitlines()[-1]
    with tempfile.TemporaryDirectory() as d:
        bad = pathlib.Path(d) / "bad.onnx"
        bad.write_bytes(b"no model" * 100)
        folder = pathlib.Path(d) / "models"
        for name in ("good", "bad"):
            (folder / name / "1").mkdir(parents=True)
            (folder / name / "1" / "model.onnx").write_bytes(MODEL.read_bytes())
        checks = [PINTLE, "serve", folder, "--check"]
        assert_equal(subprocess.run(checks, timeout=30).returncode, 0)
        (folder / "bad" / "config.pbtxt").write_text("max_batch_sise: 1\n")
        status, error = run(*checks)
        assert status != 0 and "bad/config.pbtxt" in error and "max_batch_sise" in error, error
        (folder / "bad" / "config.pbtxt").unlink()
        (folder / "bad" / "1" / "model.onnx").unlink()
        status, error = run(*checks)
        assert status != 0 and 'model "bad": no VERSION/model.onnx' in error, error
        assert_equal(run(PINTLE, "serve"), (64, "error: a model is needed (see `pintle serve --help`)"))
        assert_equal(run(PINTLE, "serve", MODEL, "--port", "x")[1],
                     'error: --port: want a whole number from 0 to 65535, got "x" (see `pintle serve --help`)')
        status, error = run(PINTLE, "serve", f"{d}/none.onnx")
        assert status == 66 and error == f"error: {d}/none.onnx: No such file or directory", error
        status, error = run(PINTLE, "serve", bad, "--port", 0, "--metrics-port", 0)
        assert status != 0 and error.startswith("error: "), error
        status, error = run(PINTLE, "serve", MODEL, "--port", 0, "--metrics-port", 0, "--digest", "sha256:" + "0" * 64)
        assert status != 0 and f"want sha256:{'0' * 64}, got {DIGEST}" in error, error
        with socket.create_server(("", 0)) as taken:
            status, error = run(PINTLE, "serve", MODEL, "--port", taken.getsockname()[1], "--metrics-port", 0)
            assert status != 0 and "Address already in use" in error, error
        status, error = run(SIDECAR, "--config", f"{d}/none.json")
        assert status == 2 and f"{d}/none.json" in error, error
        config = pathlib.Path(d) / "c.yaml"
        config.write_text("model: {name: a, uri: 'file:///m', colour: red}\n")
        assert_equal(run(SIDECAR, "--config", config), (2, f"error: {config}: line 1: model.colour: unknown member"))
        config.write_text("model: {name: a, uri: 'file:///m'}\n")
        assert_equal(subprocess.run([SIDECAR, "--config", config, "--check"], timeout=30).returncode, 0)
        settings = {**os.environ, "PINTLE_SERVING_PORT": "x"}
        wrong = 'error: environment: PINTLE_SERVING_PORT: want a whole number from 0 to 65535, got "x"'
        assert_equal(run(SIDECAR, "--config", config, "--check", env=settings), (2, wrong))
        assert_equal(run(PINTLE, "serve", MODEL, "--check", env=settings)[1], wrong)
        assert_equal(subprocess.run([PINTLE, "serve", "--config", config, "--check"], timeout=30).returncode, 0)
        assert_equal(run(PINTLE, "serve", "--config", config, "--name", "a/b", "--check")[1],
                     'error: serve: model.name and model.version may not contain "/": "a/b", "1"')


class Files(http.server.BaseHTTPRequestHandler):
    """Serves the model; `cut` answers break off in the middle, then the rest can be had."""
    protocol_version = "HTTP/1.1"
    cut = 0
    content = MODEL.read_bytes()
    release = None  # an event: wait for it in the middle
    requests = []

    def do_GET(self):
        Files.requests.append((self.path, self.headers.get("Range")))
        if self.path != "/m.onnx":
            self.send_error(404)
            return
        begin = int(self.headers["Range"][6:-1]) if self.headers.get("Range") else 0
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(self.content) - 1}/{len(self.content)}")
        self.send_header("Content-Length", str(len(self.content) - begin))
        self.send_header("ETag", '"v1"')
        self.end_headers()
        middle = begin + (len(self.content) - begin) // 2
        self.wfile.write(self.content[begin:middle])
        self.wfile.flush()
        if Files.release:
            Files.release.wait(20)
        if Files.cut > 0:
            Files.cut -= 1
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(self.content[middle:])

    def log_message(self, *_):
        pass


def file_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that was killed
    Files.cut, Files.release, Files.requests = 0, None, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}/m.onnx"


def published(directory):
    return [p.name for p in pathlib.Path(directory, "cache").glob("sha256-*")]


def case_downloads_and_resumes():
    server, url = file_server()
    Files.cut = 2
    with tempfile.TemporaryDirectory() as d:
        with sidecar(d, {"uri": url, "digest": DIGEST}) as s:
            s.ready()
            assert_equal(s.infer(body_of(ROWS[:1]))[0], 200)
            assert_equal(len(Files.requests), 3)
            assert Files.requests[2][1], "the download started over"
            assert_equal(s.end(), 0)
        assert_equal(published(d), ["sha256-" + DIGEST[7:]])
        with sidecar(d, {"uri": url, "digest": DIGEST}) as s:  # a restarted container
            s.ready()
            assert_equal(s.end(), 0)
        assert_equal(len(Files.requests), 3)
        (pathlib.Path(d) / "cache" / published(d)[0]).write_bytes(b"rubbish")
        with sidecar(d, {"uri": url, "digest": DIGEST}) as s:  # the cache is not believed
            s.listening()
            wait(lambda: "DigestMismatch" in "".join(s.lines()))
            assert_equal(published(d), [])
    server.shutdown()


def case_not_ready_while_downloading_and_killed():
    server, url = file_server()
    Files.release = threading.Event()
    with tempfile.TemporaryDirectory() as d:
        with sidecar(d, {"uri": url}) as s:
            s.listening()
            wait(lambda: list(pathlib.Path(d, "cache").glob("*.part")) and next(pathlib.Path(d, "cache").glob("*.part")).stat().st_size > 0)
            assert_equal(s.get("/v2/health/live")[:2], (200, '{"live":true}'))
            assert_equal(s.get("/v2/health/ready")[:2], (503, '{"ready":false}'))
            assert_equal(s.get("/v2/models/digits/ready")[0], 503)
            for status, text in (s.get("/v2/models/digits")[:2], s.infer(body_of(ROWS[:1]))[:2]):
                assert_equal((status, json.loads(text)["error"]), (503, 'model "digits" is not ready: Downloading'))
            s.process.kill()
            s.process.wait()
        assert_equal(published(d), [])
        with sidecar(d, {"uri": url}) as s:  # nothing to serve: no reason to wait
            s.listening()
            begin = time.monotonic()
            assert_equal(s.end(signal.SIGTERM), 0)
            assert time.monotonic() - begin < 1.5
        Files.release.set()
    server.shutdown()


def case_failures_are_shown():
    server, url = file_server()
    with tempfile.TemporaryDirectory() as d:
        bad = pathlib.Path(d) / "bad.onnx"
        bad.write_bytes(b"no model" * 100)
        for model, reason, words in (({"uri": url + "x"}, "DownloadFailed", "the server answered 404 (not found)"),
                                     ({"uri": f"file://{d}/none"}, "DownloadFailed", "No such file"),
                                     ({"digest": "sha256:" + "1" * 64}, "DigestMismatch", f"want sha256:{'1' * 64}, got {DIGEST}"),
                                     ({"uri": bad.as_uri()}, "ModelLoadFailed", ""),
                                     ({"uri": pathlib.Path(d).as_uri()}, "DownloadFailed", "not a regular file")):
            with sidecar(d, model) as s:
                s.listening()
                wait(lambda: s.metric('pintle_model_state{model="digits",version="1",state="Failed"}') == 1)
                assert_equal(s.get("/v2/health/live")[0], 200)
                assert_equal(s.get("/v2/health/ready")[0], 503)
                status, text, _ = s.infer(body_of(ROWS[:1]))
                assert status == 503 and "Failed: " in text and words in json.loads(text)["error"], text
                assert f'"reason":"{reason}"' in "".join(s.lines()).replace(": ", ":"), s.lines()
                assert_equal(s.end(), 0)
    server.shutdown()


def case_overload_is_refused_with_a_time():
    with serve("--concurrency", 1, "--queue", 1, "--threads", 1) as s:
        s.ready()
        body, results = slow_body(), []
        def client():
            for _ in range(4):
                results.append(s.infer(body))
        threads = [threading.Thread(target=client) for _ in range(6)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        codes = [r[0] for r in results]
        assert set(codes) == {200, 429}, codes
        for status, text, headers in results:
            if status == 429:
                assert int(headers["Retry-After"]) >= 1 and "the queue is full" in json.loads(text)["error"]
        assert_equal(s.metric('pintle_requests_total{model="digits",version="1",code="429"}'), codes.count(429))
        assert_equal(s.infer(body_of(ROWS[:1]))[0], 200)
        assert_equal(s.end(), 0)


def case_who_has_no_room_need_not_send_a_large_body():
    """The answer comes after the head alone; a body that is sent all the same does not get in its way."""
    def ask(path, body=b"", length=4000000):
        with socket.create_connection(("127.0.0.1", s.port), 0.3) as c:
            c.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n".encode())
            try:
                c.settimeout(10 if body else 0.3)
                c.sendall(body)
                return b"".join(iter(lambda: c.recv(65536), b"")).decode()
            except TimeoutError: # there was room, and it waits for the body
                return ""

    with serve("--concurrency", 1, "--queue", 1, "--threads", 1) as s:
        s.ready()
        body, stop = slow_body(), threading.Event()
        def keep_busy():
            while not stop.is_set():
                s.infer(body)
        threads = [threading.Thread(target=keep_busy) for _ in range(6)]
        [t.start() for t in threads]
        for path in "/v2/models/digits/infer", "/v2/models/digits/versions/1/infer", "/v1/models/digits:predict", "/v1/models/digits/versions/1:predict":
            wait(lambda: "HTTP/1.1 429" in ask(path))
        wait(lambda: "HTTP/1.1 429" in ask("/v2/models/digits/infer", b" " * 4000000))
        assert "HTTP/1.1 404" in ask("/v2/models/digits/inferno", b" " * 4000000)
        assert "HTTP/1.1 404" in ask("/v2/models/other/infer", b" " * 4000000)
        stop.set()
        [t.join() for t in threads]
        assert_equal(s.infer(body_of(ROWS[:1]))[0], 200)
        assert_equal(s.end(), 0)


def case_counts():
    """Series are there with 0 from the start, and each request is counted once, for what became of it."""
    label = 'model="digits",version="1"'
    reasons = ("queue_full", "not_ready", "deadline", "client_gone", "invalid", "other")
    with serve() as s:
        s.ready()
        for reason in reasons:
            assert_equal(s.metric(f'pintle_requests_refused_total{{{label},reason="{reason}"}}'), 0)
        assert_equal(s.metric(f"pintle_batch_rows_count{{{label}}}"), 0)
        assert_equal(s.metric(f"pintle_model_memory_bytes{{{label}}}"), MODEL.stat().st_size)
        for port, count in (("serving", 0), ("grpc", 0), ("metrics", 1)):
            wait(lambda: s.metric(f'pintle_connections{{port="{port}"}}') == count)
        for name in ("cpu_periods_total", "cpu_throttled_periods_total", "cpu_throttled_seconds_total", "memory_bytes", "memory_limit_bytes"):
            assert s.metric(f"pintle_cgroup_{name}") >= 0
        with socket.create_connection(("127.0.0.1", s.port)):
            wait(lambda: s.metric('pintle_connections{port="serving"}') == 1)
        assert_equal(s.infer(body_of(ROWS[:3]))[0], 200)
        assert_equal(s.infer("{")[0], 400)
        assert_equal(s.metric(f"pintle_batch_rows_sum{{{label}}}"), 3)
        assert_equal([s.metric(f'pintle_batch_rows_bucket{{{label},le="{b}"}}') for b in (2, 4, "+Inf")], [0, 1, 1])
        assert_equal([s.metric(f'pintle_requests_refused_total{{{label},reason="{r}"}}') for r in reasons], [0, 0, 0, 0, 1, 0])
        assert_equal(s.end(), 0)


def case_counts_under_other_names():
    label = 'model="digits",version="1"'
    latency = ':tensorflow:serving:request_latency_%s{model_name="digits",API="Predict",entrypoint="%s"}'
    with serve("--metrics-aliases", "triton, tensorflow") as s:
        s.ready()
        assert_equal(s.metric(f"nv_inference_request_success{{{label}}}"), 0)
        assert_equal(s.infer(body_of(ROWS[:3]))[0], 200)
        assert_equal(s.infer("{")[0], 400)
        for _ in range(2):  # reading them counts nothing
            assert_equal(s.metric(f"nv_inference_request_success{{{label}}}"), 1)
            for reason, n in (("REJECTED", 0), ("CANCELED", 0), ("BACKEND", 0), ("OTHER", 1)):
                assert_equal(s.metric(f'nv_inference_request_failure{{{label},reason="{reason}"}}'), n)
            assert_equal(s.metric(f"nv_inference_count{{{label}}}"), 3)
            assert_equal(s.metric(f"nv_inference_exec_count{{{label}}}"), 1)
            assert_equal(s.metric(f"nv_inference_pending_request_count{{{label}}}"), 0)
            for status, n in (("OK", 1), ("INVALID_ARGUMENT", 1), ("RESOURCE_EXHAUSTED", 0), ("UNKNOWN", 0)):
                assert_equal(s.metric(f':tensorflow:serving:request_count{{model_name="digits",status="{status}"}}'), n)
            assert_equal([s.metric(latency % ("count", e)) for e in ("REST", "GRPC")], [1, 0])
        whole = s.metric(f"nv_inference_request_duration_us{{{label}}}")
        parts = [s.metric(f"nv_inference_{p}_duration_us{{{label}}}") for p in ("queue", "compute_input", "compute_infer", "compute_output")]
        assert whole > 0 and all(p >= 0 for p in parts) and sum(parts) <= whole, (whole, parts)
        assert_equal(s.end(), 0)
    with serve() as s:
        s.ready()
        text = s.request("GET", "/metrics", port=s.metrics_port)[1]
        assert "nv_inference" not in text and "tensorflow" not in text
        assert_equal(s.end(), 0)
    p = subprocess.run([PINTLE, "serve", MODEL, "--metrics-aliases", "triton,nagios"], capture_output=True, text=True, timeout=30)
    assert p.returncode != 0 and 'metrics.aliases: want triton, tensorflow or both, got "nagios"' in p.stderr, p.stderr


def case_deadline():
    with serve("--timeout-ms", 1, "--threads", 1) as s:
        s.ready()
        status, text, _ = s.infer(slow_body(40000))
        assert status == 504 and "the request took longer than 1 ms" in text, (status, text)
        assert_equal(s.end(), 0)


def case_client_goes_away():
    with serve("--threads", 1) as s:
        s.ready()
        body = slow_body(40000).encode()
        for _ in range(3):
            c = socket.create_connection(("127.0.0.1", s.port))
            c.sendall(b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            c.close()
        wait(lambda: s.metric('pintle_requests_total{model="digits",version="1",code="499"}') == 3)
        wait(lambda: s.metric('pintle_requests_in_flight{model="digits",version="1"}') == 0)
        assert_equal(s.infer(body_of(ROWS[:1]))[0], 200)
        assert_equal(s.end(), 0)


def case_sigterm_under_load_loses_nothing():
    """Clients on kept-alive connections; new ones come for a second after SIGTERM, as long as endpoints point here."""
    with serve() as s:
        s.ready()
        body, lost, served, after = body_of(ROWS[:1]), [], [0], [0]
        stop_sent, gone = threading.Event(), threading.Event()

        def client():
            c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=10)
            while True:
                if not c.sock and gone.is_set():
                    return
                try:
                    c.request("POST", "/v2/models/digits/infer", body)
                    r = c.getresponse()
                    r.read()
                    served[0] += 1
                    if r.status != 200:
                        lost.append(r.status)
                    if stop_sent.is_set():
                        after[0] += 1
                except (OSError, http.client.HTTPException) as e:
                    lost.append(repr(e))
                    return

        threads = [threading.Thread(target=client) for _ in range(8)]
        [t.start() for t in threads]
        time.sleep(0.5)
        s.process.send_signal(signal.SIGTERM)
        stop_sent.set()
        wait(lambda: s.get("/v2/health/ready")[0] == 503, 1)
        begin = time.monotonic()
        time.sleep(1)
        gone.set()
        assert_equal(s.process.wait(20), 0)
        seconds = time.monotonic() - begin
        [t.join() for t in threads]
        assert not lost, f"{len(lost)} of {served[0]} requests were lost: {lost[:3]}"
        assert after[0] > 0, "nothing was served after SIGTERM: endpoints follow later"
        assert 1.5 < seconds < 5, f"it took {seconds} s to end"


def case_old_connections_end():
    with serve("--max-connection-age-ms", 200) as s:
        s.ready()
        c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=30)
        told = []
        for pause in (0, 0.4):
            time.sleep(pause)
            c.request("GET", "/v2/health/live")
            r = c.getresponse()
            assert_equal(r.status, 200)
            r.read()
            told.append(r.getheader("Connection"))
        assert_equal(told, [None, "close"])


def certificate(folder, name, ca=None):
    """A key and a certificate NAME.key, NAME.pem for 127.0.0.1, signed by itself or by ca."""
    signer = ["-CA", f"{folder}/{ca}.pem", "-CAkey", f"{folder}/{ca}.key"] if ca else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem", *signer],
                   check=True, capture_output=True)
    return f"{folder}/{name}.pem", f"{folder}/{name}.key"


def secure_get(port, path, context):
    c = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        c.request("GET", path)
        r = c.getresponse()
        return r.status, r.read(), c.sock and c.sock.getpeercert()
    finally:
        c.close()


def case_tls():
    with tempfile.TemporaryDirectory() as d:
        certificate(d, "ca")
        cert, key = certificate(d, "server", "ca")
        mine = certificate(d, "client", "ca")
        foreign = certificate(d, "foreign")
        trusting = ssl.create_default_context(cafile=f"{d}/ca.pem")
        with serve("--tls-cert", cert, "--tls-key", key).listening() as s:
            wait(lambda: secure_get(s.port, "/v2/health/ready", trusting)[0] == 200)
            assert b"pintle_" in secure_get(s.metrics_port, "/metrics", trusting)[1]
            both = ssl.create_default_context(cafile=f"{d}/ca.pem")
            both.set_alpn_protocols(["h2", "http/1.1"])
            with socket.create_connection(("127.0.0.1", s.port)) as raw, both.wrap_socket(raw, server_hostname="127.0.0.1") as t:
                assert_equal(t.selected_alpn_protocol(), "h2")
            for plain in (s.port, s.metrics_port):
                try:
                    s.request("GET", "/v2/health/live", port=plain)
                    raise AssertionError("it answers without TLS")
                except (http.client.HTTPException, OSError):
                    pass
            assert_equal(s.end(), 0)
        with serve("--tls-cert", cert, "--tls-key", key, "--tls-client-ca", f"{d}/ca.pem").listening() as s:
            for pair in (None, foreign):
                stranger = ssl.create_default_context(cafile=f"{d}/ca.pem")
                if pair:
                    stranger.load_cert_chain(*pair)
                for port in (s.port, s.metrics_port):
                    try:
                        secure_get(port, "/metrics", stranger)
                        raise AssertionError(f"it answers to {pair}")
                    except (http.client.HTTPException, OSError):
                        pass
            trusting.load_cert_chain(*mine)
            assert_equal(secure_get(s.port, "/v2/health/live", trusting)[0], 200)
            assert_equal(s.end(), 0)


def case_health_without_a_client_certificate():
    with tempfile.TemporaryDirectory() as d:
        certificate(d, "ca")
        cert, key = certificate(d, "server", "ca")
        mine, foreign = certificate(d, "client", "ca"), certificate(d, "foreign")
        tls = {"certFile": cert, "keyFile": key, "clientCaFile": f"{d}/ca.pem", "openHealth": 1}
        with sidecar(d, {}, serving={"port": 0, "metricsPort": 0, "tls": tls}).listening() as s:
            def get(port, path, pair=None):
                context = ssl.create_default_context(cafile=f"{d}/ca.pem")
                if pair:
                    context.load_cert_chain(*pair)
                return secure_get(port, path, context)[0]
            wait(lambda: get(s.port, "/v2/health/ready") == 200)
            assert_equal([get(s.port, p) for p in ("/v2/health/live", "/v2", "/v2/models/digits", "/")], [200, 401, 401, 401])
            assert_equal([get(s.metrics_port, p) for p in ("/healthz", "/metrics")], [200, 401])
            assert_equal([get(s.port, "/v2", mine), get(s.metrics_port, "/metrics", mine)], [200, 200])
            for port, path in ((s.port, "/v2/health/live"), (s.metrics_port, "/healthz")):
                try:
                    get(port, path, foreign)
                    raise AssertionError("a foreign certificate was taken")
                except (http.client.HTTPException, OSError):
                    pass
            assert_equal(s.end(), 0)


def case_tls_files_that_change():
    with tempfile.TemporaryDirectory() as d:
        certificate(d, "ca")
        cert, key = map(pathlib.Path, certificate(d, "server", "ca"))
        later = [pathlib.Path(p).read_bytes() for p in certificate(d, "later", "ca")]
        context = ssl.create_default_context(cafile=f"{d}/ca.pem")
        tls = {"certFile": str(cert), "keyFile": str(key), "pollMs": 20}
        with sidecar(d, {}, serving={"port": 0, "metricsPort": 0, "tls": tls}).listening() as s:
            def subject():
                with socket.create_connection(("127.0.0.1", s.port)) as raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as t:
                    return t.getpeercert()["subject"][0][0][1]
            kept = http.client.HTTPSConnection("127.0.0.1", s.port, timeout=10, context=context)
            for step in ("before", "after"):
                if step == "after":
                    cert.write_bytes(later[0])  # does not fit its key
                    wait(lambda: any("those before stay" in line for line in s.lines()))
                    assert_equal(subject(), "server")
                    key.write_bytes(later[1])
                    wait(lambda: subject() == "later")
                kept.request("GET", "/v2/health/live")
                r = kept.getresponse()
                assert_equal((r.status, r.getheader("Connection")), (200, None))
                r.read()
            kept.close()
            assert_equal(s.end(), 0)


def case_bearer_tokens():
    with tempfile.TemporaryDirectory() as d:
        tokens = pathlib.Path(d) / "tokens"

        def allow(*names):
            tokens.write_text("# who may\n" + "".join(f"sha256:{hashlib.sha256(n.encode()).hexdigest()} for {n[:3]}\n" for n in names))

        def bearer(token):
            return {"Authorization": f"Bearer {token}"}
        allow("first-secret", "second-secret")
        auth = {"tokenFile": str(tokens), "metrics": 1, "pollMs": 20}
        with sidecar(d, {}, serving={"port": 0, "metricsPort": 0, "auth": auth}).ready() as s:
            for method, path in (("GET", "/v2"), ("GET", "/v2/models/digits"), ("GET", "/v2/health/ready/"), ("POST", "/v2/models/digits/infer"),
                                 ("POST", "/v2/repository/models/digits/unload"), ("GET", "/v1/models/digits"), ("GET", "/none")):
                for headers in ({}, bearer("third-secret"), bearer("first-secre"), bearer(""), {"Authorization": "Basic first-secret"}):
                    status, body, answer = s.request(method, path, headers=headers)
                    assert_equal((path, status, answer["WWW-Authenticate"]), (path, 401, "Bearer"))
                    assert "bearer token" in json.loads(body)["error"], body
            for token in ("first-secret", "second-secret"):
                assert_equal(s.request("POST", "/v2/models/digits/infer", body_of(ROWS[:1]), bearer(token))[0], 200)
            assert_equal(s.request("GET", "/v2/health/live")[0], 200)
            assert_equal(s.request("GET", "/metrics", port=s.metrics_port)[0], 401)
            assert_equal(s.request("GET", "/metrics", headers=bearer("first-secret"), port=s.metrics_port)[0], 200)
            assert_equal(s.request("GET", "/healthz", port=s.metrics_port)[0], 200)
            tokens.write_text("third-secret\n")  # a token where a hash belongs
            wait(lambda: any("those before stay" in line for line in s.lines()))
            assert_equal(s.request("GET", "/v2", headers=bearer("first-secret"))[0], 200)
            allow("third-secret")
            wait(lambda: s.request("GET", "/v2", headers=bearer("third-secret"))[0] == 200)
            assert_equal(s.request("GET", "/v2", headers=bearer("first-secret"))[0], 401)
            assert not any("secret" in line for line in s.lines())
            assert_equal(s.end(), 0)
        with serve("--auth-tokens", tokens).ready() as s:
            assert_equal(s.get("/v2")[0], 401)
            assert_equal(s.request("GET", "/metrics", port=s.metrics_port)[0], 200)


def case_idle_connections_and_second_signal():
    with serve() as s:
        s.ready()
        idle = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(5)]
        assert_equal(s.end(signal.SIGTERM, 10), 0)
        [c.close() for c in idle]
    with serve() as s:
        s.ready()
        s.process.send_signal(signal.SIGTERM)
        wait(lambda: '"draining"' in "".join(s.lines()))
        begin = time.monotonic()
        assert_equal(s.end(signal.SIGTERM), 0)
        assert time.monotonic() - begin < 1


def case_idle_costs_nothing():
    with serve() as s:
        s.ready()
        def ticks():
            return sum(map(int, pathlib.Path(f"/proc/{s.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
        def switches():
            ours = [t for t in pathlib.Path(f"/proc/{s.process.pid}/task").iterdir()
                    if t.name == str(s.process.pid) or re.match(r"(worker|pintle)-\d", (t / "comm").read_text())]  # not a sanitizer's
            return sum(int(n) for t in ours for n in re.findall(r"voluntary_ctxt_switches:\s*(\d+)", (t / "status").read_text()))
        time.sleep(0.5)
        before = ticks(), switches()
        time.sleep(2)
        after = ticks(), switches()
        assert after[0] - before[0] <= 1 and after[1] - before[1] <= 10, f"idle: {before} -> {after} (CPU ticks, context switches)"
        assert_equal(s.end(), 0)


def main(namespace):
    failed = 0
    cases = {n: f for n, f in namespace.items() if n.startswith("case_") and (len(sys.argv) < 5 or n[5:] in sys.argv[4:])}
    for name, case in cases.items():
        begin = time.monotonic()
        try:
            case()
            print(f"ok      {name[5:]} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED  {name[5:]}", flush=True)
            traceback.print_exc(file=sys.stdout)
    print(f"{len(cases) - failed} of {len(cases)} cases passed")
    return failed > 0 or not cases


if __name__ == "__main__":
    sys.exit(main(globals()))
