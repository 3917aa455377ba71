# SPDX-License-Identifier: Apache-2.0
"""tfs.py: the stubs of tensorflow-serving-api over gRPC, with TensorFlow's own messages: every method, every type, errors."""
import os
import pathlib
import shutil
import time

import grpc
import numpy as np
from common import CA, DIGITS, GRPC, RELOAD, REPOSITORY, SECURE, TYPES, equal, main, raises
from google.protobuf.wrappers_pb2 import Int64Value
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, get_model_status_pb2, inference_pb2, model_management_pb2, predict_pb2
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc, regression_pb2, session_service_pb2
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


def case_session_run():
    """The package has the messages of this service and no stub for it: what the stub of any other does."""
    run = channel.unary_unary("/tensorflow.serving.SessionService/SessionRun", request_serializer=session_service_pb2.SessionRunRequest.SerializeToString,
                              response_deserializer=session_service_pb2.SessionRunResponse.FromString)
    x = image(3)
    want = predict.Predict(request(x), 10).outputs

    def session(feeds=(("x", x),), fetches=("logits",), **more):
        q = session_service_pb2.SessionRunRequest(fetch=fetches, **more)
        q.model_spec.name = "digits"
        for name, values in feeds:
            q.feed.add(name=name, tensor=proto("FP32", values, False))
        return q
    for feed, fetches in (("x", ["logits"]), ("x:0", ["probabilities:0", "logits"]), ("x", ["logits", "logits:0"])):
        got = run(session([(feed, x)], fetches), 10)
        equal([t.name for t in got.tensor], fetches)
        equal((got.model_spec.name, got.model_spec.version.value), ("digits", 1))
        for t in got.tensor:
            np.testing.assert_array_equal(array("FP32", t.tensor), array("FP32", want[t.name.removesuffix(":0")]))
    for q, code, text in [
        (session(fetches=()), "INVALID_ARGUMENT", "Must specify at least one target to fetch or execute."),
        (session(fetches=("nothing:0",)), "INVALID_ARGUMENT", "nothing"),
        (session([("y", x)]), "INVALID_ARGUMENT", '"y"'),
        (session([("x", x), ("x:0", x)]), "INVALID_ARGUMENT", "fed twice"),
        (session(()), "INVALID_ARGUMENT", '"x"'),
        (session(target=["init"]), "UNIMPLEMENTED", 'target "init"'),
        (session(options={"timeout_in_ms": 5}), "UNIMPLEMENTED", "RunOptions"),
    ]:
        equal(raises(grpc.RpcError, text, run, q, 10).code().name, code)


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
    q = model_management_pb2.ReloadConfigRequest()
    q.config.model_config_list.config.add(name="digits", base_path="/models/digits")
    e = raises(grpc.RpcError, "only with --model-control explicit", models.HandleReloadConfigRequest, q, 10)
    equal(e.code(), grpc.StatusCode.UNIMPLEMENTED)


def case_examples_that_do_not_fit():
    def ask(text, *features, context=None):
        r = classification_pb2.ClassificationRequest()
        r.model_spec.name = "digits"
        examples = r.input.example_list_with_context if context else r.input.example_list
        for f in features:
            e = examples.examples.add()
            for name, kind, values in f:
                getattr(e.features.feature[name], kind).value.extend(values)
        if context:
            examples.context.features.feature["x"].float_list.value.extend(context)
        equal(raises(grpc.RpcError, text, predict.Classify, r, 10).code(), grpc.StatusCode.INVALID_ARGUMENT)
    x = [0.0] * 64
    ask("Input is empty")
    ask('row 0: input "x" is missing', [])
    ask('row 1: input "x" is missing', [("x", "float_list", x)], [])
    ask('feature "x": the model\'s input is DT_FLOAT', [("x", "int64_list", [1] * 64)])
    ask('feature "x": the model\'s input is DT_FLOAT', [("x", "bytes_list", [b"a"] * 64)])
    ask("shape: want [-1,1,8,8], got [1,0]", [("x", "float_list", [])])
    ask("shape: want [-1,1,8,8]", [("x", "float_list", x[:63])])
    ask('row 1: input "x" has another shape', [("x", "float_list", x)], [("x", "float_list", x[:63])])
    ask("the model has no such input", [("x", "float_list", x), ("y", "float_list", x)])
    ask("Input is empty", context=x)


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


def multi(*tasks, name="both", rows=((1, 2), (3, 5))):
    r = inference_pb2.MultiInferenceRequest()
    for method, spec in tasks:
        t = r.tasks.add(method_name=method)
        t.model_spec.name = name
        t.model_spec.MergeFrom(spec)
    for row in rows:
        r.input.example_list.examples.add().features.feature["x"].float_list.value.extend(row)
    return r


def configs(*entries):
    """(name, folder, versions: None is the latest, [] all, labels)"""
    q = model_management_pb2.ReloadConfigRequest()
    q.config.model_config_list.SetInParent()
    for name, folder, versions, labels in entries:
        c = q.config.model_config_list.config.add(name=name, base_path=folder, model_platform="tensorflow")
        if versions == []:
            c.model_version_policy.all.SetInParent()
        elif versions:
            c.model_version_policy.specific.versions.extend(versions)
        for k, v in labels.items():
            c.version_labels[k] = v
    return q


def case_list_of_models_and_multi_inference():
    channel = grpc.insecure_channel(RELOAD)
    stub, manage = prediction_service_pb2_grpc.PredictionServiceStub(channel), model_service_pb2_grpc.ModelServiceStub(channel)
    folder = os.environ["PINTLE_RELOAD_PATH"]
    spec = predict_pb2.PredictRequest().model_spec
    x = image(1)

    def reload(*entries):
        equal(manage.HandleReloadConfigRequest(configs(*entries), 20).status.error_code, 0)

    def refused(code, text, *entries):
        equal(raises(grpc.RpcError, text, manage.HandleReloadConfigRequest, configs(*entries), 20).code().name, code)

    def states(name):
        q = get_model_status_pb2.GetModelStatusRequest()
        q.model_spec.name = name
        return sorted((v.version, v.state) for v in manage.GetModelStatus(q, 10).model_version_status if v.state == 30)

    def version(**spec):
        return stub.Predict(request(x, **spec), 10).model_spec.version.value
    equal(states("digits"), [(1, 30), (2, 30)])
    # what cannot hold changes nothing
    digits, other, both = f"{folder}/digits", f"{folder}/other", f"{folder}/both"
    equal(raises(grpc.RpcError, "Only ModelConfigList is currently supported", manage.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest(),
                 10).code().name, "INVALID_ARGUMENT")
    refused("INVALID_ARGUMENT", "Illegal to list model both multiple times in config list", ("both", both, None, {}), ("both", both, None, {}))
    refused("INVALID_ARGUMENT", "Expected model both to have an absolute path or URI; got base_path()=both", ("both", "both", None, {}))
    refused("PERMISSION_DENIED", "is not in the repository's folder", ("both", both, None, {}), ("passwd", "/etc", None, {}))
    refused("PERMISSION_DENIED", "is not in the repository's folder", ("both", both, None, {}), ("up", folder + "/../etc", None, {}))
    refused("NOT_FOUND", "Could not find base path", ("both", both, None, {}), ("none", folder + "/none", None, {}))
    refused("NOT_FOUND", "no version that the policy wants", ("both", both, None, {}), ("digits", digits, [7], {}))
    refused("FAILED_PRECONDITION", "Request to assign label to 7 of model digits, which is not currently available", ("digits", digits, None, {"stable": 7}))
    bad = pathlib.Path(folder) / "bad/1"
    bad.mkdir(parents=True)
    (bad / "model.onnx").write_bytes(b"no model")
    refused("UNKNOWN", "did not become available: {{name: bad version: 1} due to error", ("digits", digits, [1], {}), ("both", both, None, {}),
            ("bad", f"{folder}/bad", None, {}))
    equal(states("digits"), [(1, 30), (2, 30)])
    equal(version(), 2)
    raises(grpc.RpcError, "Servable not found for request: Latest(both)", stub.MultiInference, multi(("tensorflow/serving/classify", spec)), 10)
    # add, label, retarget and remove
    reload(("digits", digits, [], {"stable": 1, "canary": 2}), ("both", both, None, {}))
    equal((version(), version(version_label="stable"), version(version_label="canary")), (2, 1, 2))
    reload(("digits", digits, [1], {"stable": 1}), ("moved", other, None, {}))
    equal((version(), version(version_label="stable"), states("digits"), version(name="moved")), (1, 1, [(1, 30)], 1))
    raises(grpc.RpcError, "Unrecognized servable version label: canary", stub.Predict, request(x, version_label="canary"), 10)
    raises(grpc.RpcError, "Latest(both)", stub.MultiInference, multi(("tensorflow/serving/classify", spec)), 10)
    reload(("digits", other, None, {}))  # the same name and number, another file
    equal(version(), 1)
    # a version that appears under a base path is loaded by itself
    shutil.copytree(f"{folder}/other/1", f"{folder}/other/.3")
    os.rename(f"{folder}/other/.3", f"{folder}/other/3")
    end = time.monotonic() + 20
    while version() != 3 and time.monotonic() < end:
        time.sleep(0.02)
    equal(version(), 3)
    # one run answers several tasks
    reload(("both", both, None, {"stable": 1}))
    raises(grpc.RpcError, "Latest(digits)", stub.Predict, request(x), 10)
    classify, regress = "tensorflow/serving/classify", "tensorflow/serving/regress"
    got = stub.MultiInference(multi((classify, spec), (regress, spec)), 10).results
    equal([(r.model_spec.name, r.model_spec.version.value, r.model_spec.signature_name) for r in got], [("both", 1, "serving_default")] * 2)
    equal([[(c.label, c.score) for c in row.classes] for row in got[0].classification_result.classifications],
          [[("0", 1), ("1", 2)], [("0", 3), ("1", 5)]])
    equal([r.value for r in got[1].regression_result.regressions], [3, 8])
    equal([r.value for r in stub.MultiInference(multi((regress, spec)), 10).results[0].regression_result.regressions], [3, 8])
    labelled = predict_pb2.PredictRequest()
    labelled.model_spec.version_label = "stable"
    equal(len(stub.MultiInference(multi((classify, labelled.model_spec), (regress, labelled.model_spec)), 10).results), 2)
    mixed = multi((classify, spec), (regress, spec))
    mixed.tasks[1].model_spec.name = "digits"
    for q, code, text in [
        (inference_pb2.MultiInferenceRequest(), "INVALID_ARGUMENT", "it has no tasks"),
        (multi((classify, spec), (classify, spec)), "INVALID_ARGUMENT", "Duplicate evaluation of signature: serving_default"),
        (multi(("tensorflow/serving/predict", spec)), "UNIMPLEMENTED", "Unsupported signature method_name: tensorflow/serving/predict"),
        (multi((classify, spec), rows=()), "INVALID_ARGUMENT", "Input is empty"),
        (multi((classify, spec), name=""), "INVALID_ARGUMENT", "ModelSpec"),
        (multi((classify, spec), name="none"), "NOT_FOUND", "Latest(none)"),
        (mixed, "INVALID_ARGUMENT", "must access the same model name"),
    ]:
        equal(raises(grpc.RpcError, text, stub.MultiInference, q, 10).code().name, code)
    reload()
    raises(grpc.RpcError, "Latest(both)", stub.MultiInference, multi((classify, spec)), 10)


def case_health():
    for address in (GRPC, DIGITS):
        stub = health_pb2_grpc.HealthStub(grpc.insecure_channel(address))
        for service in ("", "tensorflow.serving.PredictionService", "inference.GRPCInferenceService", "digits"):
            equal(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status, health_pb2.HealthCheckResponse.SERVING)
        equal(raises(grpc.RpcError, "nothing", stub.Check, health_pb2.HealthCheckRequest(service="nothing"), timeout=10).code(), grpc.StatusCode.NOT_FOUND)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="digits"), timeout=10)
        equal(next(iter(watch)).status, health_pb2.HealthCheckResponse.SERVING)
        watch.cancel()


def case_tls_and_tokens():
    trusted = grpc.ssl_channel_credentials(pathlib.Path(CA).read_bytes())
    bearer = grpc.composite_channel_credentials(trusted, grpc.access_token_call_credentials("secret"))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.secure_channel(SECURE, bearer))
    equal(stub.Predict(request(image(2)), 10).outputs["logits"].tensor_shape.dim[0].size, 2)
    for token in (None, "wrong"):
        credentials = grpc.composite_channel_credentials(trusted, grpc.access_token_call_credentials(token)) if token else trusted
        channel = grpc.secure_channel(SECURE, credentials)
        e = raises(grpc.RpcError, "bearer token", prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict, request(image(200)), 10)
        equal(e.code(), grpc.StatusCode.UNAUTHENTICATED)
        e = raises(grpc.RpcError, "bearer token", model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus, get_model_status_pb2.GetModelStatusRequest(), 10)
        equal(e.code(), grpc.StatusCode.UNAUTHENTICATED)
        equal(health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10).status, health_pb2.HealthCheckResponse.SERVING)
    for channel in (grpc.insecure_channel(SECURE), grpc.secure_channel(SECURE, grpc.ssl_channel_credentials())):  # plain, and with other roots
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        equal(raises(grpc.RpcError, "", stub.Predict, request(image(1)), 5).code(), grpc.StatusCode.UNAVAILABLE)


def case_many_streams_of_one_connection():
    calls = [predict.Predict.future(request(image(1 + i % 3, i)), 60) for i in range(500)]
    equal([c.result().outputs["logits"].tensor_shape.dim[0].size for c in calls], [1 + i % 3 for i in range(500)])


def case_cancelled_calls_do_no_harm():
    for i in range(50):
        predict.Predict.future(request(image(200)), 60).cancel()
    equal(predict.Predict(request(image(1)), 10).outputs["logits"].tensor_shape.dim[0].size, 1)


main(globals())
