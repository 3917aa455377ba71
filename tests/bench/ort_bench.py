# SPDX-License-Identifier: Apache-2.0
"""ort_bench.py MODEL --threads N --seconds S --warmup K [--shape NAME=1x3x224x224]: `pintle bench --json` for ONNX Runtime, with its defaults
and all optimisations: the same inputs (floats N(0,1), integers 1), the same keys."""
import argparse
import json
import statistics
import time

import numpy as np
import onnxruntime as ort

TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}


def resident_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def timed(call):
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--shape", action="append", default=[])
    args = parser.parse_args()
    shapes = {name: [int(d) for d in dims.split("x")] for name, dims in (s.split("=") for s in args.shape)}
    empty = resident_mb()
    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    sessions = []
    load_ms = timed(lambda: sessions.append(ort.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])))
    rng, inputs = np.random.default_rng(0), {}
    for value in sessions[0].get_inputs():
        shape, dtype = shapes.get(value.name, value.shape), TYPES[value.type]
        inputs[value.name] = rng.normal(size=shape).astype(dtype) if dtype == np.float32 else np.ones(shape, dtype)

    def run():
        sessions[0].run(None, inputs)

    first_ms = timed(run)
    for _ in range(args.warmup):
        run()
    times, end = [], time.perf_counter() + args.seconds
    while time.perf_counter() < end or not times:
        times.append(timed(run))
    times.sort()
    print(json.dumps({"model": args.model, "threads": args.threads, "load_ms": load_ms, "first_ms": first_ms, "runs": len(times), "min_ms": times[0],
                      "median_ms": statistics.median(times), "p99_ms": times[int(len(times) * 0.99)], "rss_mb": resident_mb() - empty}))


if __name__ == "__main__":
    main()
