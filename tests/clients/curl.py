# SPDX-License-Identifier: Apache-2.0
"""curl.py: what people type: curl over HTTP/1.1 and HTTP/2, compressed both ways, any content type, and the error answers."""
import gzip
import json
import subprocess
import tempfile

from common import DIGITS, equal, main

X = [[[[0.5] * 8] * 8]]
INFER = json.dumps({"inputs": [{"name": "x", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": X}]})


def curl(path, *more, body=None):
    argv = ["curl", "-s", "-S", "-o", "-", "-w", "\n%{http_code} %{http_version} %{content_type}", f"http://{DIGITS}{path}", *more]
    with tempfile.NamedTemporaryFile() as f:
        if body is not None:
            f.write(body if isinstance(body, bytes) else body.encode())
            f.flush()
            argv += ["--data-binary", "@" + f.name]
        out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    text, status = out.rsplit("\n", 1)
    code, version, kind = (status.split(" ", 2) + [""])[:3]
    return int(code), version, kind, json.loads(text) if kind.startswith("application/json") else text


def case_both_versions_of_http():
    want = None
    for flag, version in (("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")):
        code, got, kind, body = curl("/v2/models/digits/infer", flag, body=INFER)
        equal((code, got, kind), (200, version, "application/json"))
        want = want or body
        equal(body, want)
        equal(curl("/v2/health/live", flag)[3], {"live": True})
        equal(curl("/v2/models/none", flag)[0], 404)


def case_compression():
    for flag in ("--http1.1", "--http2-prior-knowledge"):
        packed = gzip.compress(INFER.encode())
        code, _, _, body = curl("/v2/models/digits/infer", flag, "--compressed", "-H", "Content-Encoding: gzip", body=packed)
        equal((code, body["outputs"][0]["shape"]), (200, [1, 10]))
        code, _, _, body = curl("/v2/models/digits/infer", flag, "-H", "Content-Encoding: gzip", body=packed[:-20])
        equal((code, "inflate" in body["error"]), (400, True))


def case_any_content_type():
    for kind in ("application/x-www-form-urlencoded", "text/plain", ""):
        equal(curl("/v2/models/digits/infer", "-H", f"Content-Type: {kind}", body=INFER)[0], 200)


def case_rows_and_columns():
    rows = curl("/v1/models/digits:predict", body=json.dumps({"instances": X}))[3]["predictions"]
    named = curl("/v1/models/digits:predict", body=json.dumps({"instances": [{"x": X[0]}]}))[3]["predictions"]
    columns = curl("/v1/models/digits/versions/1:predict", body=json.dumps({"signature_name": "serving_default", "inputs": {"x": X}}))[3]["outputs"]
    equal(rows, named)
    equal(rows[0]["logits"], columns["logits"][0])
    classes = curl("/v1/models/digits:classify", body=json.dumps({"examples": [{"x": [0.5] * 64}]}))[3]["results"]
    equal([[label for label, _ in classes[0]], [score for _, score in classes[0]]], [[str(i) for i in range(10)], rows[0]["probabilities"]])
    equal(curl("/v1/models/digits")[3]["model_version_status"], [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}])
    equal(curl("/v1/models")[3], {"models": ["digits"]})


def case_page_and_openapi():
    code, _, kind, body = curl("/")
    equal((code, kind), (200, "text/html; charset=utf-8"))
    assert "<title>Pintle</title>" in body and "http://" not in body and "https://" not in body, "the page needs nothing from elsewhere"
    code, _, _, doc = curl("/openapi.json")
    equal((code, doc["openapi"]), (200, "3.0.3"))
    for path, methods in doc["paths"].items():  # each is there, whatever it answers
        for method in methods:
            url = path.replace("{model}", "digits").replace("{version}", "1").replace("{label}", "x")
            got = curl(url, "-X", method.upper(), body="{}" if method == "post" else None)
            assert got[0] not in (405,) and "no such path" not in json.dumps(got[3]) and "Malformed" not in json.dumps(got[3]), f"{method} {url}: {got}"


def case_errors():
    for path, body, code, text in [
        ("/v1/models/half", None, 404, "Could not find any versions of model half"),
        ("/v1/models/half:predict", "{}", 404, "Servable not found for request: Latest(half)"),
        ("/v1/models/digits/versions/3:predict", "{}", 404, "Servable not found for request: Specific(digits, 3)"),
        ("/v1/models/digits/labels/x:predict", "{}", 400, "Unrecognized servable version label: x"),
        ("/v1/models/digits:nothing", "{}", 400, "Malformed request: POST /v1/models/digits:nothing"),
        ("/v1/models/digits:predict", "", 400, "The document is empty"),
        ("/v1/models/digits:predict", '{"instances":[1],"inputs":[1]}', 400, "rows or columns"),
        ("/v1/models/digits:predict", '{"instances":[[1,2],[3,4,5],[6]]}', 400, 'input \\"x\\"'),
        ("/v1/models/digits:explain", "{}", 501, "explain"),
        ("/v2/models/digits/infer", "{", 400, "JSON"),
        ("/v2/models/digits/generate", "{}", 501, "no text generator"),
        ("/v2/nothing", None, 404, "no such path"),
        ("/v2/systemsharedmemory/region/r/register", "{}", 501, "shared memory is not supported"),
        ("/v2/repository/models/digits/load", "{}", 501, "digits"),
    ]:
        got = curl(path, body=body)
        assert got[0] == code and text in json.dumps(got[3]["error"]), f"{path}: {got}, want {code} {text}"


main(globals())
