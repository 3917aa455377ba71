# SPDX-License-Identifier: Apache-2.0
"""Figures of monitoring are those of scikit-learn, scipy, and Evidently's definitions, on the same values. The models are identities, so that the test says
what they answer."""
import http.client
import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
import scipy.spatial.distance
import scipy.stats
import sklearn.metrics as sk

from server_test import Server, PINTLE, assert_equal, main

RNG = np.random.default_rng(20261126)


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def identity(path, columns):
    """ONNX: y = x, float32 [rows, columns]."""
    def info(name):
        shape = field(1, field(2, "rows")) + field(1, field(1, columns))
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))
    graph = field(1, field(1, "x") + field(2, "y") + field(4, "Identity")) + field(2, "g") + field(11, info("x")) + field(12, info("y"))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(2, 13)))
    return path


class Monitored:
    """A server of an identity, and what it was asked."""

    def __init__(self, columns, profile=None, **settings):
        self.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.folder.name)
        model = identity(folder / "m.onnx", columns)
        if profile:
            (folder / "profile.json").write_text(profile)
        env = {"PINTLE_MONITORING_" + re.sub("([A-Z])", r"_\1", k).upper(): str(v) for k, v in settings.items()}
        self.server = Server([PINTLE, "serve", model, "--port", 0, "--metrics-port", 0, "--monitoring", 1], env)

    def __enter__(self):
        self.server.__enter__().ready()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        return self

    def __exit__(self, *args):
        self.server.__exit__(*args)
        self.folder.cleanup()

    def call(self, method, path, body=None):
        body = body.encode() if isinstance(body, str) else json.dumps(body) if body is not None else None
        self.connection.request(method, "/v2/models/m" + path, body)
        r = self.connection.getresponse()
        return r.status, json.loads(r.read())

    def infer(self, rows, **more):
        rows = np.asarray(rows, np.float32)
        head = json.dumps({"inputs": [{"name": "x", "shape": rows.shape, "datatype": "FP32", "parameters": {"binary_data_size": rows.nbytes}}], **more}).encode()
        self.connection.request("POST", "/v2/models/m/infer", head + rows.tobytes(), {"Inference-Header-Content-Length": str(len(head))})
        r = self.connection.getresponse()
        text = r.read()
        assert r.status == 200, text

    def label(self, **body):
        return self.call("POST", "/feedback", body)

    def report(self):
        status, report = self.call("GET", "/monitoring")
        assert_equal(status, 200)
        return report


def close(got, want, what=""):
    assert got is not None and np.allclose(got, want, rtol=1e-6, atol=1e-9), f"{what}: got {got}, want {want}"


def probabilities(n, classes):
    """Rows of float32, and labels that follow them."""
    p = RNG.dirichlet([0.7] * classes, n).astype(np.float32)
    p /= p.sum(1, keepdims=True)
    y = np.array([RNG.choice(classes, p=0.6 * r / r.sum() + 0.4 / classes) for r in p.astype(float)])
    return p, y


def check_classification(report, p, y):
    c, p64, n = report["classification"], p.astype(float), p.shape[1]
    answers = p.argmax(1)
    assert_equal(c["labelled"], len(y))
    close(c["accuracy"], sk.accuracy_score(y, answers), "accuracy")
    close(c["log_loss"], sk.log_loss(y, p64 / p64.sum(1, keepdims=True), labels=range(n)), "log loss")
    auc = sk.roc_auc_score(y, p64[:, 1]) if n == 2 else sk.roc_auc_score(y, p64 / p64.sum(1, keepdims=True), multi_class="ovr", average="macro", labels=range(n))
    close(c["auc"], auc, "AUC")
    assert_equal(c["confusion"], sk.confusion_matrix(y, answers, labels=range(n)).tolist())
    each = sk.precision_recall_fscore_support(y, answers, labels=range(n), zero_division=0)
    macro = sk.precision_recall_fscore_support(y, answers, average="macro", zero_division=0)
    for k, name in enumerate(("precision", "recall", "f1")):
        close([x[name] for x in c["classes"]], each[k], name)
        close(c["macro"][name], macro[k], "macro " + name)
    assert_equal([x["support"] for x in c["classes"]], each[3].tolist())
    confidence, ece = p64.max(1), 0
    bins = np.minimum((confidence * 10).astype(int), 9)
    for b in range(10):
        if (bins == b).any():
            ece += (bins == b).mean() * abs((answers == y)[bins == b].mean() - confidence[bins == b].mean())
    close(c["calibration_error"], ece, "calibration error")
    a, top = report["ambiguity"], np.sort(p64, 1)
    close(a["entropy"], scipy.stats.entropy(p64, axis=1).mean(), "entropy")
    close(a["margin"], (top[:, -1] - top[:, -2]).mean(), "margin")
    close(a["unsure_share"], (top[:, -1] < 0.5).mean(), "unsure")


def case_classification():
    for classes in 2, 4:
        with Monitored(classes) as m:
            p, y = probabilities(200, classes)
            for i, (row, label) in enumerate(zip(p, y)):
                m.infer([row], id=f"r{i}")
                if i % 2:
                    assert_equal(m.label(id=f"r{i}", label=int(label))[1]["accepted"], 1)
            status, result = m.label(feedback=[{"label": int(y[i]), "id": f"r{i}"} for i in range(0, 200, 2)])
            assert_equal((status, result), (200, {"accepted": 100, "unknown": 0, "expired": 0, "repeated": 0}))
            check_classification(m.report(), p, y)


def case_logits_batches_and_names():
    with Monitored(3, classes="cat, dog,owl") as m:
        logits = RNG.normal(0, 3, (90, 3)).astype(np.float32)
        p = np.exp(logits.astype(float) - logits.max(1, keepdims=True))
        p = (p / p.sum(1, keepdims=True)).astype(np.float32)
        y = RNG.integers(0, 3, 90)
        for i in range(0, 90, 30):
            m.infer(logits[i:i + 30], id=f'batch"{i}')
            assert_equal(m.label(id=f'batch"{i}', labels=[["cat", "dog", "owl"][k] for k in y[i:i + 30]])[1]["accepted"], 30)
        r = m.report()
        assert_equal([x["class"] for x in r["classification"]["classes"]], ["cat", "dog", "owl"])
        close(r["classification"]["log_loss"], sk.log_loss(y, p.astype(float) / p.astype(float).sum(1, keepdims=True)), "log loss")
        close(r["ambiguity"]["entropy"], scipy.stats.entropy(p.astype(float), axis=1).mean(), "entropy")
        assert_equal(r["classification"]["confusion"], sk.confusion_matrix(y, p.argmax(1)).tolist())


def case_labels_that_find_nothing():
    with Monitored(2, labelTtlMs=300) as m:
        assert_equal(m.server.metric('pintle_monitor_feedback_total{model="m",version="1",result="accepted"}'), 0)
        assert_equal(m.label(id="a", label=1), (404, {"error": "feedback: the model has answered nothing yet"}))
        m.infer([[0.1, 0.9]], id="a")
        m.infer([[0.1, 0.9]]) # without an id
        for body, word in (({"id": "a", "label": 2}, "a class from 0 to 1, got 2"), ({"id": "a", "label": 0.5}, "got 0.5"), ({"id": "a", "label": "x"}, 'label "x"'),
                           ({"id": "a"}, "label is missing"), ({"label": 1}, "id must be a string"), ({"id": 1, "label": 1}, "id must be a string"),
                           ({"id": "a", "label": 1, "more": 1}, 'unknown member "more"'), ({"feedback": [{"id": "a"}]}, "label is missing"), ([], "JSON")):
            status, answer = m.call("POST", "/feedback", body)
            assert status == 400 and word in answer["error"], (body, status, answer)
        assert_equal(m.label(id="b", label=1)[0], 404)
        assert_equal(m.label(id="a", label=1)[1]["accepted"], 1)
        assert_equal(m.label(id="a", label=1)[1]["repeated"], 1)
        m.infer([[0.1, 0.9]], id="late")
        time.sleep(0.4)
        status, answer = m.label(id="late", label=1)
        assert status == 404 and "1 older than monitoring.labelTtlMs" in answer["error"], answer
        assert_equal(m.report()["feedback"], {"accepted": 1, "unknown": 1, "expired": 1, "repeated": 1})
        text = m.server.request("GET", "/metrics", port=m.server.metrics_port)[1]
        assert 'pintle_monitor_feedback_total{model="m",version="1",result="expired"} 1\n' in text, text
        assert 'pintle_monitor_accuracy{model="m",version="1"} 1\n' in text
    with Server([PINTLE, "serve", identity(pathlib.Path(tempfile.mkdtemp()) / "m.onnx", 2), "--port", 0, "--metrics-port", 0]) as s:
        s.ready()
        assert_equal(s.request("POST", "/v2/models/m/feedback", "{}")[0], 501)


def case_regression():
    with Monitored(1) as m:
        p, e = RNG.normal(10, 4, 150).astype(np.float32), RNG.normal(0.3, 1, 150)
        y = p.astype(float) + e
        for i in range(150):
            m.infer([[p[i]]], id=str(i))
        assert_equal(m.label(feedback=[{"id": str(i), "label": y[i]} for i in range(150)])[1]["accepted"], 150)
        r, p = m.report(), p.astype(float)
        assert_equal(r["task"], "regression")
        for name, want in (("mean_absolute_error", sk.mean_absolute_error(y, p)), ("root_mean_squared_error", sk.root_mean_squared_error(y, p)),
                           ("r2", sk.r2_score(y, p)), ("mean_error", (p - y).mean())):
            close(r["regression"][name], want, name)


def case_bias():
    with Monitored(2, group="sex", minCount=20) as m:
        n = {"a": 80, "b": 60, "c": 5} # the last are too few to be compared
        seen = []
        for g, count in n.items():
            p, y = probabilities(count, 2)
            p[:, 1] = np.clip(p[:, 1] * (1.5 if g == "a" else 0.8), 0, 1)
            p[:, 0] = 1 - p[:, 1]
            for i in range(count):
                m.infer([p[i]], id=f"{g}{i}", parameters={"sex": g})
            m.label(feedback=[{"id": f"{g}{i}", "label": int(y[i])} for i in range(count)])
            seen.append((g, p.argmax(1), y))
        b = m.report()["bias"]
        assert_equal([x["group"] for x in b["groups"]], ["a", "b", "c"])
        for x, (g, a, y) in zip(b["groups"], seen):
            close(x["selection_rate"], a.mean())
            close(x["accuracy"], (a == y).mean())
            close(x["true_positive_rate"], sk.recall_score(y, a))
            close(x["false_positive_rate"], 1 - sk.recall_score(y, a, pos_label=0))
        (_, a0, y0), (_, a1, y1) = seen[:2]
        rates = [a0.mean(), a1.mean()]
        tpr = abs(sk.recall_score(y0, a0) - sk.recall_score(y1, a1))
        fpr = abs(sk.recall_score(y0, a0, pos_label=0) - sk.recall_score(y1, a1, pos_label=0))
        close(b["demographic_parity_difference"], max(rates) - min(rates))
        close(b["disparate_impact"], min(rates) / max(rates))
        close(b["equal_opportunity_difference"], tpr)
        close(b["equalised_odds_difference"], max(tpr, fpr))
        for id, group in (("1ü", "sü\"d\\"), ("2ü", "sü\"d\\")): # Python escapes what is not ASCII, other clients do not
            m.infer([[0.9, 0.1]], id=id, parameters={"sex": group})
        assert_equal(m.call("POST", "/feedback", '{"feedback": [{"id": "1ü", "label": 0}, {"id": "2\\u00fc", "label": 0}]}')[1]["accepted"], 2)
        last = m.report()["bias"]["groups"][-1]
        assert_equal((last["group"], last["rows"], last["labelled"]), ("sü\"d\\", 2, 2))
        for i in range(40): # more groups than there is room for
            m.infer([[0.5, 0.5]], parameters={"sex": f"g{i}"})
        groups = [x["group"] for x in m.report()["bias"]["groups"]]
        assert len(groups) == 16 and groups[-1] == "(others)", groups


def evidently_shares(a, b):
    """get_binned_data of Evidently: by value up to 20 of them, else by Sturges' rule over both."""
    if len(np.unique(a)) <= 20:
        keys = sorted(set(a) | set(b))
        return np.array([(a == k).mean() for k in keys]), np.array([(b == k).mean() for k in keys])
    bins = np.histogram_bin_edges(np.concatenate([a, b]), bins="sturges")
    return np.histogram(a, bins)[0] / len(a), np.histogram(b, bins)[0] / len(b)


def evidently_psi(a, b):
    def filled(x):
        x = x.copy()
        least = x[x != 0].min()
        x[x == 0] = least / 10**6 if least <= 0.0001 else 0.0001
        return x
    a, b = map(filled, evidently_shares(a, b))
    return ((a - b) * np.log(a / b)).sum()


def reference_and_now():
    """Columns: alike, moved, wider, few values, two values, and one with missing and outlying ones."""
    def make(n, shift):
        return np.stack([RNG.normal(0, 1, n), RNG.normal(shift, 1, n), RNG.normal(0, 1 + shift, n), RNG.choice(4, n, p=np.roll([0.4, 0.3, 0.2, 0.1], int(shift * 4))),
                         RNG.random(n) < 0.3 + shift / 4, RNG.normal(0, 1, n)], 1).astype(np.float32)
    return make(400, 0), make(240, 0.5)


def case_drift():
    reference, now = reference_and_now()
    now[::10, 5] = np.nan
    now[1::10, 5] = 100
    with Monitored(6) as m:
        for i in range(0, 240, 40):
            m.infer(reference[i:i + 40])
        status, profile = m.call("GET", "/monitoring/profile")
        assert_equal(status, 200)
    column = {c["name"]: c for c in profile["columns"]}
    assert_equal(column["x[1]"]["values"], sorted(column["x[1]"]["values"]))
    assert_equal((column["x[1]"]["count"], column["x[1]"]["missing"], len(column["x[1]"]["values"])), (240, 0, 240))
    close(column["x[1]"]["values"], np.sort(reference[:240, 1]))
    reference = reference[:240]
    with Monitored(6, profile=json.dumps(profile)) as m:
        for i in range(0, 240, 40):
            m.infer(now[i:i + 40])
        report = m.report()
    columns = {c["column"]: c for c in report["drift"]["columns"]}
    drifted = 0
    for k in range(6):
        c, a, b = columns[f"x[{k}]"], reference[:, k].astype(float), now[:, k].astype(float)
        missing, b = np.isnan(b).mean(), b[~np.isnan(b)]
        close(c["missing_share"], missing)
        close(c["out_of_range_share"], ((b < a.min()) | (b > a.max())).mean())
        close(c["mean"], b.mean())
        close(c["deviation"], b.std())
        close(c["ks"], scipy.stats.ks_2samp(a, b).statistic, "KS")
        close(c["ks_p"], scipy.stats.kstwobign.sf(c["ks"] * math.sqrt(len(a) * len(b) / (len(a) + len(b)))), "KS p")
        close(c["wasserstein_normed"], scipy.stats.wasserstein_distance(a, b) / max(a.std(), 0.001), "Wasserstein")
        close(c["jensen_shannon"], scipy.spatial.distance.jensenshannon(*evidently_shares(a, b)), "Jensen-Shannon")
        close(c["psi"], evidently_psi(a, b), "PSI")
        few = len(np.unique(a))
        if few == 2:
            p1, p2, n = a.mean(), b.mean(), len(a)
            both = (p1 * n + p2 * n) / (2 * n)
            want, test = 2 * scipy.stats.norm.sf(abs((p1 - p2) / math.sqrt(both * (1 - both) * 2 / n))), "z"
        elif few == 4:
            observed = np.array([(b == v).sum() for v in range(4)])
            want, test = scipy.stats.chisquare(observed, [(a == v).mean() * len(b) for v in range(4)]).pvalue, "chi2"
            close(c["chi2_p"], want)
        else:
            want, test = c["ks_p"], "ks"
        assert_equal((c["test"], c["threshold"]), (test, 0.05))
        close(c["score"], want, test)
        assert_equal(c["drifted"], bool(want < 0.05))
        drifted += c["drifted"]
    assert columns["x[1]"]["drifted"] and columns["x[2]"]["drifted"] and not columns["x[0]"]["drifted"]
    close(report["drift"]["drifted_share"], drifted / 6 if "y[0]" not in columns else sum(c["drifted"] for c in columns.values()) / len(columns))


def case_large_reference_and_samples():
    """More rows than a sample keeps: figures are near what all of them give. A reference of more than 1000 is judged by distances."""
    a, b = RNG.normal(0, 1, 5000).astype(np.float32), RNG.normal(0.5, 1, 5000).astype(np.float32)
    kept = np.sort(a)[5 * np.arange(1000) + 2]
    profile = {"columns": [{"name": "x", "categorical": False, "count": 5000, "missing": 0, "min": float(a.min()), "max": float(a.max()), "values": kept.tolist()}]}
    with Monitored(1, profile=json.dumps(profile), windowMs=1200) as m:
        while time.monotonic() % 1.2 > 0.3: # the panes of 100 ms should not run out under it
            time.sleep(0.01)
        for i in range(0, 5000, 64):
            m.infer(b[i:i + 64].reshape(-1, 1))
        c = m.report()["drift"]["columns"][0]
        time.sleep(1.4)
        later = m.report()
    assert_equal((c["test"], c["threshold"], c["drifted"]), ("wasserstein", 0.1, True))
    assert abs(c["wasserstein_normed"] - scipy.stats.wasserstein_distance(a, b) / a.std()) < 0.12, c
    assert abs(c["mean"] - b.mean()) < 0.12 and 256 <= c["values"] < 5000, c
    assert_equal((later["window_rows"], later["drift"]["columns"][0]["values"], later["drift"]["drifted"]), (0, 0, None))


def case_unsure_samples():
    with Monitored(3, lowConfidence=60) as m:
        for i in range(50):
            m.infer([[0.4, 0.35, 0.25] if i % 2 else [0.9, 0.05, 0.05]], id=f"r{i}")
        samples = m.report()["ambiguity"]["samples"]
        assert_equal(sorted(int(s["id"][1:]) for s in samples), list(range(19, 50, 2)))
        assert all(s["answer"] == "0" and abs(s["confidence"] - 0.4) < 1e-6 for s in samples)
        close(list(samples[0]["inputs"].values()), [0.4, 0.35, 0.25])


def case_profile_command():
    with tempfile.TemporaryDirectory() as tmp:
        folder = pathlib.Path(tmp)
        model, profile = identity(folder / "m.onnx", 3), folder / "profile.json"
        def make(rows, *more):
            np.save(folder / "x.npy", rows)
            return subprocess.run([PINTLE, "profile", model, "-i", f"x={folder}/x.npy", "-o", profile, *more], capture_output=True, text=True)
        rows = RNG.normal(0, 1, (700, 3)).astype(np.float32)
        rows[:7, 2] = np.nan
        assert_equal(make(rows).returncode, 0)
        columns = {c["name"]: c for c in json.loads(profile.read_text())["columns"]}
        assert_equal(list(columns), ["x[0]", "x[1]", "x[2]", "y[0]", "y[1]", "y[2]"])
        for k in range(3):
            for side in "xy":
                c, want = columns[f"{side}[{k}]"], np.sort(rows[:, k][~np.isnan(rows[:, k])])
                assert_equal((c["count"], c["missing"], len(c["values"])), (700, 700 - len(want), len(want)))
                close(c["values"], want)
                close((c["min"], c["max"]), (want[0], want[-1]))
        rows = RNG.normal(0, 1, (20000, 3)).astype(np.float32)
        assert_equal(make(rows).returncode, 0)
        c = json.loads(profile.read_text())["columns"][0]
        close(c["count"], 20000)
        assert len(c["values"]) == 1000 and scipy.stats.ks_2samp(c["values"], rows[:, 0]).statistic < 0.05
        with Monitored(3, profile=profile.read_text()) as m: # which a server takes
            m.infer(rows[:64])
            assert m.report()["drift"]["reference"]
        np.save(folder / "x.npy", rows[:0])
        r = subprocess.run([PINTLE, "profile", model, "-i", f"x={folder}/x.npy", "-o", "-"], capture_output=True, text=True)
        assert r.returncode == 65 and "the same number of rows in every input, one at least" in r.stderr, r
        r = subprocess.run([PINTLE, "profile", model, "-o", "-"], capture_output=True, text=True)
        assert r.returncode == 65 and "input 'x' is missing" in r.stderr, r


def case_profile_faults():
    with tempfile.TemporaryDirectory() as tmp:
        model = identity(pathlib.Path(tmp) / "m.onnx", 1)
        for text, word in (("{", "JSON"), ("{}", "no columns"), ('{"columns":[{"name":"x"}]}', "needs a name"), ('{"columns":[{"nam":"x"}]}', 'unknown member "nam"'),
                           ('{"columns":[{"name":"x","values":[%s]}]}' % ",".join(["1"] * 1001), "more than 1000 values")):
            (pathlib.Path(tmp) / "profile.json").write_text(text)
            with Server([PINTLE, "serve", model, "--port", 0, "--metrics-port", 0, "--monitoring", 1]) as s:
                assert s.process.wait(20) != 0
                assert any(word in line and "profile.json" in line for line in s.lines()), (word, s.lines())


if __name__ == "__main__":
    sys.exit(main(globals()))
