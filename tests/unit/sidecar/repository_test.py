#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""repository_test.py PINTLE MODEL: folders of models, as `pintle serve FOLDER` serves them while people change them.

Each case has a folder and a server of its own. Requests are sent all the while where a case says that none may be lost."""
import contextlib
import json
import http.client
import os
import pathlib
import re
import shutil
import socket
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
import onnx_bytes as onnx

PINTLE, MODEL = sys.argv[1], pathlib.Path(sys.argv[2])
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [1.0] * 64}]})


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def put(root, *versions):
    """NAME/VERSION -> a copy of the model."""
    for version in versions:
        folder = root / version
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(MODEL, folder / "copying")
        (folder / "copying").rename(folder / "model.onnx")


class Server:
    def __init__(self, root, *options):
        self.port, self.log = free_port(), tempfile.TemporaryFile("a+")
        # AddressSanitizer would keep freed memory aside, and the process would seem to grow
        env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=0:thread_local_quarantine_size_kb=0"}
        self.process = subprocess.Popen([PINTLE, "serve", root, "--port", str(self.port), "--metrics-port", "0", "--poll-ms", "50", *options], stdout=self.log, stderr=self.log,
                                        env=env)
        try:
            self.until(lambda: self.get("/v2/health/live")[0] == 200)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def call(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        c.request(method, path, body)
        r = c.getresponse()
        text = r.read()
        return r.status, json.loads(text) if text else {}

    def get(self, path):
        return self.call("GET", path)

    def infer(self, model, version=None):
        return self.call("POST", f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer", BODY)

    def index(self):
        return {f"{m['name']}/{m['version']}": m["state"] for m in self.call("POST", "/v2/repository/index")[1]}

    def ready(self):
        return self.get("/v2/health/ready")[0] == 200

    def until(self, condition, what=""):
        for _ in range(400):
            with contextlib.suppress(OSError):
                if condition():
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.025)
        raise AssertionError(f"did not come about: {what or condition}\n{self.text()}")

    def versions_measured(self):
        """Which versions have series on the metrics port."""
        port = next(int(json.loads(line)["metrics_port"]) for line in self.text().splitlines() if '"listening"' in line)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as r:
            return set(re.findall(r'model="([^"]+)",version="([^"]+)"', r.read().decode()))

    def text(self):
        self.log.seek(0)
        return self.log.read()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        """Ends politely, which must succeed; after a failure at once."""
        self.process.send_signal(signal.SIGKILL if kind else signal.SIGINT)
        rc = self.process.wait(20)
        assert kind or rc == 0, f"ended with {rc}\n{self.text()}"


@contextlib.contextmanager
def load(server, model):
    """Requests all the while; none may fail."""
    bad, count, stop = [], [0], threading.Event()

    def client():
        while not stop.is_set():
            status, answer = server.infer(model)
            count[0] += 1
            if status != 200:
                bad.append((status, answer))
    threads = [threading.Thread(target=client) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        yield
        until = time.monotonic() + 10
        while count[0] <= 20 and not bad and time.monotonic() < until:  # what was done may have taken less time than a few requests
            time.sleep(0.01)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert count[0] > 20 and not bad, f"{len(bad)} of {count[0]} failed: {bad[:3]}"


def case_new_version_takes_over(root):
    put(root, "a/1", "b/7")
    with Server(root) as s:
        s.until(s.ready)
        assert s.index() == {"a/1": "READY", "b/7": "READY"}, s.index()
        with load(s, "a"):
            for version in range(2, 8):
                put(root, f"a/{version}")
                s.until(lambda: s.index() == {f"a/{version}": "READY", "b/7": "READY"}, f"version {version}")
        assert s.infer("a")[1]["model_version"] == "7"
        status, answer = s.infer("a", 1)
        assert status == 404 and answer["error"] == 'model "a" has no version "1"; it has "7"', answer


def case_bad_version_changes_nothing(root):
    put(root, "a/1")
    with Server(root) as s:
        s.until(s.ready)
        with load(s, "a"):
            (root / "a/2").mkdir()
            (root / "a/2/model.onnx").write_bytes(b"not a model")
            s.until(lambda: s.index() == {"a/2": "UNAVAILABLE", "a/1": "READY"})
            assert s.infer("a")[1]["model_version"] == "1" and s.ready()
            put(root, "a/2")
            s.until(lambda: s.index() == {"a/2": "READY"})


def case_written_over_in_place(root):
    """What a served file becomes does not matter to who serves it, until it is a model again."""
    put(root, "a/1")
    with Server(root) as s:
        s.until(s.ready)
        with load(s, "a"):
            file = root / "a/1/model.onnx"
            file.write_bytes(b"")
            time.sleep(0.2)
            file.write_bytes(MODEL.read_bytes()[:1000])
            time.sleep(0.2)
            assert s.index() == {"a/1": "READY"}, s.index()
            file.write_bytes(MODEL.read_bytes())
            time.sleep(0.3)
            assert s.index() == {"a/1": "READY"}, s.index()


def case_removed_and_added(root):
    put(root, "a/1", "b/1")
    with Server(root) as s:
        s.until(s.ready)
        shutil.rmtree(root / "b")
        s.until(lambda: s.index() == {"a/1": "READY"})
        status, answer = s.infer("b")
        assert status == 404 and answer["error"] == 'no model "b" here; this server has "a"', answer
        put(root, "c/5")
        s.until(lambda: s.index() == {"a/1": "READY", "c/5": "READY"})


def case_series_go_with_their_versions(root):
    """Also where a version is replaced by another of the same number: the new one keeps counting."""
    put(root, "a/1", "b/1")
    with Server(root) as s:
        s.until(s.ready)
        assert s.versions_measured() == {("a", "1"), ("b", "1")}
        shutil.rmtree(root / "b")
        put(root, "a/2")
        s.until(lambda: s.versions_measured() == {("a", "2")})
        for _ in range(3):
            model = root / "a/2/model.onnx"
            os.utime(model, (1, model.stat().st_mtime + 7))
            time.sleep(0.3)
            assert s.infer("a")[0] == 200
            assert s.versions_measured() == {("a", "2")}


def case_policies_and_labels(root):
    put(root, *(f"{m}/{v}" for m in ("all", "two", "some", "one") for v in (1, 2, 3)))
    (root / "all/config.pbtxt").write_text('version_policy { all { } } parameters { key: "label.stable" value { string_value: "2" } }')
    (root / "two/config.pbtxt").write_text("version_policy { latest { num_versions: 2 } }")
    (root / "some/config.pbtxt").write_text("version_policy { specific { versions: [1, 3] } }")
    with Server(root) as s:
        # ready: each model serves one of its versions; the others follow
        wanted = dict.fromkeys(["all/1", "all/2", "all/3", "two/2", "two/3", "some/1", "some/3", "one/3"], "READY")
        s.until(lambda: s.ready() and s.index() == wanted)
        assert s.infer("all", 1)[1]["model_version"] == "1" and s.infer("all")[1]["model_version"] == "3"
        (root / "one/config.pbtxt").write_text("version_policy { specific { versions: 1 } }")
        s.until(lambda: "one/1" in s.index() and "one/3" not in s.index())


def case_configuration_faults(root):
    put(root, "a/1", "b/1")
    (root / "b/config.pbtxt").write_text("max_batch_size: 8\nsequence_batching { }")
    with Server(root) as s:
        s.until(lambda: s.index().get("a/1") == "READY")
        reasons = {m["name"]: m["reason"] for m in s.call("POST", "/v2/repository/index")[1]}
        assert reasons["b"].endswith('b/config.pbtxt: line 2: "sequence_batching": sequence batching is not supported'), reasons
        assert not s.ready() and s.infer("b")[0] == 503
        (root / "b/config.pbtxt").unlink()
        s.until(s.ready)


def case_first_runs_are_guessed_or_told(root):
    """Models that take one length only, which they do not say."""
    def model(name, length):
        (root / name / "1").mkdir(parents=True)
        onnx.write(root / name / "1/model.onnx", name, onnx.node("Reshape", ["x", "shape"], "y"), onnx.graph_input("x", onnx.FLOAT, ["rows", "columns"]),
                   onnx.constant("shape", length), onnx.graph_output("y", onnx.FLOAT, ["all"]))
    model("guessed", 224)
    model("told", 100)
    (root / "told/config.pbtxt").write_text('parameters { key: "warmup.x" value { string_value: "1x100" } }')
    model("untold", 100)
    for name, shape in ("wrong", "2x"), ("unknown", "1x100"):
        model(name, 100)
        (root / name / "config.pbtxt").write_text(f'parameters {{ key: "warmup.{"z" if name == "unknown" else "x"}" value {{ string_value: "{shape}" }} }}')
    with Server(root) as s:
        s.until(lambda: {s.index().get(f"{n}/1") for n in ("guessed", "told")} == {"READY"})
        s.until(lambda: {s.index().get(f"{n}/1") for n in ("untold", "wrong", "unknown")} == {"UNAVAILABLE"})
        s.until(lambda: all(m["reason"] for m in s.call("POST", "/v2/repository/index")[1] if m["state"] != "READY"))
        reasons = {m["name"]: m["reason"] for m in s.call("POST", "/v2/repository/index")[1]}
        assert "of 32, 224 and 512 it fails too; model.warmup can say what fits): node" in reasons["untold"], reasons
        assert reasons["wrong"].startswith('model.warmup: "x=2x": want INPUT=LENGTHxLENGTH'), reasons
        assert reasons["unknown"].startswith('model.warmup: "z=1x100": the model has no such input'), reasons


def case_base_path_of_one_model(root):
    put(root, "1", "2")
    with Server(root, "--name", "digits", "--versions", "all") as s:
        s.until(lambda: s.index() == {"digits/2": "READY", "digits/1": "READY"})
        assert s.infer("digits", 1)[0] == 200


def case_memory_budget(root):
    put(root, *(f"m{i}/1" for i in range(5)))
    # Weights that are being kept in a file keep their model a little longer, by how long the disk takes: not here, where loads are counted.
    with Server(root, "--memory-budget", str(2 * MODEL.stat().st_size + 100), "--prepared-bytes", "0") as s:
        s.until(s.ready)
        for _ in range(3):
            for i in range(5):
                status, answer = s.infer(f"m{i}")
                assert status == 200 and answer["model_name"] == f"m{i}", answer
        assert s.text().count("comes back") >= 10 and s.text().count("to save memory") >= 12
        with load(s, "m0"), load(s, "m1"), load(s, "m2"):
            time.sleep(0.5)
        assert s.ready()


def case_explicit_control(root):
    put(root, "a/1", "b/1", "b/2")
    (root / "bad/1").mkdir(parents=True)
    (root / "bad/1/model.onnx").write_bytes(b"junk")
    with Server(root, "--model-control", "explicit", "--load-model", "a") as s:
        s.until(lambda: s.index() == {"a/1": "READY"})
        assert s.infer("b")[0] == 404
        assert s.call("POST", "/v2/repository/models/b/load")[0] == 200
        assert s.infer("b")[1]["model_version"] == "2"
        for name, status, error in ("bad", 400, "protobuf"), ("none", 404, "the repository has no such model"):
            got, answer = s.call("POST", f"/v2/repository/models/{name}/load")
            assert got >= 400 and error in answer["error"], (got, answer)
        with load(s, "b"):
            time.sleep(0.1)
        assert s.call("POST", "/v2/repository/models/b/unload")[0] == 200
        assert s.infer("b")[0] == 404 and s.infer("a")[0] == 200


def case_control_is_refused_otherwise(root):
    put(root, "a/1")
    with Server(root) as s:
        s.until(s.ready)
        status, answer = s.call("POST", "/v2/repository/models/a/unload")
        assert status >= 400 and "--model-control explicit" in answer["error"], answer


def case_many_reloads_keep_their_size(root):
    put(root, "a/1")
    with Server(root) as s:
        s.until(s.ready)

        def size():
            return int(pathlib.Path(f"/proc/{s.process.pid}/statm").read_text().split()[1]) * 4
        sizes = []
        for i in range(90):
            put(root, "a/1")
            n = s.text().count('"version":"1","state":"Ready"')
            s.until(lambda: s.infer("a")[0] == 200 and s.text().count('"version":"1","state":"Ready"') > n - 1)
            time.sleep(0.06)
            if i in (31, 60, 89):  # a sanitizer's own memory has come to rest by the first
                sizes.append(size())
        # What is lost with each load is lost in both stretches of 29; an allocator that takes a step does so in one.
        assert min(b - a for a, b in zip(sizes, sizes[1:])) < 750, f"{sizes} KB"


def main():
    wanted = sys.argv[3:]
    failed = 0
    for name, case in [(n[5:], c) for n, c in globals().items() if n.startswith("case_")]:
        if wanted and name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as tmp:
            root = pathlib.Path(tmp) / "models"
            root.mkdir()
            start = time.monotonic()
            try:
                case(root)
                print(f"ok      {name} ({time.monotonic() - start:.1f} s)", flush=True)
            except Exception as e:  # noqa: BLE001: the next case is to run too
                failed += 1
                print(f"FAILED  {name}: {type(e).__name__}: {e}", flush=True)
    sys.exit(1 if failed else 0)


main()
