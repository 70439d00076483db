"""The house: data flows one way, importing is light, the core is small, and what is public says what it does."""

import ast
import importlib
import inspect
import pathlib
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest

import tinygrad_cnn as tg

PACKAGE = pathlib.Path(tg.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Data flows one way: a module of one room imports only from rooms further up this list, for types too.
LADDER = [
    "checks",
    "kernels",
    "autograd",
    "ops",
    "nn",
    "article",
    "optim",
    "data",
    "storage",
    "models",
    "training",
    "interop",
    "inspection",
    "learn",
    "page",
    "cli",
    "__main__",
]
EXTRAS = {"numba", "matplotlib", "rich", "onnx", "safetensors", "sklearn", "pooch", "threadpoolctl", "mpi4py",
          "graphviz"}  # fmt: skip
RUNG = {room: k for k, room in enumerate(LADDER)}


def name_of(path):
    parts = ("tinygrad_cnn", *path.relative_to(PACKAGE).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {name_of(path): path for path in SOURCES}


def imports(tree, path):
    """The package's own modules that are imported anywhere in the tree, for types alone too."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        found |= imports(node, path)
        if isinstance(node, ast.Import):
            found |= {tuple(a.name.split(".")) for a in node.names if a.name.split(".")[0] == "tinygrad_cnn"}
        elif isinstance(node, ast.ImportFrom):
            here = name_of(path) if path.name == "__init__.py" else name_of(path)[:-1]
            base = here[: len(here) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            if base[:1] == ("tinygrad_cnn",):
                named = {(*base, a.name) for a in node.names}
                found |= {n if n in MODULES else base for n in named}
    return found


def room(module):
    return module[1] if len(module) > 1 else ""


TREES = {path: ast.parse(path.read_text("utf-8")) for path in SOURCES}
EDGES = {name: imports(TREES[path], path) for name, path in MODULES.items()}


def test_the_ladder_names_every_room_and_the_root_holds_nothing_else():
    assert {room(name) for name in MODULES} == {"", *LADDER}
    files = {p.stem for p in PACKAGE.iterdir() if p.is_file()}
    assert files == {"__init__", "__main__", "article", "checks", "py"}, "the last is py.typed"


def test_contributors_are_told_this_ladder():
    paper = (PACKAGE.parent / ".github" / "CONTRIBUTING.md").read_text("utf-8")
    assert ", ".join(f"`{room}`" for room in LADDER[:-1]) in " ".join(paper.split())


def test_imports_go_up_the_ladder_only():
    wrong = [
        f"{'.'.join(name)} imports {'.'.join(other)}"
        for name, others in EDGES.items()
        for other in others
        if room(name) and room(name) != room(other) and not RUNG.get(room(other), 99) < RUNG[room(name)]
    ]
    assert not wrong


def test_no_module_imports_itself_by_a_detour():
    try:
        TopologicalSorter({n: others - {n, n[:-1]} for n, others in EDGES.items()}).prepare()
    except CycleError as cycle:
        pytest.fail(" -> ".join(".".join(m) for m in cycle.args[1]))


def test_kernels_know_no_tensor():
    for name, others in EDGES.items():
        if room(name) == "kernels":
            assert {room(o) for o in others} <= {"kernels", "checks"}, name


def test_no_own_module_is_imported_inside_a_function():
    """But by the commands, each of which loads what it needs when it runs."""
    wrong = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and imports(node, path):
                wrong.append(f"{path.relative_to(PACKAGE)}: {node.name}")
    assert [w for w in wrong if not w.startswith("cli")] == []


def test_a_module_that_cannot_be_imported_names_the_extra_that_it_needs():
    """Its examples are skipped (`--doctest-ignore-import-errors`), and for no other reason."""
    for name in (".".join(parts) for parts in MODULES if parts[-1] != "__main__"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            assert error.name in EXTRAS or re.search(r"pip install 'tinygrad_cnn\[\w+\]'", str(error)), (name, error)


def test_no_file_and_no_function_is_long():
    long_files = {str(p.relative_to(PACKAGE)) for p in SOURCES if len(p.read_text("utf-8").splitlines()) > 400}
    long_functions = {
        f"{path.relative_to(PACKAGE)}: {node.name}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - first_line(node) >= 60
    }
    assert not long_files and not long_functions


def first_line(function):
    """Where the body begins: a docstring may be as long as it needs to be."""
    documented = ast.get_docstring(function) is not None
    return function.body[1 if documented and len(function.body) > 1 else 0].lineno


def run(code, *flags):
    return subprocess.run(
        [sys.executable, *flags, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()


def test_importing_the_package_loads_nothing_heavier_than_numpy():
    loaded = run("import sys, tinygrad_cnn; print(*{m.split('.')[0] for m in sys.modules})")
    assert ({*EXTRAS, "scipy", "torch", "llvmlite", "PIL"}).isdisjoint(loaded)


@pytest.mark.slow
def test_importing_the_package_takes_less_than_as_long_again_as_numpy():
    code = (
        "import time; a = time.perf_counter(); import numpy; b = time.perf_counter(); import tinygrad_cnn; "
        "c = time.perf_counter(); print((c - b) / (b - a))"
    )
    assert min(float(run(code)[0]) for _ in range(5)) < 1


def test_importing_has_no_side_effects():
    code = """
import os, sys, threading, warnings, numpy, random
def surroundings():
    chance = random.getstate(), numpy.random.get_state()[1].tolist()
    return dict(os.environ), threading.active_count(), list(warnings.filters), numpy.geterr(), sys.path[:], chance
before = surroundings()
import tinygrad_cnn
print(before == surroundings())
"""
    assert run(code) == ["True"]


def test_every_public_name_says_what_it_does():
    public = [getattr(tg, name) for name in tg.__all__]
    for module in (tg.nn, tg.optim, tg.article):
        public += [v for n, v in vars(module).items() if inspect.isclass(v) and v.__module__.startswith("tinygrad_cnn")]
    for item in public:
        assert item.__doc__, item
        for name, member in vars(item).items() if inspect.isclass(item) else ():
            if inspect.isfunction(member) and not name.startswith("_"):
                assert member.__doc__, f"{item.__name__}.{name}"


def test_what_is_exported_is_what_is_listed():
    assert sorted(tg.__all__) == tg.__all__ and len(set(tg.__all__)) == len(tg.__all__)
    assert all(getattr(tg, name) is getattr(tg, name) for name in tg.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        tg.nonsense  # noqa: B018


def test_dir_lists_every_public_name_before_it_is_loaded():
    listed = run("import tinygrad_cnn; print(*dir(tinygrad_cnn))")
    assert {*tg.__all__, "sklearn", "__version__"} <= set(listed)


def test_the_names_of_version_0_1_work():
    names = """
        AnomalyError CheckpointError DivergenceError GradcheckError GraphError Tensor article avgpool batch_norm
        checkpoint concatenate convolve2d convolve2d_full correlate2d correlate2d_weight cross_entropy data
        detect_anomaly distributed draw dropout enable_grad evaluate explain fit from_dlpack from_onnx get_kernels
        get_num_threads grad gradcheck interop linear load log_softmax matmul maxpool models nn no_grad optim pad plot
        quadratic_cost record relu report save set_kernels set_num_threads sigmoid softmax tanh to_onnx training where
        checkpoint.load checkpoint.save checkpoint.about checkpoint.history plot.filters plot.feature_maps
        plot.gradients plot.curves plot.confusion plot.errors plot.pooling plot.occlusion training.fit training.Run
        models.build models.RECIPES
        models.summarize models.output_shape models.probabilities models.cost_of distributed.world distributed.shard
        interop.load_safetensors interop.save_safetensors report.write_report data.digits data.mnist data.batches
        article.FeatureMap article.MaxPoolingMap article.FullyConnectedLayer nn.StateError optim.Schedule
    """.split()  # noqa: SIM905 - a list of so many names is harder to read
    for name in names:
        found = tg
        for part in name.split("."):
            found = getattr(found, part)
