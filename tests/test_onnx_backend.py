"""ONNX's own tests, and PyTorch's exporters: counted as `benchmarks/onnx_reading.py` counts them."""

import importlib.util
import inspect
import pathlib
import sys
from typing import Any

import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
BENCHMARKS = pathlib.Path(__file__).parent.parent / "benchmarks"

spec = importlib.util.spec_from_file_location("onnx_reading", BENCHMARKS / "onnx_reading.py")
assert spec is not None and spec.loader is not None
onnx_reading = importlib.util.module_from_spec(spec)
sys.modules["onnx_reading"] = onnx_reading
spec.loader.exec_module(onnx_reading)

CHANCE = {"test_training_dropout", "test_training_dropout_default", "test_training_dropout_mask",
          "test_training_dropout_default_mask"}  # fmt: skip
ALIGNED = {"test_resize_downsample_scales_linear_align_corners", "test_resize_downsample_scales_cubic_align_corners"}
"""Tests that differ: dropout draws other numbers; with aligned corners lengths are whole, as in ONNX Runtime."""


@pytest.fixture(scope="module")
def cases() -> list[Any]:
    return [case for case in onnx_reading.backend_cases() if onnx_reading.applies(case)]


def test_a_part_of_the_backend_tests_agrees(cases):
    assert len(cases) >= 1_800
    counted = onnx_reading.count([case for case in cases[::9] if case.name not in CHANCE | ALIGNED])
    assert counted.failures == {}
    assert counted.applicable > 190


@pytest.mark.slow
def test_all_backend_tests_agree_but_for_six(cases):
    counted = onnx_reading.count(cases)
    assert set(counted.failures) == CHANCE | ALIGNED
    assert counted.loads == counted.applicable == len(cases)


def test_every_attribute_is_read_with_the_default_of_onnx():
    """Of every operator that has a reader, in every version that there was."""
    readers, helper = onnx_reading.READERS, onnx.helper
    by_opset = {"Selu": {"alpha", "gamma"}, "Softmax": {"axis"}, "LogSoftmax": {"axis"}, "Hardmax": {"axis"},
                "Resize": {"coordinate_transformation_mode"}, "Clip": {"min", "max"}, "Gemm": {"broadcast"},
                "Dropout": {"is_test"}, "GRU": {"direction"}, "GridSample": {"mode"}}  # fmt: skip
    wrong = []
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.name not in readers or schema.domain not in ("", "ai.onnx.ml"):
            continue
        parameters = dict(inspect.signature(readers[schema.name].compute).parameters)
        if "settings" in parameters:
            parameters |= inspect.signature(readers["Conv"].compute).parameters
        for name, attribute in schema.attributes.items():
            if name == "consumed_inputs" or name in by_opset.get(schema.name, ()):
                continue
            if name not in parameters:
                wrong.append(f"{schema.name}-{schema.since_version} {name} is not read")
            elif attribute.default_value.type:
                default, own = helper.get_attribute_value(attribute.default_value), parameters[name].default
                default = default.decode() if isinstance(default, bytes) else default
                if isinstance(default, list):
                    default, own = [d.decode() if isinstance(d, bytes) else d for d in default], list(own)
                if own != (pytest.approx(default) if isinstance(default, float) else default):
                    wrong.append(f"{schema.name}-{schema.since_version} {name} is {own!r}, not {default!r}")
    assert wrong == []


torch_nets = None
if importlib.util.find_spec("torch") and importlib.util.find_spec("onnxscript"):
    import onnx_nets as torch_nets


@pytest.mark.skipif(torch_nets is None, reason="needs PyTorch and onnxscript")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", [("script", 13), pytest.param(("dynamo", 20), marks=pytest.mark.slow)], ids=str)
def test_some_files_of_pytorch_agree(form, tmp_path):
    names = ["conv-bn-relu", "mlp-view-size", "padding-same-even", "avgpool-ceil", "attention", "adaptive-rectangle"]
    torch_nets.write(tmp_path, names, [form])
    counted = onnx_reading.count(onnx_reading.folder_cases(tmp_path))
    assert counted.failures == {} and counted.applicable == len(names)


@pytest.mark.slow
@pytest.mark.skipif(torch_nets is None, reason="needs PyTorch and onnxscript")
@pytest.mark.filterwarnings("ignore")
def test_all_files_of_pytorch_agree(tmp_path):
    torch_nets.write(tmp_path)
    counted = onnx_reading.count(onnx_reading.folder_cases(tmp_path))
    assert counted.failures == {} and counted.applicable >= 450


@pytest.mark.parametrize("origin", ["public", "keras"])
def test_the_files_beside_the_tests_agree(origin):
    folder = pathlib.Path(__file__).parent / "files" / "onnx" / origin
    counted = onnx_reading.count(onnx_reading.folder_cases(folder))
    assert counted.failures == {} and counted.applicable == {"public": 6, "keras": 43}[origin]
