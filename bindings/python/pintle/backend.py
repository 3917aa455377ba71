# SPDX-License-Identifier: Apache-2.0
"""onnx.backend on Pintle: prepare, run_model and run_node, as ONNX's own test runner and scoreboard call them."""
import numpy
import onnx
import onnx.backend.base
from onnx import helper

from pintle.session import Session


class PintleBackendRep(onnx.backend.base.BackendRep):
    def __init__(self, session):
        self.session = session

    def run(self, inputs, **kwargs):
        """inputs: values in the order of the model's inputs, or a dict by name."""
        if not isinstance(inputs, dict):
            if isinstance(inputs, numpy.ndarray):
                inputs = [inputs]
            names = [i.name for i in self.session.get_inputs()]
            if len(inputs) != len(names):
                raise ValueError(f"{len(inputs)} inputs are given, the model has {len(names)}: {', '.join(names)}")
            inputs = dict(zip(names, inputs))
        return tuple(self.session.run(None, inputs))


class PintleBackend(onnx.backend.base.Backend):
    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        return PintleBackendRep(Session(model.SerializeToString()))

    @classmethod
    def run_model(cls, model, inputs, device="CPU", **kwargs):
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(cls, node, inputs, device="CPU", outputs_info=None, **kwargs):
        super().run_node(node, inputs, device, outputs_info, **kwargs)
        given = dict(zip([n for n in node.input if n], [numpy.asarray(i) for i in inputs]))
        values = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in given.items()]
        outs = [onnx.ValueInfoProto(name=n) for n in node.output if n]
        model = helper.make_model(helper.make_graph([node], "node", values, outs), **kwargs)
        return PintleBackendRep(Session(model.SerializeToString())).run(given)

    @classmethod
    def supports_device(cls, device):
        return device.split(":")[0] == "CPU"


prepare = PintleBackend.prepare
run_model = PintleBackend.run_model
run_node = PintleBackend.run_node
supports_device = PintleBackend.supports_device
