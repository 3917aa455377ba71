# SPDX-License-Identifier: Apache-2.0
"""grpcurl.py PROGRAM: grpcurl, which learns every message from server reflection."""
import json
import subprocess
import sys

from common import CA, DIGITS, GRPC, SECURE, equal, main

PROGRAM = sys.argv[1]
SERVICES = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", "inference.GRPCInferenceService",
            "tensorflow.serving.ModelService", "tensorflow.serving.PredictionService", "tensorflow.serving.SessionService"]


def grpcurl(*args, body=None, address=GRPC):
    argv = [PROGRAM, "-plaintext", "-max-time", "20"] + (["-d", json.dumps(body)] if body is not None else []) + [address, *args]
    return subprocess.run(argv, capture_output=True, text=True)


def call(method, body=None):
    r = grpcurl(method, body=body)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def case_list_and_describe():
    for address in (GRPC, DIGITS):
        equal(grpcurl("list", address=address).stdout.split(), SERVICES)
    for service in SERVICES:
        r = grpcurl("describe", service)
        assert r.returncode == 0 and f"service {service.rsplit('.', 1)[1]} {{" in r.stdout, r.stderr or r.stdout
    assert "repeated .inference.ModelInferRequest.InferInputTensor inputs = 5;" in grpcurl("describe", "inference.ModelInferRequest").stdout


def case_open_inference_protocol():
    equal(call("inference.GRPCInferenceService/ServerReady"), {"ready": True})
    m = call("inference.GRPCInferenceService/ModelMetadata", {"name": "digits"})
    equal((m["versions"], m["inputs"][0]["shape"]), (["1"], ["-1", "1", "8", "8"]))
    r = call("inference.GRPCInferenceService/ModelInfer", {"model_name": "digits", "id": "g", "parameters": {"priority": {"int64_param": 1}}, "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1, 1, 8, 8], "contents": {"fp32_contents": [0.5] * 64}}]})
    equal((r["id"], len(r["outputs"][0]["contents"]["fp32_contents"])), ("g", 10))
    equal(call("inference.GRPCInferenceService/RepositoryIndex", {})["models"], [{"name": "digits", "version": "1", "state": "READY"}])


def case_tensorflow_serving():
    r = call("tensorflow.serving.PredictionService/Predict", {"model_spec": {"name": "digits"}, "inputs": {"x": {
        "dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": n} for n in (1, 1, 8, 8)]}, "float_val": [0.5]}}})
    equal((len(r["outputs"]["logits"]["float_val"]), r["model_spec"]["version"]), (10, "1"))
    equal(call("tensorflow.serving.ModelService/GetModelStatus", {"model_spec": {"name": "digits"}})["model_version_status"][0]["state"], "AVAILABLE")


def case_health():
    equal(call("grpc.health.v1.Health/Check", {}), {"status": "SERVING"})


def case_tls_and_tokens():
    def ask(*args, service="inference.GRPCInferenceService/ServerReady"):
        return subprocess.run([PROGRAM, "-max-time", "20", "-connect-timeout", "2", *args, SECURE, service], capture_output=True, text=True)
    bearer = ["-H", "authorization: Bearer secret"]
    equal(json.loads(ask("-cacert", CA, *bearer).stdout), {"ready": True})
    for args, want in ((["-cacert", CA], "a bearer token is needed"), (["-cacert", CA, "-H", "authorization: Bearer wrong"], "not known here"),
                       (bearer, "certificate"), (["-plaintext", *bearer], "")):
        r = ask(*args)
        assert r.returncode != 0 and want in r.stderr, (args, r.stderr)
    equal(json.loads(ask("-cacert", CA, "-import-path", ".", "-proto", "health.proto", service="grpc.health.v1.Health/Check").stdout), {"status": "SERVING"})


def case_errors():
    equal(call("inference.GRPCInferenceService/ModelReady", {"name": "none"}), {})  # not ready
    r = grpcurl("inference.GRPCInferenceService/ModelMetadata", body={"name": "none"})
    assert r.returncode != 0 and "NotFound" in r.stderr and 'no model "none"' in r.stderr, r.stderr
    assert "does not include a method" in grpcurl("inference.GRPCInferenceService/Nothing", body={}).stderr
    assert grpcurl("describe", "no.such.Thing").returncode != 0


main(globals())
