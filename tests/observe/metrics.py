# SPDX-License-Identifier: Apache-2.0
"""Both formats of /metrics as prometheus_client's parsers read them; gRPC calls and streams of tritonclient in the access log."""
import sys
import tempfile
import threading
import time

import grpc
import numpy as np
import tritonclient.grpc as triton
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from access_log_test import TRACE, last, records, settled, serve as serve_logged
from server_test import ROWS, Server, MODEL, PINTLE, assert_equal, body_of, main, wait

TRACE_ID = TRACE.split("-")[1]
PROMETHEUS = ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
              "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1")
IMAGE = np.array(ROWS[0][1:], np.float32).reshape(1, 1, 8, 8)


def scrape(s, accept=None):
    status, text, headers = s.request("GET", "/metrics", headers={"Accept": accept} if accept else {}, port=s.metrics_port)
    assert_equal((status, headers["Vary"]), (200, "Accept"))
    return text, headers["Content-Type"]


def samples(families):
    return {(x.name, tuple(sorted(x.labels.items()))): x for f in families for x in f.samples}


def case_both_formats():
    with Server([PINTLE, "serve", MODEL, "--port", 0, "--metrics-port", 0, "--metrics-aliases", "triton, tensorflow"]) as s:
        s.ready()
        own = (("model", "digits"), ("version", "1"))
        before = samples(parse_text(scrape(s)[0])) # everything is there before the first request
        for name in "request", "queue", "inference":
            assert_equal(before[f"pintle_{name}_duration_seconds_count", own].value, 0)
        for code in "200", "400", "413", "429", "499", "500", "503", "504":
            assert_equal(before["pintle_requests_total", (("code", code), *own)].value, 0)
        for reason in "queue_full", "not_ready", "deadline", "client_gone", "invalid", "other":
            assert_equal(before["pintle_requests_refused_total", (*own[:1], ("reason", reason), *own[1:])].value, 0)
        for name in ("pintle_batch_rows_count", "pintle_requests_in_flight", "pintle_requests_queued"):
            assert_equal(before[name, own].value, 0)
        for name in ("pintle_cgroup_cpu_periods_total", "pintle_cgroup_cpu_throttled_periods_total", "pintle_cgroup_cpu_throttled_seconds_total",
                     "pintle_cgroup_memory_bytes", "pintle_cgroup_memory_limit_bytes", "process_resident_memory_bytes", "process_cpu_seconds_total"):
            assert (name, ()) in before, name
        assert before["pintle_model_memory_bytes", own].value > 1000
        for _ in range(3):
            s.request("POST", "/v2/models/digits/infer", body_of(ROWS[:4]), {"traceparent": TRACE})
        s.request("POST", "/v2/models/digits/infer", body_of(ROWS[:1]), {"traceparent": TRACE.replace(TRACE_ID, "a" * 32).replace("-01", "-00")})
        s.infer("nonsense")
        text, kind = scrape(s)
        assert_equal(kind, "text/plain; version=0.0.4; charset=utf-8")
        open_text, kind = scrape(s, PROMETHEUS)
        assert_equal(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8")
        families = list(parse_open(open_text)) # which refuses what the standard does
        plain, opened = samples(parse_text(text)), samples(families)
        same = [k for k in plain if not k[0].startswith(("process_", "pintle_cgroup", "pintle_connections"))]
        def canonical(key): # the parser of the plain text puts _total behind every counter
            name = key[0].removesuffix("_total") if key[0].startswith(("nv_", ":")) else key[0]
            return name, tuple((k, v + ".0" if k == "le" and "." not in v and "e" not in v and v != "+Inf" else v) for k, v in key[1])
        for key in same:
            assert_equal(opened[canonical(key)].value, plain[key].value)
        assert_equal(len(opened), len(plain))
        kinds = {f.name: (f.type, f.unit) for f in families}
        assert_equal(kinds["pintle_requests"], ("counter", ""))
        assert_equal(kinds["pintle_request_duration_seconds"], ("histogram", "seconds"))
        assert_equal(kinds["pintle_model_memory_bytes"], ("gauge", "bytes"))
        assert_equal(kinds["nv_inference_request_success"], ("unknown", ""))
        assert_equal(kinds[":tensorflow:serving:request_count"], ("unknown", ""))
        assert_equal(plain["pintle_requests_total", (("code", "200"), *own)].value, 4)
        assert_equal(plain["pintle_requests_refused_total", (*own[:1], ("reason", "invalid"), *own[1:])].value, 1)
        assert_equal((plain["pintle_batch_rows_sum", own].value, plain["pintle_batch_rows_count", own].value), (13, 4))
        for name in "request", "queue", "inference":
            found = [x.exemplar for x in opened.values() if x.name == f"pintle_{name}_duration_seconds_bucket" and x.exemplar]
            assert found and all(e.labels == {"trace_id": TRACE_ID} and abs(float(e.timestamp) - time.time()) < 60 for e in found), found
        for x in opened.values(): # an exemplar lies in its bucket
            if x.exemplar:
                assert x.exemplar.value <= float(x.labels["le"]), x
        assert_equal(s.end(), 0)


def request_input():
    x = triton.InferInput("x", IMAGE.shape, "FP32")
    x.set_data_from_numpy(IMAGE)
    return [x]


def case_grpc_in_the_access_log():
    with tempfile.TemporaryDirectory() as tmp, serve_logged(tmp + "/log") as s:
        s.ready()
        path, seen = tmp + "/log", settled(s, tmp + "/log")
        with triton.InferenceServerClient(f"127.0.0.1:{s.port}") as c:
            c.infer("digits", request_input(), request_id="unary", headers={"traceparent": TRACE, "tracestate": "a=1"})
            r = last(path, seen + 1)
            want = {"protocol": "grpc", "method": "POST", "path": "/inference.GRPCInferenceService/ModelInfer", "model": "digits", "version": "1", "status": 200,
                    "grpc_status": 0, "request_id": "unary", "trace_id": TRACE_ID, "tracestate": "a=1", "rows": 1}
            assert_equal({k: r.get(k) for k in want}, want)
            assert r["bytes_in"] > 256 and r["bytes_out"] > 40 and r["compute_us"] >= 0 and "reason" not in r, r
            try:
                c.infer("none", request_input())
            except triton.InferenceServerException:
                pass
            r = last(path, seen + 2)
            assert_equal((r["grpc_status"], r["reason"]), (5, 'no model "none" here; this server has "digits"'))
            got, answers = [], threading.Semaphore(0)
            c.start_stream(callback=lambda result, error: (got.append((result, error)), answers.release()), headers={"traceparent": TRACE})
            c.async_stream_infer("digits", request_input(), request_id="first")
            c.async_stream_infer("digits", request_input(), request_id="second", parameters={"traceparent": TRACE.replace(TRACE_ID, "b" * 32)})
            c.async_stream_infer("digits", request_input(), request_id="third", parameters={"traceparent": "nonsense"})
            c.async_stream_infer("none", request_input(), request_id="fourth")
            for _ in range(4):
                assert answers.acquire(timeout=20)
            c.stop_stream()
            last(path, seen + 7)
            lines = records(path)[seen + 2:]
            lines[:4] = sorted(lines[:4], key=lambda r: r.get("request_id", "~")) # in the order in which they ended, not in that of the answers
            assert_equal([(r["protocol"], r.get("request_id"), r.get("trace_id"), r["grpc_status"]) for r in lines],
                         [("grpc-message", "first", TRACE_ID, 0), ("grpc-message", "second", "b" * 32, 0), ("grpc-message", "third", TRACE_ID, 0),
                          ("grpc-message", None, TRACE_ID, 5), ("grpc", None, TRACE_ID, 0)])
            assert all(r["client"] == lines[0]["client"] for r in lines)
        with grpc.insecure_channel(f"127.0.0.1:{s.port}") as channel: # a method that is not there
            try:
                channel.unary_unary("/no.Service/Method")(b"", timeout=5)
            except grpc.RpcError:
                pass
        assert_equal(last(path, seen + 8)["grpc_status"], 12)
        with triton.InferenceServerClient(f"127.0.0.1:{s.port}") as c: # gives up while its request is run
            x = triton.InferInput("x", [60000, 1, 8, 8], "FP32")
            x.set_data_from_numpy(np.repeat(IMAGE, 60000, 0))
            call = c.async_infer("digits", [x], callback=lambda result, error: None)
            wait(lambda: s.metric('pintle_requests_in_flight{model="digits",version="1"}') > 0)
            call.cancel()
            wait(lambda: len(records(path)) > seen + 8)
            r = records(path)[-1]
            want = {"status": 499, "grpc_status": 1, "path": "/inference.GRPCInferenceService/ModelInfer", "model": "digits", "reason": "the client went away"}
            assert_equal({k: r.get(k) for k in want}, want)
        assert_equal(s.end(), 0)


if __name__ == "__main__":
    sys.exit(main(globals()))
