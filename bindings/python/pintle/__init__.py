# SPDX-License-Identifier: Apache-2.0
"""Run ONNX models with the Pintle runtime. See README.md."""
from pintle._lib import Error, isa, version
from pintle.session import ModelMeta, NodeArg, RunOptions, Session, SessionOptions

__version__ = "0.1.0"
__all__ = ["Error", "ModelMeta", "NodeArg", "RunOptions", "Session", "SessionOptions", "isa", "version"]
