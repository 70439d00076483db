"""The papers beside the code say what is: links and tests that exist, one version, examples that run."""

import ast
import pathlib
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.ops import activation

ROOT = pathlib.Path(__file__).resolve().parents[1]
README, CHANGELOG, CONTRIBUTING = (
    (ROOT / name).read_text("utf-8") for name in ("README.md", "CHANGELOG.md", ".github/CONTRIBUTING.md")
)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.mark.parametrize("paper", ["README.md", "CHANGELOG.md", ".github/CONTRIBUTING.md"])
def test_links_lead_somewhere(paper):
    folder, text = (ROOT / paper).parent, (ROOT / paper).read_text("utf-8")
    links = {link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
    headings = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"(?m)^#+ (.*)$", text)}
    wrong = {link for link in links if not (link[1:] in headings if link[0] == "#" else (folder / link).exists())}
    assert not wrong


@pytest.mark.parametrize("paper", ["README.md", ".github/CONTRIBUTING.md"])
def test_tests_and_files_that_a_paper_names_exist(paper):
    text = (ROOT / paper).read_text("utf-8")
    for file, function in re.findall(r"`(?:tests/)?(test_\w+\.py)(?:::(\w+))?`", text):
        tests = {n.name for n in ast.walk(parsed(ROOT / "tests" / file)) if isinstance(n, ast.FunctionDef)}
        assert not function or function in tests, f"{file}::{function}"
    for path in re.findall(r"`((?:tinygrad_cnn|tests|benchmarks)/[\w/.]+?)/?`", text):
        assert "NAME" in path or (ROOT / path).exists(), path


def test_files_that_the_project_s_settings_name_exist():
    tools = PYPROJECT["tool"]
    tests = [path for path in tools["mutmut"]["pytest_add_cli_args_test_selection"] if path.startswith("tests/")]
    data = [f"tinygrad_cnn/{path}" for path in tools["setuptools"]["package-data"]["tinygrad_cnn"]]
    for pattern in [*tools["mutmut"]["only_mutate"], *tests, *data, *tools["ruff"]["lint"]["per-file-ignores"]]:
        assert any(ROOT.glob(pattern)), pattern


def parsed(path):
    return ast.parse(path.read_text("utf-8"))


def test_the_version_is_one():
    versions = {tg.__version__, PYPROJECT["project"]["version"]}
    versions |= set(re.findall(r"(?m)^version: (\S+)$", (ROOT / "CITATION.cff").read_text("utf-8")))
    assert len(versions) == 1
    assert re.search(rf"(?m)^## \[{re.escape(versions.pop())}\] - \d{{4}}-\d\d-\d\d$", CHANGELOG)


def test_the_contributors_op_and_layer_are_right():
    blocks = [re.sub(r"(?m)^   ", "", block) for block in re.findall(r"(?s)```python\n(.*?)```", CONTRIBUTING)]
    names = {**vars(activation), "ops": tg.ops, "Module": nn.Module, "nn": nn}
    for block in blocks:
        if "oftplus" in block:
            exec(block, names)
            names["ops"] = type("ops", (), {"softplus": staticmethod(names["softplus"])})
    x = tg.Tensor([-2.0, 0.0, 30.0], dtype=np.float64)
    assert tg.gradcheck(names["softplus"], x, order=2)
    np.testing.assert_allclose(names["Softplus"]()(x).data, np.logaddexp(x.data, 0))


def test_every_tool_runs_where_the_papers_say():
    """The layout, the lint and the types are checked by the gate, by the hooks, and are in the contributors' table."""
    gate, hooks = ((ROOT / name).read_text("utf-8") for name in (".ci/run", ".pre-commit-config.yaml"))
    for command in ("ruff check", "ruff format", "mypy"):
        assert command in gate and command in hooks and command in CONTRIBUTING
    assert "bash .ci/run" in (ROOT / ".github/workflows/ci.yml").read_text("utf-8")


@pytest.mark.slow
def test_a_test_module_that_cannot_be_imported_is_an_error_and_no_skip(tmp_path):
    (tmp_path / "conftest.py").write_bytes((ROOT / "tests" / "conftest.py").read_bytes())
    (tmp_path / "test_it.py").write_text("from tinygrad_cnn import nothing_like_this\n\n\ndef test_it(): ...\n")
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert done.returncode == 2 and "nothing_like_this" in done.stdout
