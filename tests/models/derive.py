# SPDX-License-Identifier: Apache-2.0
"""What users make of a model with ONNX Runtime's tools: quantised in the three ways that it has, optimised for its own operators.

Weights have 7 bits: without VNNI instructions ONNX Runtime's products of 8 by 8 bits saturate, and its result would be no yardstick.
"""
import logging
import os

import numpy as np
import onnxruntime as ort


def calibration(feeds):
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rest = iter(feeds)

        def get_next(self):
            return next(self.rest, None)

    return Reader()


def quantise(source, target, tool, feeds):
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

    logging.getLogger().setLevel(logging.ERROR)  # it recommends preprocessing
    if tool == "dynamic":
        quantize_dynamic(source, target, weight_type=QuantType.QInt8, reduce_range=True)
    else:
        quantize_static(source, target, calibration(feeds), quant_format=QuantFormat.QDQ if tool == "qdq" else QuantFormat.QOperator,
                        per_channel=tool == "qdq", reduce_range=True, weight_type=QuantType.QInt8)


def optimise(source, target):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = target
    ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def fuse_transformer(source, target):
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    logging.getLogger("onnxruntime").setLevel(logging.ERROR)
    options = FusionOptions("bert")
    options.enable_shape_inference = False  # it wants another package
    optimize_model(source, "bert", num_heads=12, hidden_size=384, opt_level=0, optimization_options=options).save_model_to_file(target)


def derive(source, target, tool, feeds):
    """feeds: a few inputs for calibration, each by name."""
    new = f"{target}.new"
    if tool == "optimised":
        optimise(source, new)
    elif tool == "transformer":
        fuse_transformer(source, new)
    else:
        quantise(source, new, tool, feeds)
    os.rename(new, target)


def samples(model, count=4):
    return [model.inputs(np.random.default_rng(100 + i), **model.sets[i % len(model.sets)]) for i in range(count)]
