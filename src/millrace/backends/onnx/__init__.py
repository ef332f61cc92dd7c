"""A program as a standard ONNX model.

Enters: a program that is bound to one kind of input. Leaves: an ``onnx.ModelProto`` of the operators of
ONNX and ONNX-ML alone, with notes on what ONNX cannot say. Never: another backend, a custom
operator, an approximation that is not noted. ``onnx`` is imported when a model is exported.
"""

from millrace.backends.onnx.export import Facts, bind, export

__all__ = ["Facts", "bind", "export"]
