# SPDX-License-Identifier: Apache-2.0
"""grpc_calls.py calls ADDRESS | load ADDRESS FILE: tritonclient against the gRPC port of a Service of `pintle up`.

calls: one of each kind of what a proxy could spoil. load: calls and streams on channels of their own until FILE is gone; none may fail."""
import pathlib
import queue
import sys
import threading
import time

import grpc as grpcio
import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException as Error

IMAGES = np.loadtxt(pathlib.Path(__file__).resolve().parents[2] / "examples/digits/heldout.csv", delimiter=",", max_rows=64, dtype=np.float32)
LABELS, PIXELS = IMAGES[:, 0].astype(int), IMAGES[:, 1:].reshape(-1, 1, 8, 8)
ADDRESS = sys.argv[2]


def tensor(x):
    t = triton.InferInput("x", list(x.shape), "FP32")
    t.set_data_from_numpy(x)
    return [t]


def fresh(*options):
    """A channel that shares no connection with others, as those of one process do otherwise."""
    return triton.InferenceServerClient(ADDRESS, channel_args=[("grpc.use_local_subchannel_pool", 1), *options])


def right(result, n=1):
    return (result.as_numpy("probabilities").argmax(axis=1) == LABELS[:n]).mean()


def fails(code, call):
    try:
        call()
    except grpcio.RpcError as e:
        assert e.code() == code, e
        return e
    except Error as e:
        assert e.status() == f"StatusCode.{code.name}", e
        return e
    raise AssertionError(f"no {code}")


def calls():
    c = fresh()
    assert right(c.infer("digits", tensor(PIXELS)), 64) > 0.9
    assert 'no model "none"' in str(fails(grpcio.StatusCode.NOT_FOUND, lambda: c.infer("none", tensor(PIXELS[:1]))))  # trailers
    fails(grpcio.StatusCode.DEADLINE_EXCEEDED, lambda: c.infer("digits", tensor(np.repeat(PIXELS, 600, axis=0)), client_timeout=0.001))
    many = np.repeat(PIXELS[:1], 50000, axis=0)  # 13 MB there and 2 x 2 MB back: many times each window
    assert (c.infer("digits", tensor(many)).as_numpy("probabilities").argmax(axis=1) == LABELS[0]).all()

    channel = grpcio.insecure_channel(ADDRESS, [("grpc.use_local_subchannel_pool", 1)])
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    request = service_pb2.ModelInferRequest(model_name="digits", raw_input_contents=[PIXELS[:1].tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=PIXELS[:1].shape)
    for _ in range(200):  # cancelled, each with a question under way: nothing of them stays
        feed = queue.Queue()
        stream = stub.ModelStreamInfer(iter(feed.get, None))
        feed.put(request)
        next(stream)
        feed.put(request)
        stream.cancel()
        feed.put(None)
        fails(grpcio.StatusCode.CANCELLED, lambda: next(stream))
    streams = [stub.ModelStreamInfer(iter([request] * 20)) for _ in range(100)]  # interleaved on one connection
    assert all(len(list(s)) == 20 for s in streams)
    assert stub.ServerReady(service_pb2.ServerReadyRequest()).ready
    channel.close()
    for _ in range(8):  # connections, which go to one pod after the other
        with fresh() as other:
            other.infer("digits", tensor(PIXELS[:1]))
    print("ok")


class Load:
    def __init__(self, until):
        self.until, self.count, self.errors = until, 0, []
        self.lock = threading.Lock()

    def one(self, ask):
        start = time.monotonic()
        try:
            n = ask()
            with self.lock:
                self.count += n
            self.until.with_name("first").write_text("answered\n")
        except Exception as e:  # whatever a client could see
            with self.lock:
                self.errors.append(f"{time.strftime('%X')} after {time.monotonic() - start:.3f} s: {e!r} {e}")

    def ask_one(self, c):
        assert right(c.infer("digits", tensor(PIXELS[:1]))) == 1
        return 1

    def ask_stream(self, c):
        answers = queue.Queue()
        c.start_stream(lambda result, error: answers.put((result, error)))
        for _ in range(10):
            c.async_stream_infer("digits", tensor(PIXELS[:1]))
            time.sleep(0.02)
        for _ in range(10):
            result, error = answers.get(timeout=10)
            if error:
                raise error
            assert right(result) == 1
        c.stop_stream()
        return 10

    def work(self, ask, pause):
        with fresh() as c:
            while self.until.exists():
                self.one(lambda: ask(c))
                time.sleep(pause)

    def run(self):
        jobs = [(self.ask_one, 0.01)] * 4 + [(self.ask_stream, 0.01)] * 2
        threads = [threading.Thread(target=self.work, args=j) for j in jobs]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        print(f"{self.count} answers, {len(self.errors)} calls failed", *self.errors[:5], sep="\n")
        return 1 if self.errors or self.count < 50 else 0


sys.exit(calls() if sys.argv[1] == "calls" else Load(pathlib.Path(sys.argv[3])).run())
