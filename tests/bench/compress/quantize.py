# SPDX-License-Identifier: Apache-2.0
"""quantize [--bin DIR] [--quick] [--agree-only] [--ratios MODEL,...]: quantisation beside onnxruntime.quantization, by figures of quality.

Accuracy: two networks trained here by `pintle train`, one on UCI digits, one on MNIST, quantised by both with the same calibration images, judged on
held-out ones. Signal to noise of the outputs against floats: ResNet-18 and MobileNetV2 on images with the spectrum of natural ones. ONNX Runtime runs
all models, its own and Pintle's, with sums that do not saturate (session.x64quantprecision), so that the quantisers are compared and not the CPUs.

Agreement: every mode and form of some real models is loaded by ONNX Runtime and by Pintle; printed are the signal to noise ratio between the two, how
many of the largest outputs are the same, and the ratio of both to the model in floats. Exit 1 when a model is not loaded or the two are further apart
than rounding explains: less than 18 dB, or 3 dB above the model's own noise."""
import argparse
import contextlib
import logging
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[2] / "bindings" / "python")]
from common import ROOT, cpu_model, program

import numpy as np
import onnx
import onnxruntime as ort

CACHE = pathlib.Path(os.environ["PINTLE_CACHE"]) / "models"
DIGITS = "conv:16:3,batchnorm,relu,conv:16:3,batchnorm,relu,maxpool:2,conv:32:3,relu,globalpool,flatten,dense:10"
MNIST = "conv:8:3,batchnorm,relu,maxpool:2,depthwise:3,batchnorm,relu,conv:16:3,batchnorm,relu,maxpool:2,flatten,dense:10"


def decibels(want, got):
    noise = float(((want - got) ** 2).sum())
    return 10 * np.log10(float((want**2).sum()) / noise) if noise else float("inf")


def first_input(path):
    return onnx.load(path, load_external_data=False).graph.input[0].name


def by_ort(path, feeds):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, feeds)[0]


def ort_quantise(model, out, images, method):
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = iter(images)

        def get_next(self):
            image = next(self.left, None)
            return None if image is None else {name: image[None]}

    name, prepared = first_input(model), str(out) + ".prepared"
    with contextlib.redirect_stdout(None):
        quant_pre_process(str(model), prepared, skip_symbolic_shape=True)
        quantize_static(prepared, str(out), Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8, calibrate_method=getattr(CalibrationMethod, method))


class Pintle:
    def __init__(self, folder):
        self.program = program(folder, "pintle")

    def __call__(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"pintle {' '.join(map(str, arguments))}: {done.stderr.strip().splitlines()[-1]}")

    def quantise(self, model, out, images, *options):
        arrays = out.with_suffix(".npy")
        np.save(arrays, images)
        self("quantize", model, "-o", out, "--calibration", arrays, "--latency-seconds", 0, *options)


PAIRS = [("minmax", "MinMax"), ("percentile", "Percentile"), ("entropy", "Entropy"), ("average", None), ("mse", None)]


def compare(pintle, folder, models, quality):
    """models: [(path, calibration images)]; quality takes the quantised ones."""
    for ours, theirs in PAIRS:
        made = [(folder / f"ours{i}.onnx", folder / f"theirs{i}.onnx") for i in range(len(models))]
        for (model, images), (mine, other) in zip(models, made):
            pintle.quantise(model, mine, images, "--calibration-method", ours)
            if theirs:
                ort_quantise(model, other, images, theirs)
        row = f"  {ours:12}pintle {quality([mine for mine, _ in made])}"
        print(row + (f"   onnxruntime {quality([other for _, other in made])}" if theirs else ""), flush=True)


def digits(seed):
    from sklearn.datasets import load_digits
    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.target))
    x, y = (data.images[order, None] / 16).astype(np.float32), data.target[order].astype(np.int64)
    return x[:1400], y[:1400], x[1400:], y[1400:]


def mnist(seed):
    import samples
    return samples.mnist()


def accuracies(pintle, folder, quick):
    sets = [("UCI digits", digits, "1x8x8", DIGITS, 12, 5)] + ([] if quick else [("MNIST", mnist, "1x28x28", MNIST, 4, 1)])
    for name, load, dims, layers, epochs, networks in sets:
        models, held_out = [], []
        for seed in range(networks):
            x, y, *held = load(seed)
            np.savez(folder / "train.npz", x=x, y=y)
            model = folder / f"floats{seed}.onnx"
            pintle("new", folder / "new.onnx", "--input", dims, "--layers", layers, "--seed", seed)
            pintle("train", folder / "new.onnx", "-o", model, "--data", folder / "train.npz", "--epochs", epochs, "--latency-seconds", 0)
            models.append((model, x[:256]))
            held_out.append(held)
        input_name = first_input(models[0][0])

        def quality(paths):
            scores = np.concatenate([by_ort(path, {input_name: x}) for path, (x, _) in zip(paths, held_out)])
            labels = np.concatenate([y for _, y in held_out])
            return f"{100 * (scores.argmax(1) == labels).mean():6.2f} %  loss {cross_entropy(scores, labels):.4f}"

        count = sum(len(y) for _, y in held_out)
        print(f"{name}, {networks} networks, {count} images held out, floats {quality([model for model, _ in models])}; calibrated on 256 each")
        compare(pintle, folder, models, quality)


def cross_entropy(scores, labels):
    scores = scores - scores.max(1, keepdims=True)
    return float((np.log(np.exp(scores).sum(1)) - scores[np.arange(len(labels)), labels]).mean())


def natural(count, size=224):
    """Noise whose amplitudes fall as 1/f, as those of photographs do, with channels that mostly agree."""
    rng = np.random.default_rng(0)
    f = np.sqrt(np.fft.fftfreq(size)[:, None] ** 2 + np.fft.fftfreq(size)[None] ** 2)
    amplitude = 1 / np.maximum(f, 1 / size)

    def plane():
        p = np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) * amplitude).real
        return (p - p.mean()) / p.std()

    images = []
    for _ in range(count):
        base = plane()
        images.append(np.stack([0.8 * base + 0.6 * plane() for _ in range(3)]))
    return np.clip(images, -2.2, 2.6).astype(np.float32)


def ratios(pintle, folder, names):
    images = natural(24)
    for name in names:
        model = CACHE / name / "model.onnx"
        feeds = {first_input(model): images[16:]}
        want = by_ort(model, feeds)
        print(f"{name}, signal to noise of its output on 8 images; calibrated on 16 others")
        compare(pintle, folder, [(model, images[:16])], lambda paths: f"{decibels(want, by_ort(paths[0], feeds)):5.1f} dB")


MODES = ["", "--form operators", "--form operators --vendor", "--activations int8 --per-tensor", "--activation-symmetric --weight-asymmetric",
         "--weights uint8 --reduce-range", "--mode dynamic", "--mode dynamic --weights uint8 --weight-asymmetric", "--mode weights",
         "--mode weights --weights int4", "--mode weights --weights uint4 --weight-asymmetric --vendor", "--mode weights --block 32"]


def tokens():
    rng = np.random.default_rng(3)
    ids = rng.integers(1000, 20000, (4, 24))
    ids[:, 0], ids[:, -1] = 101, 102
    return [ids.astype(np.int64), np.ones((4, 24), np.int64), np.zeros((4, 24), np.int64)]


def stored(name, number):
    tensor = onnx.TensorProto()
    tensor.ParseFromString((CACHE / name / f"test_data_set_{number}" / "input_0.pb").read_bytes())
    return onnx.numpy_helper.to_array(tensor)


def agreement(pintle, folder, library, quick):
    os.environ["PINTLE_LIBRARY"] = str(library)
    import pintle as runtime
    inputs = {"resnet18": [natural(4)], "mobilenetv2-torch": [natural(4)], "ppocr-detect": [stored("ppocr-detect", 1)], "minilm": tokens()}
    apart = 0
    for name in ("resnet18",) if quick else inputs:
        model = CACHE / name / "model.onnx"
        feeds = dict(zip([i.name for i in onnx.load(model, load_external_data=False).graph.input], inputs[name]))
        np.savez(folder / "inputs.npz", **feeds)
        want = by_ort(model, feeds)
        print(f"{name}: models that both load{'':11}agree     same  pintle-float  onnxruntime-float")
        for mode in MODES:
            out = folder / "quantised.onnx"
            pintle("quantize", model, "-o", out, "--calibration", folder / "inputs.npz", "--latency-seconds", 0, *mode.split())
            onnx.checker.check_model(onnx.load(out))
            theirs, ours = by_ort(out, feeds), np.asarray(runtime.Session(str(out)).run(None, feeds)[0])
            db, own = decibels(theirs, ours), min(decibels(want, theirs), decibels(want, ours))
            rows = theirs.reshape(len(theirs), -1).argmax(1) == ours.reshape(len(ours), -1).argmax(1)
            bad = bool(db < 18 and db < own + 3)
            apart += bad
            print(f"  {mode or '(default)':58}{db:6.1f} dB {rows.mean():5.2f} {decibels(want, ours):8.1f} dB {decibels(want, theirs):8.1f} dB{'  APART' * bad}",
                  flush=True)
    return apart


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=ROOT / "build/release/bin")
    parser.add_argument("--quick", action="store_true", help="one network and one model")
    parser.add_argument("--ratios", metavar="MODEL,...", help="only signal to noise, of these models of the cache; they take images of 224 x 224")
    parser.add_argument("--agree-only", action="store_true", help="only whether ONNX Runtime loads and agrees")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    pintle = Pintle(args.bin)
    print(f"{cpu_model()}; onnxruntime {ort.__version__}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if args.ratios:
            ratios(pintle, folder, args.ratios.split(","))
            return 0
        if not args.agree_only:
            accuracies(pintle, folder, args.quick)
        if not args.agree_only and not args.quick:
            ratios(pintle, folder, ("resnet18", "mobilenetv2"))
        return 1 if agreement(pintle, folder, pathlib.Path(args.bin).parent / "lib" / "libpintle.so", args.quick) else 0


if __name__ == "__main__":
    sys.exit(main())
