# SPDX-License-Identifier: Apache-2.0
"""Builds ONNX graphs node by node, and can run them while they grow.

    g = Graph("net", opset=17)
    x = g.input("x", ["N", 3, 224, 224])
    y = g.add("Relu", [x])
    g.output(y, ["N", 3, 224, 224], rename="y"); g.save(path)

With sample data for the inputs (g.input(..., sample=array)) every added node is run at once by ONNX Runtime, one node at a time,
and g.values[name] holds what it gives. So weights can be chosen from the activations they will meet: random networks whose outputs
depend on their inputs, not on a drift of scale.
"""
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

IR_VERSION = 8


class Graph:
    def __init__(self, name, opset=17):
        self.name, self.opset = name, opset
        self.nodes, self.inputs, self.outputs, self.weights, self.values = [], [], [], {}, {}

    def input(self, name, shape, dtype=TensorProto.FLOAT, sample=None):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        if sample is not None:
            self.values[name] = sample
        return name

    def output(self, name, shape, rename):
        """Makes the value of the last node an output, under a name of its own."""
        assert list(self.nodes[-1].output) == [name]
        self.nodes[-1].output[0] = rename
        self.outputs.append(helper.make_tensor_value_info(rename, TensorProto.FLOAT, shape))

    def weight(self, name, array):
        self.weights[name] = np.ascontiguousarray(array)
        return name

    def constant(self, value, dtype=np.int64):
        """A Constant node, as exporters write small numbers."""
        array = np.asarray(value, dtype)
        return self.add("Constant", [], value=numpy_helper.from_array(array))

    def add(self, op, inputs, outputs=1, **attributes):
        """Appends a node; the name of its first output, made of the operator and a number."""
        name = f"{op}_{len(self.nodes)}"
        outs = [name] + [f"{name}:{i}" for i in range(1, outputs)]
        node = helper.make_node(op, inputs, outs, name=name, **attributes)
        self.nodes.append(node)
        feeds = {i: self.values[i] if i in self.values else self.weights.get(i) for i in inputs if i}
        if all(v is not None for v in feeds.values()):
            self.values.update(zip(outs, self.run(node, feeds)))
        return name

    def run(self, node, feeds):
        def info(name, value):
            dtype = helper.np_dtype_to_tensor_dtype(value.dtype) if value is not None else TensorProto.UNDEFINED
            return helper.make_tensor_value_info(name, dtype, None)

        graph = helper.make_graph([node], "one", [info(k, v) for k, v in feeds.items()], [onnx.ValueInfoProto(name=o) for o in node.output])
        return session(self.model(graph).SerializeToString()).run(None, feeds)

    def model(self, graph):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], producer_name="pintle-tests")
        model.ir_version = IR_VERSION
        return model

    def save(self, path):
        weights = [numpy_helper.from_array(v, k) for k, v in self.weights.items()]
        model = self.model(helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, weights))
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)


def session(model, threads=1, optimised=False):
    """ONNX Runtime as the yardstick: without optimisations unless asked."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
