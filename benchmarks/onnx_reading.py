"""What `from_onnx` can read: how many files of each origin apply, load, and agree with their expected output.

``python benchmarks/onnx_reading.py [--torch FOLDER] [--keras FOLDER] [--public FOLDER] [--json FILE] [--failures]``
runs ONNX's own backend tests, and the files of folders in which every ``NAME.onnx`` has its input and output beside it
in ``NAME.npz``, and prints a table. `tests/onnx_nets.py` makes the folder of PyTorch's files.
"""

import argparse
import collections
import json
import pathlib
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

import tinygrad_cnn as tg
from tinygrad_cnn.interop.onnx.readers import READERS

TOLERANCE = 1e-4
"""Largest difference from the expected output, absolute or relative; half floats are compared at their own digits."""

_DIGITS = {"float16": 1e-3, "bfloat16": 8e-3}


class Case(NamedTuple):
    """One file with its inputs and expected outputs; ``model`` or ``path`` has it."""

    name: str
    model: Any
    inputs: list[Any]
    outputs: list[Any]
    path: pathlib.Path | None = None


class Count(NamedTuple):
    """What came of the files of one origin."""

    applicable: int
    loads: int
    agrees: int
    failures: dict[str, str]


def backend_cases() -> Iterator[Case]:
    """ONNX's own tests: of single nodes, and of PyTorch's operators and layers, which are of operator set 6."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = load_model_tests(kind="node")
    for test in tests:
        for inputs, outputs in test.data_sets or ():
            yield Case(test.name, test.model, [_array(x) for x in inputs], [_array(y) for y in outputs])
    root = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data"
    for folder in sorted((*root.glob("pytorch-*/*"), *root.glob("simple/*"))):
        model = onnx.load(folder / "model.onnx")
        for data in sorted(folder.glob("test_data_set_*")):
            inputs = [_pb(data / f"input_{k}.pb", v) for k, v in enumerate(model.graph.input) if _is_there(data, k)]
            outputs = [_pb(data / f"output_{k}.pb", v) for k, v in enumerate(model.graph.output)]
            yield Case(f"{folder.parent.name}/{folder.name}", model, inputs, outputs)


def _array(value: Any) -> Any:
    """Return a tensor of a test as an array; NumPy lacks the types of some."""
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _is_there(folder: pathlib.Path, k: int) -> bool:
    return (folder / f"input_{k}.pb").exists()


def _pb(path: pathlib.Path, value: Any) -> Any:
    if value.type.WhichOneof("value") != "tensor_type":
        return None
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def folder_cases(folder: pathlib.Path) -> Iterator[Case]:
    """The files of a folder, each with its ``input`` and ``output`` in an ``.npz``."""
    for path in sorted(folder.glob("*.onnx")):
        with np.load(path.with_suffix(".npz")) as arrays:
            yield Case(path.stem, None, [arrays["input"]], [arrays["output"]], path)


def operators(graph: Any) -> set[str]:
    """Return the operators of a graph and of those inside it, with their domain where it is not ONNX's own."""
    found = set()
    for node in graph.node:
        found.add(node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}")
        for attribute in node.attribute:
            found |= operators(attribute.g) if attribute.HasField("g") else set()
    return found


def applies(case: Case) -> bool:
    """Return True if all operators have a reader, and all inputs and outputs are tensors of numbers."""
    values = [*case.model.graph.input, *case.model.graph.output]
    tensors = all(v.type.WhichOneof("value") == "tensor_type" and v.type.tensor_type.elem_type != 8 for v in values)
    return tensors and operators(case.model.graph) <= {*READERS, "Constant"}


def run(case: Case, folder: pathlib.Path) -> tuple[bool, str]:
    """Return whether the file loads, and what is wrong with it, "" if nothing."""
    path = case.path
    if path is None:
        path = folder / "model.onnx"
        path.write_bytes(case.model.SerializeToString())
    try:
        network = tg.from_onnx(path)
    except Exception as error:
        return False, f"does not load: {error}"
    names = [i.name for i in network._graph.inputs]
    inputs = case.inputs
    if case.model is not None:  # inputs that no node needs are dropped
        declared = [v.name for v in case.model.graph.input]
        stored = {t.name for t in case.model.graph.initializer}
        given = [n for n in declared if n not in stored] if len(declared) != len(inputs) else declared
        inputs = [x for n, x in zip(given, inputs, strict=False) if n in names]
    try:
        with tg.no_grad():
            results = network(*inputs)
    except Exception as error:
        return True, f"does not run: {type(error).__name__}: {error}"
    results = results if isinstance(results, tuple) else (results,)
    return True, "; ".join(filter(None, map(difference, results, case.outputs)))


def difference(result: Any, expected: Any) -> str:
    """Return how a result differs from the expected one, "" if it does not."""
    a, b = result.data, np.asarray(expected)
    kind = b.dtype.name
    if a.shape != b.shape:
        return f"shape {a.shape}, not {b.shape}"
    if "float" not in kind:
        narrow = kind in ("int4", "uint4", "int2", "uint2")
        if not narrow and a.dtype != b.dtype:
            return f"type {a.dtype}, not {b.dtype}"
        return "" if np.array_equal(a, b.astype(a.dtype)) else "other integers"
    if a.dtype.kind != "f" or (kind == "float64") != (a.dtype == np.float64):
        return f"type {a.dtype}, not {b.dtype}"
    if kind not in ("float32", "float64"):
        with np.errstate(all="ignore"):
            a, b = a.astype(b.dtype).astype(np.float64), b.astype(np.float64)
    tolerance = _DIGITS.get(kind, TOLERANCE)
    close = np.allclose(a, b, tolerance, tolerance, equal_nan=True)
    return "" if close else f"differs by {np.nanmax(np.abs(a - b)):.3g}"


def count(cases: Iterable[Case]) -> Count:
    """Run all cases that apply."""
    applicable = loads = agrees = 0
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in cases:
            if case.model is not None and not applies(case):
                continue
            applicable += 1
            loaded, wrong = run(case, pathlib.Path(folder))
            loads += loaded
            agrees += not wrong
            if wrong:
                failures[case.name] = wrong
    return Count(applicable, loads, agrees, failures)


def table(counts: dict[str, Count]) -> str:
    """Return the counts as a Markdown table."""
    rows = ["| files | applicable | load | agree to 1e-4 |", "|---|---|---|---|"]
    for name, c in counts.items():
        share = f" ({c.agrees / c.applicable:.1%})" if c.applicable else ""
        rows.append(f"| {name} | {c.applicable} | {c.loads} | {c.agrees}{share} |")
    return "\n".join(rows)


def main() -> None:
    """Count, print the table, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for origin in ("torch", "keras", "public"):
        parser.add_argument(f"--{origin}", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--no-backend", action="store_true", help="leave out ONNX's own tests")
    parser.add_argument("--failures", action="store_true", help="print what is wrong with each file")
    args = parser.parse_args()
    counts = {} if args.no_backend else {"ONNX's backend tests": count(backend_cases())}
    for origin, name in (("torch", "PyTorch's exporters"), ("keras", "Keras"), ("public", "public classifiers")):
        folder = getattr(args, origin)
        if folder is not None:
            counts[name] = count(folder_cases(folder))
    print(table(counts))
    if args.failures:
        kinds = collections.Counter(text[:100] for c in counts.values() for text in c.failures.values())
        for name, text in sorted((n, t) for c in counts.values() for n, t in c.failures.items()):
            print(f"{name}: {text[:250]}")
        print(len(kinds), "kinds")
    if args.json is not None:
        args.json.write_text(json.dumps({name: c._asdict() for name, c in counts.items()}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
