# SPDX-License-Identifier: Apache-2.0
"""Values of every type for the client tests, under the Open Inference Protocol's names."""
import ml_dtypes
import numpy as np

NUMPY = {"FP32": np.float32, "FP64": np.float64, "FP16": np.float16, "BF16": ml_dtypes.bfloat16, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32,
         "INT64": np.int64, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "BOOL": np.bool_, "BYTES": np.object_}


def sample(name, rows=3):
    if name == "BYTES":
        return np.array([[b"a", b""], ["é".encode(), b"x" * 300], [b"\x00\xff", b"{}"]][:rows], dtype=np.object_)
    if name == "BOOL":
        return np.array([[True, False], [False, True], [True, True]][:rows])
    dtype = NUMPY[name]
    if name[0] in "IU":
        i = np.iinfo(dtype)
        return np.array([[i.min, i.max], [0, 1], [2, 3]][:rows], dtype=dtype)
    return np.array([[1.5, -2.25], [0, 1], [1024, 0.5]][:rows]).astype(dtype)


def image(rows=1, seed=0):
    return np.random.default_rng(seed).random((rows, 1, 8, 8), dtype=np.float32)
