#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""access_log_test.py PINTLE SIDECAR MODEL: what the access log says of each request, and that it costs the server nothing but memory it has set aside.

gRPC and its streams are in tests/observe/run, which has a client for them."""
import hashlib
import json
import os
import pathlib
import re
import socket
import sys
import tempfile
import threading
import time

from server_test import Server, MODEL, PINTLE, ROWS, assert_equal, body_of, main, slow_body, wait

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def serve(path, *more):
    return Server([PINTLE, "serve", MODEL, "--port", 0, "--metrics-port", 0, "--access-log", 1, "--access-log-path", path, *more])


def records(path):
    """Every line must be JSON by itself."""
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()] if os.path.exists(path) else []


def settled(s, path):
    """How many lines there are once those of asking whether it is ready are written."""
    s.get("/v2/settled")
    wait(lambda: any(r.get("path") == "/v2/settled" for r in records(path)))
    return len(records(path))


def last(path, count):
    wait(lambda: len(records(path)) >= count)
    assert_equal(len(records(path)), count)
    return records(path)[-1]


def raw(port, data, read=True):
    with socket.create_connection(("127.0.0.1", port), 20) as c:
        c.sendall(data)
        return c.recv(65536) if read else b""


def post(body, *headers):
    body = body.encode()
    return b"\r\n".join([b"POST /v2/models/digits/infer HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *headers, b"", body])


def case_what_a_line_says():
    with tempfile.TemporaryDirectory() as tmp, serve(tmp + "/log") as s:
        s.ready()
        path = tmp + "/log"
        seen = settled(s, path)
        s.request("POST", "/v2/models/digits/infer?token=geheim", body_of([ROWS[0], ROWS[1]], id='a"\\u0007\u00e9'),
                  {"traceparent": TRACE, "tracestate": "congo=t61", "Authorization": "Bearer geheim", "X-Request-Id": "outer"})
        r = last(path, seen + 1)
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ", r["ts"]), r
        want = {"protocol": "http/1.1", "method": "POST", "path": "/v2/models/digits/infer", "model": "digits", "version": "1", "status": 200, "rows": 2,
                "request_id": 'a"\\u0007\u00e9', "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "parent_id": "00f067aa0ba902b7", "sampled": True,
                "tracestate": "congo=t61", "bytes_in": len(body_of([ROWS[0], ROWS[1]], id='a"\\u0007\u00e9'))}
        assert_equal({k: r.get(k) for k in want}, want)
        assert r["duration_us"] >= r["compute_us"] > 0 and r["bytes_out"] > 100 and r["client"].startswith("127.0.0.1:"), r
        assert "geheim" not in pathlib.Path(path).read_text()
        assert "reason" not in r
        s.request("POST", "/v2/models/digits/infer", body_of([ROWS[0]]), {"traceparent": TRACE.replace("-01", "-0x"), "tracestate": "congo=t61", "X-Request-Id": "outer\tone"})
        r = last(path, seen + 2)
        assert_equal([r.get(k) for k in ("trace_id", "tracestate", "request_id", "x_request_id")], [None, None, None, "outer\tone"])
        raw(s.port, post(body_of([ROWS[0]]), b"Connection: close", b"traceparent: " + TRACE.encode(), b"Traceparent: " + TRACE.encode()))
        assert "trace_id" not in last(path, seen + 3) # two of them: neither counts
        assert_equal(s.end(), 0)


def case_refusals():
    with tempfile.TemporaryDirectory() as tmp:
        path, tokens = tmp + "/log", pathlib.Path(tmp) / "tokens"
        tokens.write_text("sha256:" + hashlib.sha256(b"t").hexdigest() + "\n")
        good = {"Authorization": "Bearer t"}
        with serve(path, "--auth-tokens", tokens, "--access-log-sample", 1000000) as s:
            s.ready() # which asks often: the sample leaves that out, but not the answers 503
            seen = settled(s, path)
            def refused(status, reason, **want):
                nonlocal seen
                seen += 1
                r = last(path, seen)
                assert_equal(r["status"], status)
                assert reason in r["reason"], r
                assert_equal({k: r.get(k) for k in want}, want)
            s.request("POST", "/v2/models/digits/infer", body_of([ROWS[0]]))
            refused(401, "a bearer token is needed", path="/v2/models/digits/infer")
            s.request("POST", "/v2/models/digits/infer", "{", good)
            refused(400, "JSON", model="digits")
            s.request("POST", "/v2/models/x/infer", body_of([ROWS[0]]), good)
            refused(404, 'no model "x" here')
            s.request("GET", "/gibt/es/nicht", None, good)
            refused(404, "no such path", method="GET", path="/gibt/es/nicht")
            s.request("GET", "/v2/models/digits/infer", None, good)
            refused(405, "takes POST, not GET")
            raw(s.port, b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
            refused(413, "request body too large", path="/v2/models/digits/infer")
            raw(s.port, b"NONSENSE\r\n\r\n")
            refused(400, "", path=None, method=None)
            raw(s.port, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70000 + b"\r\n\r\n")
            refused(431, "header")
            raw(s.port, b"GET /\x01 HTTP/1.1\r\n\r\n")
            refused(400, "")
            assert_equal(s.end(), 0)


def case_overload_and_clients_that_leave():
    with tempfile.TemporaryDirectory() as tmp, serve(tmp + "/log", "--concurrency", 1, "--queue", 1, "--threads", 1) as s:
        s.ready()
        path, body = tmp + "/log", slow_body(20000)
        threads = [threading.Thread(target=s.infer, args=(body,)) for _ in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        wait(lambda: sum(r["path"].endswith("/infer") for r in records(path)) == 6)
        got = [r for r in records(path) if r["path"].endswith("/infer")]
        busy = [r for r in got if r["status"] == 429]
        assert busy and all("the queue is full" in r["reason"] and "queue_us" not in r and r["model"] == "digits" for r in busy), got
        assert all(r["queue_us"] >= 0 and r["compute_us"] > 0 for r in got if r["status"] == 200), got
        raw(s.port, post(body, b"traceparent: " + TRACE.encode()), read=False)
        wait(lambda: records(path)[-1]["status"] == 499)
        r = records(path)[-1]
        want = {"model": "digits", "version": "1", "reason": "the client went away", "bytes_in": len(body), "bytes_out": 0,
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
        assert_equal({k: r.get(k) for k in want}, want)
        raw(s.port, b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{", read=False) # in the middle of its body
        wait(lambda: records(path)[-1]["bytes_in"] == 1)
        assert_equal(records(path)[-1]["status"], 499)
        assert_equal(s.end(), 0)


def case_sample():
    with tempfile.TemporaryDirectory() as tmp, serve(tmp + "/log", "--access-log-sample", 10) as s:
        s.ready()
        for i in range(600):
            s.infer(body_of([ROWS[0]]) if i % 6 else "nonsense")
        assert_equal(s.end(), 0)
        got = [r for r in records(tmp + "/log") if r.get("path", "").endswith("/infer")]
        assert_equal(sum(r["status"] == 400 for r in got), 100)
        assert 15 <= sum(r["status"] == 200 for r in got) <= 100, len(got) # 50 are to be expected


def case_rotation():
    with tempfile.TemporaryDirectory() as tmp, serve(tmp + "/log") as s:
        s.ready()
        settled(s, tmp + "/log")
        os.rename(tmp + "/log", tmp + "/log.1")
        s.get("/v2")
        wait(lambda: len(records(tmp + "/log")) > 0)
        assert_equal([r["path"] for r in records(tmp + "/log")], ["/v2"])
        assert_equal(s.end(), 0)


def case_nobody_reads():
    """A pipe that is full: requests are answered on, lines are dropped and counted, and the end comes soon."""
    with tempfile.TemporaryDirectory() as tmp:
        os.mkfifo(tmp + "/pipe")
        reader = os.open(tmp + "/pipe", os.O_RDONLY | os.O_NONBLOCK)
        with serve(tmp + "/pipe") as s:
            s.ready()
            c = socket.create_connection(("127.0.0.1", s.port), 20)
            ask = b"GET /v2/models/" + b"x" * 250 + b"/ready HTTP/1.1\r\nHost: x\r\n\r\n"
            for _ in range(60):
                c.sendall(ask * 100)
                got = 0
                while got < 100:
                    got += c.recv(1 << 20).count(b"HTTP/1.1 404")
            assert s.metric("pintle_access_log_dropped_total") > 1000
            begin = time.monotonic()
            assert_equal(s.end(), 0)
            assert time.monotonic() - begin < 3
        os.close(reader)


def case_standard_output_and_off():
    with tempfile.TemporaryDirectory() as tmp:
        with Server([PINTLE, "serve", MODEL, "--port", 0, "--metrics-port", 0, "--access-log", 1]) as s:
            s.ready()
            wait(lambda: any('"path":"/v2/health/ready"' in line for line in s.lines()))
            assert_equal(s.end(), 0)
        with Server([PINTLE, "serve", MODEL, "--port", 0, "--metrics-port", 0]) as s:
            s.ready()
            assert_equal(s.infer(body_of([ROWS[0]]))[0], 200)
            assert_equal(s.end(), 0)
            assert not any('"path"' in line for line in s.lines())
        with serve(tmp + "/no/such/folder") as s:
            assert s.process.wait(20) != 0
            assert any("accessLog.path" in line for line in s.lines())
            assert not any("retires" in line for line in s.lines())


if __name__ == "__main__":
    sys.exit(main(globals()))
