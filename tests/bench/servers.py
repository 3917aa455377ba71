# SPDX-License-Identifier: Apache-2.0
"""Servers of the serving bench: Pintle and its peers, each a process (with children) that serves the same models from one folder of its own."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time

from common import ROOT, helper, program

PEERS = ROOT / "tests/bench/peers"


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def tree(pid):
    """pid and its descendants."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


class Server:
    """Use as a context. ready_ms is the time from the start of the process to the moment when all models are ready."""

    def __init__(self, name, command, http, grpc, models, log, env=None):
        self.name, self.command, self.http, self.grpc, self.models, self.log = name, command, http, grpc, models, log
        self.env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}

    def __enter__(self):
        """Triton dies now and then while it starts: that is said, and it gets another try."""
        for left in (2, 1, 0):
            start = time.monotonic()
            self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, env=self.env)
            if self.await_ready(start + 60):
                self.ready_ms = 1000 * (time.monotonic() - start)
                self.pids = tree(self.process.pid)
                return self
            code = self.process.poll()
            self.__exit__()
            if code is None or not left or self.name != "triton":
                break
            print(f"{self.name} died at its start (exit status {code}): again")
        self.log.seek(0)
        raise SystemExit(f"{self.name} is not ready: {self.log.read()[-3000:]}")

    def await_ready(self, until):
        for model in self.models:
            while self.get(f"/v2/models/{model}/ready") != 200:
                if self.process.poll() is not None or time.monotonic() > until:
                    return False
                time.sleep(0.0002)
        return True

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def get(self, path):
        try:
            with socket.create_connection(("127.0.0.1", self.http), 5) as s:
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
                return int(s.recv(64).split(b" ")[1])
        except (OSError, IndexError, ValueError):
            return 0

    def cpu_seconds(self):
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self.pids)  # each process' own clock (clock_getcpuclockid(3)): nanoseconds

    def pss_mb(self, what="Pss"):
        total = 0
        for pid in tree(self.process.pid):
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(what + ":"))
        return total / 1024


def lay_out(folder, models, path="model.onnx", noop=True):
    """models {name: file} as NAME/path below folder. noop False: that one has no file."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, file in models.items():
        to = folder / name / path
        to.parent.mkdir(parents=True)
        if noop or name != "noop":
            to.symlink_to(file)
    return folder


def cache_folder(tmp):
    """Of Pintle, which keeps prepared weights there; none but the bench's own."""
    return tmp / "cache"


def pintle(bin_dir, tmp, models, log, *options, name="pintle"):
    http, metrics = free_ports(2)
    folder = lay_out(tmp / name, models, "1/model.onnx")
    folder.mkdir(exist_ok=True)
    command = [program(bin_dir, "pintle"), "serve", folder, "--model-control", "none", "--port", str(http),
               "--metrics-port", str(metrics), *options]
    return Server(name, command, http, http, models, log, {"XDG_CACHE_HOME": str(cache_folder(tmp))})


# Shapes as Triton's configuration has them, without the row dimension where it joins rows.
TRITON = {
    "noop": ("y", [1, 1], [1, 1], 0, ""),
    "digits": ("logits", [1, 8, 8], [10], 32, "dynamic_batching {}"),
    "mobilenetv2": ("logits", [1, 3, 224, 224], [1, 1000], 0, ""),
}


def triton(tmp, models, log):
    site = next(pathlib.Path(helper("venv", "triton")).parent.parent.glob("lib/python*/site-packages"))
    onnxruntime = next(pathlib.Path(helper("venv", "serving")).parent.parent.glob("lib/python*/site-packages/onnxruntime/capi/libonnxruntime.so.*"))
    folder = lay_out(tmp / "triton", models, "1/model.onnx", noop=False)
    for name in models:
        output, x, y, rows, more = TRITON[name]
        (folder / name / "config.pbtxt").write_text(
            f'backend: "bench"\nmax_batch_size: {rows}\ninput [{{name: "x" data_type: TYPE_FP32 dims: {x}}}]\n'
            f'output [{{name: "{output}" data_type: TYPE_FP32 dims: {y}}}]\ninstance_group [{{count: {os.cpu_count()} kind: KIND_CPU}}]\n{more}\n')
    library = tmp / "backends/bench/libtriton_bench.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, PEERS / "triton_backend.c", "-ldl"], check=True)
    http, grpc, metrics = free_ports(3)
    command = [site / "pytriton/tritonserver/bin/tritonserver", "--model-repository", folder, "--backend-directory", tmp / "backends", "--http-port",
               str(http), "--grpc-port", str(grpc), "--metrics-port", str(metrics), "--log-info", "0"]
    return Server("triton", command, http, grpc, models, log, {"BENCH_ONNXRUNTIME": str(onnxruntime)})


def kserve(tmp, models, log):
    http, grpc = free_ports(2)
    folder = lay_out(tmp / "kserve", models, noop=False)
    command = [helper("venv", "kserve"), PEERS / "kserve_onnx.py", folder, "--http_port", str(http), "--grpc_port", str(grpc)]
    return Server("kserve", command, http, grpc, models, log)


def mlserver(tmp, models, log):
    http, grpc, metrics = free_ports(3)
    folder = lay_out(tmp / "mlserver", models, noop=False)
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics,
                                                      "parallel_workers": 0, "debug": False, "use_structured_logging": False}))
    for name, file in models.items():
        uri = "noop" if name == "noop" else str(file)
        (folder / name / "model-settings.json").write_text(json.dumps({"name": name, "implementation": "mlserver_onnx.OnnxModel",
                                                                       "parameters": {"uri": uri}}))
    command = [pathlib.Path(helper("venv", "serving")).parent / "mlserver", "start", folder]
    return Server("mlserver", command, http, grpc, models, log, {"PYTHONPATH": str(PEERS)})


PEER_MAKERS = {"triton": triton, "kserve": kserve, "mlserver": mlserver}
