# SPDX-License-Identifier: Apache-2.0
"""triton.py: unmodified tritonclient over HTTP and gRPC: every method it has, every type, compression, streams, errors."""
import asyncio
import json
import queue

import grpc as grpcio
import numpy as np
import tritonclient.grpc as grpc
import tritonclient.http as http
from common import DIGITS, GRPC, REPOSITORY, TYPES, equal, main, raises
from triton_samples import NUMPY, image, sample
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException as Error

def tensor(module, x, name="x", datatype="FP32", **kwargs):
    t = module.InferInput(name, list(x.shape), datatype)
    t.set_data_from_numpy(x, **kwargs)
    return t


def clients():
    return [(http, http.InferenceServerClient(DIGITS)), (grpc, grpc.InferenceServerClient(GRPC)), (grpc, grpc.InferenceServerClient(DIGITS))]


def case_health_and_metadata():
    for module, c in clients():
        as_json = {} if module is http else {"as_json": True}
        assert c.is_server_live() and c.is_server_ready() and c.is_model_ready("digits") and c.is_model_ready("digits", "1")
        server = c.get_server_metadata(**as_json)
        equal(server["name"], "pintle")
        assert "binary_tensor_data" in server["extensions"]
        model = c.get_model_metadata("digits", **as_json)
        equal((model["name"], model["versions"]), ("digits", ["1"]))
        equal([(t["name"], t["datatype"], [int(d) for d in t["shape"]]) for t in model["inputs"]], [("x", "FP32", [-1, 1, 8, 8])])
        equal([t["name"] for t in model["outputs"]], ["logits", "probabilities"])
        raises(Error, 'no model "none"', c.get_model_metadata, "none")
        raises(Error, 'no version "7"', c.get_model_metadata, "digits", "7")


def case_config():
    h, g = (c for _, c in clients()[:2])
    config = h.get_model_config("digits")
    equal((config["name"], config["input"][0]["data_type"], config["output"][1]["name"]), ("digits", "TYPE_FP32", "probabilities"))
    pb = g.get_model_config("digits").config
    equal((pb.name, pb.input[0].name, list(pb.input[0].dims)[-2:], pb.max_batch_size), ("digits", "x", [8, 8], config["max_batch_size"]))


def case_infer_agrees_over_all_ways():
    x = image(3)
    want = None
    for module, c in clients():
        for kwargs in ({}, {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"} if module is http else {"compression_algorithm": "gzip"},
                       {"request_compression_algorithm": "deflate", "response_compression_algorithm": "deflate"} if module is http else {"compression_algorithm": "deflate"}):
            r = c.infer("digits", [tensor(module, x)], request_id="id-1", **kwargs)
            p = r.as_numpy("probabilities")
            equal(p.shape, (3, 10))
            want = p if want is None else want
            np.testing.assert_array_equal(p, want)
            response = r.get_response()
            equal(response["id"] if module is http else response.id, "id-1")
    h = clients()[0][1]
    for binary_in in (True, False):
        for binary_out in (True, False):
            r = h.infer("digits", [tensor(http, x, binary_data=binary_in)], outputs=[http.InferRequestedOutput("probabilities", binary_data=binary_out)])
            np.testing.assert_allclose(r.as_numpy("probabilities"), want, rtol=1e-6)
            assert r.as_numpy("logits") is None, "an output that was not asked for"


def case_every_type():
    h, g = http.InferenceServerClient(TYPES), grpc.InferenceServerClient(TYPES)
    for rows in (3, 1):
        values = {n: sample(n, rows) for n in NUMPY}
        r = g.infer("types", [tensor(grpc, v, n, n) for n, v in values.items()])
        for n, v in values.items():
            np.testing.assert_array_equal(r.as_numpy("out_" + n), v, err_msg=n)
        r = h.infer("types", [tensor(http, v, n, n) for n, v in values.items()])
        for n, v in values.items():
            np.testing.assert_array_equal(r.as_numpy("out_" + n), v, err_msg=n)
    # as JSON, what JSON can carry
    values = {n: sample(n, 2) for n in NUMPY}
    only_binary = {"FP16", "BF16"}  # by the client
    inputs = [tensor(http, v, n, n, binary_data=n in only_binary) for n, v in values.items()]
    outputs = [http.InferRequestedOutput("out_" + n, binary_data=n in only_binary) for n in values]
    r = h.infer("types", inputs, outputs=outputs)
    for n, v in values.items():
        got = r.as_numpy("out_" + n)
        np.testing.assert_array_equal(np.array([[s.encode() if isinstance(s, str) else s for s in row] for row in got], dtype=object) if n == "BYTES" else got, v,
                                      err_msg=n)
    # bytes that are no text need binary form
    raises(Error, "not UTF-8", h.infer, "types", [tensor(http, v, n, n) for n, v in {m: sample(m, 3) for m in NUMPY}.items()],
           outputs=[http.InferRequestedOutput("out_BYTES", binary_data=False)])


def case_typed_contents():
    """Requests that other clients build: contents instead of raw_input_contents."""
    from tritonclient.grpc import service_pb2, service_pb2_grpc
    import grpc as rpc
    stub = service_pb2_grpc.GRPCInferenceServiceStub(rpc.insecure_channel(DIGITS))
    request = service_pb2.ModelInferRequest(model_name="digits", id="7")
    t = request.inputs.add(name="x", datatype="FP32", shape=[1, 1, 8, 8])
    t.contents.fp32_contents.extend(float(v) for v in image().ravel())
    r = stub.ModelInfer(request)
    equal((r.id, len(r.outputs), len(r.raw_output_contents), len(r.outputs[1].contents.fp32_contents)), ("7", 2, 0, 10))
    del t.contents.fp32_contents[5:]
    raises(rpc.RpcError, "want 64 elements, got fewer", stub.ModelInfer, request)


def case_classification():
    x = image(2)
    for module, c in clients()[:2]:
        p = c.infer("digits", [tensor(module, x)]).as_numpy("probabilities")
        r = c.infer("digits", [tensor(module, x)], outputs=[module.InferRequestedOutput("probabilities", class_count=3)])
        top = r.as_numpy("probabilities")
        equal(top.shape, (2, 3))
        for row in range(2):
            labels = [(s if isinstance(s, str) else s.decode()).split(":") for s in top[row]]
            equal([int(i) for _, i in labels], [int(i) for i in np.argsort(-p[row], kind="stable")[:3]])


def case_async():
    x = image(2)
    h, g = (c for _, c in clients()[:2])
    pending = [h.async_infer("digits", [tensor(http, x)], request_id=str(i)) for i in range(20)]
    equal([p.get_result().get_response()["id"] for p in pending], [str(i) for i in range(20)])
    done = queue.Queue()
    for i in range(20):
        g.async_infer("digits", [tensor(grpc, x)], callback=lambda result, error: done.put((result, error)), request_id=str(i))
    got = [done.get(timeout=20) for _ in range(20)]
    assert all(e is None for _, e in got)
    equal(sorted(int(r.get_response().id) for r, _ in got), list(range(20)))


def case_stream():
    c, done = clients()[1][1], queue.Queue()
    c.start_stream(lambda result, error: done.put((result, error)))
    for i in range(300):
        c.async_stream_infer("digits", [tensor(grpc, image(1 + i % 3))], request_id=str(i))
    c.async_stream_infer("digits", [tensor(grpc, image(), "y")], request_id="bad")
    c.async_stream_infer("digits", [tensor(grpc, image())], request_id="after")
    got = [done.get(timeout=30) for _ in range(302)]
    c.stop_stream()
    equal([r.get_response().id for r, e in got if e is None], [str(i) for i in range(300)] + ["after"])
    errors = [e for _, e in got if e is not None]
    assert len(errors) == 1 and 'input "y"' in errors[0].message(), errors


def case_a_thousand_streams_at_once():
    """All open at a time, on one connection: each is answered while none has ended, and once more."""
    async def drive(count=1000):
        request = service_pb2.ModelInferRequest(model_name="digits", raw_input_contents=[image(1).tobytes()])
        request.inputs.add(name="x", datatype="FP32", shape=[1, 1, 8, 8])
        async with grpcio.aio.insecure_channel(GRPC) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            streams = [stub.ModelStreamInfer() for _ in range(count)]
            for turn in range(2):
                for i, s in enumerate(streams):
                    request.id = f"{turn}-{i}"
                    await s.write(request)
                for i, s in enumerate(streams):
                    answer = await s.read()
                    equal((answer.error_message, answer.infer_response.id), ("", f"{turn}-{i}"))
            for s in streams:
                await s.done_writing()
            for s in streams:
                equal(await s.read(), grpcio.aio.EOF)
                equal(await s.code(), grpcio.StatusCode.OK)
    asyncio.run(drive())


def case_statistics_and_index():
    h, g = (c for _, c in clients()[:2])
    for c in (h, g):
        before = h.get_inference_statistics("digits")["model_stats"][0]
        x = image()
        c.infer("digits", [tensor(http if c is h else grpc, x)])
        after = h.get_inference_statistics("digits", "1")["model_stats"][0]
        equal(after["inference_stats"]["success"]["count"], before["inference_stats"]["success"]["count"] + 1)
        assert after["last_inference"] > 0 and after["inference_count"] > before["inference_count"]
    pb = g.get_inference_statistics("digits").model_stats[0]
    equal((pb.name, pb.inference_stats.success.count), ("digits", h.get_inference_statistics("digits")["model_stats"][0]["inference_stats"]["success"]["count"]))
    assert any(s["name"] == "digits" for s in h.get_inference_statistics()["model_stats"])
    equal(h.get_model_repository_index(), [{"name": "digits", "version": "1", "state": "READY", "reason": ""}])
    equal([(m.name, m.version, m.state) for m in g.get_model_repository_index().models], [("digits", "1", "READY")])


def case_control_is_refused():
    for _, c in clients()[:2]:
        raises(Error, "", c.load_model, "digits")
        raises(Error, "", c.unload_model, "digits")
        assert c.is_model_ready("digits")


def case_repository():
    x = image(4)
    for module, c in ((http, http.InferenceServerClient(REPOSITORY)), (grpc, grpc.InferenceServerClient(REPOSITORY))):
        index = c.get_model_repository_index()
        states = {(m["name"], m["version"]): m["state"] for m in index} if module is http else {(m.name, m.version): m.state for m in index.models}
        equal({k: v for k, v in states.items() if k[0] == "digits"}, {("digits", "1"): "READY", ("digits", "2"): "READY"})
        assert not c.is_model_ready("other")
        meta = c.get_model_metadata("digits", **({} if module is http else {"as_json": True}))
        equal(sorted(meta["versions"]), ["1", "2"])
        config = c.get_model_config("digits") if module is http else c.get_model_config("digits", as_json=True)["config"]
        equal((config["max_batch_size"], [int(d) for d in config["input"][0]["dims"]], int(config["dynamic_batching"]["max_queue_delay_microseconds"])), (8, [1, 8, 8], 500))
        for version in ("", "1", "2"):
            r = c.infer("digits", [tensor(module, x)], model_version=version).get_response()
            equal(r["model_version"] if module is http else r.model_version, version or "2")
        raises(Error, "", c.infer, "other", [tensor(module, x)])
        c.load_model("other")
        assert c.is_model_ready("other")
        equal(c.infer("other", [tensor(module, x)]).as_numpy("logits").shape, (4, 10))
        c.unload_model("other")
        assert not c.is_model_ready("other")
        raises(Error, "nope", c.load_model, "nope")
        raises(Error, "not supported", c.load_model, "other", config="{}")


def case_batched_answers_are_those_of_single_requests():
    x = [image(1 + i % 2, i) for i in range(64)]
    single = [http.InferenceServerClient(DIGITS).infer("digits", [tensor(http, v)]).as_numpy("logits") for v in x]
    c, done = grpc.InferenceServerClient(REPOSITORY), queue.Queue()
    for i, v in enumerate(x):
        c.async_infer("digits", [tensor(grpc, v)], callback=lambda result, error: done.put((result, error)), request_id=str(i))
    for _ in x:
        r, e = done.get(timeout=20)
        assert e is None, e
        np.testing.assert_allclose(r.as_numpy("logits"), single[int(r.get_response().id)], rtol=1e-4, atol=1e-5)
    stats = http.InferenceServerClient(REPOSITORY).get_inference_statistics("digits", "2")["model_stats"][0]
    assert stats["execution_count"] < stats["inference_count"], f"nothing was joined: {stats}"


def case_settings():
    h, g = (c for _, c in clients()[:2])
    equal(h.get_trace_settings()["trace_level"], ["OFF"])
    equal(g.get_trace_settings(as_json=True)["settings"]["trace_level"]["value"], ["OFF"])
    equal(h.update_trace_settings(settings={"trace_level": ["OFF"]})["trace_level"], ["OFF"])
    raises(Error, "tracing is not supported", h.update_trace_settings, settings={"trace_level": ["TIMESTAMPS"]})
    raises(Error, "tracing is not supported", g.update_trace_settings, settings={"trace_rate": "5"})
    equal(h.get_log_settings()["log_info"], True)
    equal(h.update_log_settings({"log_verbose_level": 1})["log_verbose_level"], 1)
    equal(g.update_log_settings({"log_verbose_level": 0}, as_json=True)["settings"]["log_verbose_level"], {"uint32_param": 0})
    raises(Error, "logs go to stderr", g.update_log_settings, {"log_file": "/tmp/x"})


def case_shared_memory_is_refused():
    for module, c in clients()[:2]:
        for kind in ("system", "cuda"):
            status = getattr(c, f"get_{kind}_shared_memory_status")()
            equal(status if module is http else list(status.regions), [])
        raises(Error, "shared memory is not supported", c.register_system_shared_memory, "r", "/r", 64)
        t = module.InferInput("x", [1, 1, 8, 8], "FP32")
        t.set_shared_memory("r", 256)
        raises(Error, "shared memory is not supported", c.infer, "digits", [t])


def case_refusals():
    x = image()
    for module, c in clients():
        raises(Error, "the model has no such input", c.infer, "digits", [tensor(module, x, "y")])
        raises(Error, "datatype: want FP32, got FP64", c.infer, "digits", [tensor(module, x.astype(np.float64), "x", "FP64")])
        raises(Error, "shape: want [-1,1,8,8], got [1,64]", c.infer, "digits", [tensor(module, x.reshape(1, 64))])
        raises(Error, 'input "x" is missing', c.infer, "digits", [])
        raises(Error, "the model has no such output", c.infer, "digits", [tensor(module, x)], outputs=[module.InferRequestedOutput("nope")])
        raises(Error, "sequences are not supported", c.infer, "digits", [tensor(module, x)], sequence_id=5, sequence_start=True)
        raises(Error, 'no model "none"', c.infer, "none", [tensor(module, x)])
        r = c.infer("digits", [tensor(module, x)], priority=1, timeout=5_000_000, parameters={"mine": "x", "n": 3})
        assert r.as_numpy("logits") is not None


def case_deadline():
    c = clients()[1][1]
    raises(Error, "Deadline Exceeded", c.infer, "digits", [tensor(grpc, image(20000))], client_timeout=0.002)
    assert c.is_server_live()


def case_large():
    x = image(40000)  # 10 MB
    c = grpc.InferenceServerClient(GRPC)
    h = http.InferenceServerClient(DIGITS)
    a, b = c.infer("digits", [tensor(grpc, x)]), h.infer("digits", [tensor(http, x)])
    equal(a.as_numpy("logits").shape, (40000, 10))
    np.testing.assert_array_equal(a.as_numpy("logits"), b.as_numpy("logits"))


def case_raw_binary_request():
    import urllib.request
    x = image(1)
    request = urllib.request.Request(f"http://{DIGITS}/v2/models/digits/infer", x.tobytes(), {"Inference-Header-Content-Length": "0"})
    with urllib.request.urlopen(request) as r:
        body, header = r.read(), int(r.headers["Inference-Header-Content-Length"])
    outputs = json.loads(body[:header])["outputs"]
    equal([o["parameters"]["binary_data_size"] for o in outputs], [40, 40])
    equal(len(body), header + 80)


main(globals())
