# SPDX-License-Identifier: Apache-2.0
"""tfs.py: the stubs of tensorflow-serving-api over gRPC, with TensorFlow's own messages: every method, every type, errors."""
import grpc
import numpy as np
from common import DIGITS, GRPC, REPOSITORY, TYPES, equal, main, raises
from google.protobuf.wrappers_pb2 import Int64Value
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, get_model_status_pb2, inference_pb2, model_management_pb2, predict_pb2
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc, regression_pb2
from triton_samples import NUMPY, image, sample

TF = {"FP32": "FLOAT", "FP64": "DOUBLE", "FP16": "HALF", "BF16": "BFLOAT16", "BYTES": "STRING"}
FIELD = {"FP32": "float_val", "FP64": "double_val", "FP16": "half_val", "BF16": "half_val", "BYTES": "string_val", "INT64": "int64_val", "BOOL": "bool_val",
         "UINT32": "uint32_val", "UINT64": "uint64_val"}
channel = grpc.insecure_channel(GRPC, options=[("grpc.max_receive_message_length", -1)])
predict = prediction_service_pb2_grpc.PredictionServiceStub(channel)
models = model_service_pb2_grpc.ModelServiceStub(channel)


def proto(name, values, typed):
    t = tensor_pb2.TensorProto(dtype=getattr(types_pb2, "DT_" + TF.get(name, name)))
    for d in values.shape:
        t.tensor_shape.dim.add(size=d)
    if not typed and name != "BYTES":
        t.tensor_content = values.tobytes()
    else:
        flat = values.view(np.uint16) if name in ("FP16", "BF16") else values
        getattr(t, FIELD.get(name, "int_val")).extend(v if name == "BYTES" else v.item() for v in flat.ravel())
    return t


def array(name, t):
    shape = [d.size for d in t.tensor_shape.dim]
    values = list(getattr(t, FIELD.get(name, "int_val")))
    if name in ("FP16", "BF16"):
        return np.array(values, np.uint16).view(NUMPY[name]).reshape(shape)
    return np.array(values, NUMPY[name]).reshape(shape)


def request(x, name="digits", **spec):
    r = predict_pb2.PredictRequest()
    r.model_spec.name = name
    for k, v in spec.items():
        if k == "version":
            r.model_spec.version.value = v
        else:
            setattr(r.model_spec, k, v)
    r.inputs["x"].CopyFrom(proto("FP32", x, False))
    return r


def case_predict():
    x = image(3)
    want = None
    for spec in ({}, {"version": 1}, {"version": 0}, {"signature_name": "serving_default"}):
        r = predict.Predict(request(x, **spec), 10)
        equal(sorted(r.outputs), ["logits", "probabilities"])
        equal((r.model_spec.name, r.model_spec.version.value, r.model_spec.signature_name), ("digits", 1, "serving_default"))
        p = array("FP32", r.outputs["probabilities"])
        want = p if want is None else want
        np.testing.assert_array_equal(p, want)
    q = request(x)
    q.output_filter.append("logits")
    equal(list(predict.Predict(q, 10, compression=grpc.Compression.Gzip).outputs), ["logits"])


def case_every_type():
    stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(TYPES))
    for typed in (False, True):
        r = predict_pb2.PredictRequest()
        r.model_spec.name = "types"
        for n in NUMPY:
            r.inputs[n].CopyFrom(proto(n, sample(n), typed))
        got = stub.Predict(r, 10)
        for n in NUMPY:
            np.testing.assert_array_equal(array(n, got.outputs["out_" + n]), sample(n), err_msg=n)
    r.inputs["INT8"].int_val[:] = [5]  # one value stands for all
    np.testing.assert_array_equal(array("INT8", stub.Predict(r, 10).outputs["out_INT8"]), np.full((3, 2), 5))


def case_classify():
    x = image(2)
    r = classification_pb2.ClassificationRequest()
    r.model_spec.name = "digits"
    for row in x:
        r.input.example_list.examples.add().features.feature["x"].float_list.value.extend(float(v) for v in row.ravel())
    p = array("FP32", predict.Predict(request(x), 10).outputs["probabilities"])
    rows = predict.Classify(r, 10).result.classifications
    equal([[c.label for c in row.classes] for row in rows], [[str(i) for i in range(10)]] * 2)
    np.testing.assert_allclose([[c.score for c in row.classes] for row in rows], p, rtol=1e-6)
    # the same as the context of examples that say nothing themselves
    r.input.example_list_with_context.examples.add()
    r.input.example_list_with_context.context.features.feature["x"].float_list.value.extend(float(v) for v in x[0].ravel())
    np.testing.assert_allclose([c.score for c in predict.Classify(r, 10).result.classifications[0].classes], p[0], rtol=1e-6)


def case_regress_and_others_are_refused_by_name():
    r = regression_pb2.RegressionRequest()
    r.model_spec.name = "digits"
    r.input.example_list.examples.add().features.feature["x"].float_list.value.extend([0.0] * 64)
    e = raises(grpc.RpcError, 'model "digits" cannot regress', predict.Regress, r, 10)
    equal(e.code(), grpc.StatusCode.INVALID_ARGUMENT)
    equal(raises(grpc.RpcError, "MultiInference", predict.MultiInference, inference_pb2.MultiInferenceRequest(), 10).code(), grpc.StatusCode.UNIMPLEMENTED)
    equal(raises(grpc.RpcError, "HandleReloadConfigRequest", models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest(), 10).code(),
          grpc.StatusCode.UNIMPLEMENTED)


def case_metadata_and_status():
    r = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    r.model_spec.name = "digits"
    got = predict.GetModelMetadata(r, 10)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert got.metadata["signature_def"].Unpack(signatures)
    s = signatures.signature_def["serving_default"]
    equal((s.method_name, s.inputs["x"].dtype, [d.size for d in s.inputs["x"].tensor_shape.dim]), ("tensorflow/serving/predict", 1, [-1, 1, 8, 8]))
    q = get_model_status_pb2.GetModelStatusRequest()
    q.model_spec.name = "digits"
    status = models.GetModelStatus(q, 10).model_version_status
    equal([(v.version, v.state, v.status.error_code) for v in status], [(1, 30, 0)])
    q.model_spec.version.CopyFrom(Int64Value(value=7))
    equal(raises(grpc.RpcError, "Specific(digits, 7)", models.GetModelStatus, q, 10).code(), grpc.StatusCode.NOT_FOUND)


def case_refusals():
    x = image(1)
    for q, code, text in [
        (request(x, "none"), "NOT_FOUND", "Servable not found for request: Latest(none)"),
        (request(x, version=9), "NOT_FOUND", "Servable not found for request: Specific(digits, 9)"),
        (request(x, version_label="stable"), "INVALID_ARGUMENT", "Unrecognized servable version label: stable"),
        (request(x, signature_name="q"), "INVALID_ARGUMENT", "Serving signature name"),
        (request(x.reshape(1, 64)), "INVALID_ARGUMENT", "shape: want [-1,1,8,8], got [1,64]"),
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "ModelSpec"),
    ]:
        equal(raises(grpc.RpcError, text, predict.Predict, q, 10).code().name, code)
    q = request(x)
    q.inputs["x"].tensor_content = q.inputs["x"].tensor_content[:-1]
    raises(grpc.RpcError, "needs 256 bytes, got 255", predict.Predict, q, 10)


def case_versions():
    stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(REPOSITORY))
    for version, want in ((None, 2), (0, 2), (1, 1), (2, 2)):
        equal(stub.Predict(request(image(1), **({} if version is None else {"version": version})), 10).model_spec.version.value, want)
    q = get_model_status_pb2.GetModelStatusRequest()
    q.model_spec.name = "digits"
    status = model_service_pb2_grpc.ModelServiceStub(grpc.insecure_channel(REPOSITORY)).GetModelStatus(q, 10).model_version_status
    equal(sorted((v.version, v.state) for v in status), [(1, 30), (2, 30)])


def case_health():
    for address in (GRPC, DIGITS):
        stub = health_pb2_grpc.HealthStub(grpc.insecure_channel(address))
        for service in ("", "tensorflow.serving.PredictionService", "inference.GRPCInferenceService", "digits"):
            equal(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status, health_pb2.HealthCheckResponse.SERVING)
        equal(raises(grpc.RpcError, "nothing", stub.Check, health_pb2.HealthCheckRequest(service="nothing"), timeout=10).code(), grpc.StatusCode.NOT_FOUND)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="digits"), timeout=10)
        equal(next(iter(watch)).status, health_pb2.HealthCheckResponse.SERVING)
        watch.cancel()


def case_many_streams_of_one_connection():
    calls = [predict.Predict.future(request(image(1 + i % 3, i)), 60) for i in range(500)]
    equal([c.result().outputs["logits"].tensor_shape.dim[0].size for c in calls], [1 + i % 3 for i in range(500)])


def case_cancelled_calls_do_no_harm():
    for i in range(50):
        predict.Predict.future(request(image(200)), 60).cancel()
    equal(predict.Predict(request(image(1)), 10).outputs["logits"].tensor_shape.dim[0].size, 1)


main(globals())
