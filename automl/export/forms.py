"""Forms: every form a winner can be exported in, by name."""

from collections.abc import Mapping

from automl.export.ctranslate2 import CTRANSLATE2, CTRANSLATE2_INT8
from automl.export.native import BUNDLE, INT8
from automl.export.onnx import ONNX
from automl.export.runtimes import Form
from automl.export.stablehlo import STABLEHLO

FORMS: Mapping[str, Form] = {
    "bundle": BUNDLE,
    "int8": INT8,
    "stablehlo": STABLEHLO,
    "onnx": ONNX,
    "ctranslate2": CTRANSLATE2,
    "ctranslate2-int8": CTRANSLATE2_INT8,
}
