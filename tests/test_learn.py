"""The course: solutions pass, untouched files earn nothing, and usual mistakes are refused with their reasons."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tinygrad_cnn import cli, learn
from tinygrad_cnn.learn.checking import check_file
from tinygrad_cnn.learn.notebooks import notebook

CHAPTERS = learn.chapters()
EXPENSIVE = 12


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """A folder with all solutions."""
    folder = tmp_path_factory.mktemp("solved")
    for c in CHAPTERS:
        (folder / c.file).write_text(c.solution)
    return folder


@pytest.mark.parametrize("number", [c.number for c in CHAPTERS])
def test_the_solution_is_right(number, solved):
    result = check_file(number, solved)
    assert result.ok, result.message
    assert result.message.startswith("right: ")


@pytest.mark.parametrize("number", [c.number for c in CHAPTERS])
def test_an_untouched_exercise_earns_nothing(number, tmp_path):
    learn.start(tmp_path)
    assert check_file(number, tmp_path).state == "not begun"
    (tmp_path / CHAPTERS[number - 1].file).unlink()
    assert check_file(number, tmp_path).state == "missing"


# (chapter, text of the solution, what stands there instead, words of the answer)
MISTAKES = [
    (1, "w[i, j] * x", "w[-1 - i, -1 - j] * x", "turned by 180 degrees"),
    (1, "+ w[i, j]", "+ w[i, j] / w.size", "divided by the size"),
    (1, "- w.shape[0] + 1, x", "- w.shape[0], x", "must have shape"),
    (1, "z = z + w", "z = w", "is wrong"),
    (1, "w[i, j] * x[..., i : i + rows, j : j + columns]", "w[i, j] * x[..., j : j + rows, i : i + columns]", ""),
    (1, "return z", "z", "returns None"),
    (1, "    z = np.zeros((*x.shape[:-2], rows, columns))\n",
     "    x *= 1.5\n    z = np.zeros((*x.shape[:-2], rows, columns))\n",
     "changes its argument"),
    (2, "np.sum(dc_dz)", "np.mean(dc_dz)", "the mean"),
    (2, "np.sum(dc_dz)", "-np.sum(dc_dz)", ""),
    (2, "np.sum(dc_dz)", "dc_dz", "must have shape ()"),
    (2, "np.sum(dc_dz)", "np.sum(dc_dz, axis=0)", "must have shape ()"),
    (2, "np.sum(dc_dz)", "0.1428", "should be"),
    (3, "* dc_dz)", "* dc_dz[..., ::-1, ::-1])", ""),
    (3, "dc_dw[i, j] = ", "dc_dw[-1 - i, -1 - j] = ", "180 degrees"),
    (3, "np.sum(x", "np.mean(x", ""),
    (3, "dc_dw[i, j] = ", "dc_dw[i, j] = -", "sign"),
    (3, "return dc_dw", "return dc_dw.T", ""),
    (3, "rows, columns = dc_dz.shape[-2:]", "rows, columns = dc_dz.shape", "ValueError"),
    (4, "w[i, j] * dc_dz", "w[-1 - i, -1 - j] * dc_dz", "180 degrees"),
    (4, "+= w[i, j]", "= w[i, j]", ""),
    (4, "+= w[i, j]", "-= w[i, j]", "sign"),
    (4, "w[i, j] * dc_dz", "2 * w[i, j] * dc_dz", "2"),
    (4, "rows + height - 1, columns + width - 1", "rows + height, columns + width", "must have shape"),
    (5, "return dc_da * a * (1 - a)", "return a * (1 - a)", "without dC/da"),
    (5, "return dc_da * a * (1 - a)", "return dc_da * sigmoid(a) * (1 - sigmoid(a))", "taken once more"),
    (5, "return dc_da * a * (1 - a)", "return dc_da * (1 - a)", "without a"),
    (5, "return dc_da * a * (1 - a)", "return dc_da * a", "without (1 - a)"),
    (5, "    small = np.exp(-np.abs(z))\n    return np.where(z >= 0, 1.0, small) / (1.0 + small)",
     "    return 1 / (1 + np.exp(-z))",
     "overflows"),
    (5, "z >= 0", "z < 0", "mirror image"),
    (6, "values.argmax(axis=-1)", "values.shape[-1] - 1 - values[..., ::-1].argmax(axis=-1)", "last neuron of a tie"),
    (6, "np.where(winner == k, dc_dy, 0)",
     "np.where(values[..., k] == values.max(-1), dc_dy, 0)", "every neuron of a tie"),
    (6, "dc_da[part] += np.where(winner == k, dc_dy, 0)",
     "dc_da[part] = np.where(winner == k, dc_dy, dc_da[part])", "overlap"),
    (6, ".max(axis=-1)", ".mean(axis=-1)", "is wrong"),
    (6, "(a.shape[-2] - size) // stride + 1", "a.shape[-2] // stride", ""),
    (7, "dc_dz @ w,", "dc_dz @ w * 2,", ""),
    (7, "dc_dz.sum(axis=0)", "dc_dz.mean(axis=0)", "batch"),
    (7, "dc_dz.T @ a", "a.T @ dc_dz", "shape"),
    (7, "a @ w.T + b", "a @ w.T", "b is missing"),
    (7, "return dc_dz @ w, dc_dz.T @ a, dc_dz.sum(axis=0)",
     "return dc_dz.T @ a, dc_dz @ w, dc_dz.sum(axis=0)", "shape"),
    (7, ", dc_dz.sum(axis=0)", "", "must return 3 values"),
    (8, "sigmoid_backward(dc_da1, a1)", "dc_da1", ""),
    (8, "sigmoid_backward(dc_da2, a2)", "dc_da2", ""),
    (8, "input_gradient(dc_dz2, w2)", "input_gradient(dc_dz2, w2[::-1, ::-1])", ""),
    (8, "weight_gradient(a1, dc_dz2)", "-weight_gradient(a1, dc_dz2)", "sign"),
    (8, "bias_gradient(dc_dz2),\n    )", "bias_gradient(dc_dz1),\n    )", ""),
    (8, "correlate(a1, w2) + b2", "correlate(a1, w2) - b2", "is wrong"),
    (9, "0.5 * np.sum", "np.sum", "without the half"),
    (9, "** 2) / len(a)", "** 2)", "sum over the batch"),
    (9, "** 2) / len(a)", "** 2) / a.size", "mean over all numbers"),
    (9, "return (a - y) / len(a)", "return a - y", "1"),
    (9, "return (a - y) / len(a)", "return (y - a) / len(a)", "sign"),
    (10, "p -= rate * v", "p = p - rate * v", "as they were before"),
    (10, "p -= rate * v", "p += rate * v", "goes up the gradient"),
    (10, "p -= rate * v", "p -= rate * g", "without the velocity"),
    (10, "v *= momentum\n", "v *= 1 - momentum\n", ""),
    (10, "v += g", "g += v\n        v[...] = g", "changes the gradients"),
    (11, "/ len(z)\n", "\n", "division by N"),
    (11, "dc_dz[np.arange(len(z)), labels] -= 1\n    return dc_dz / len(z)",
     "dc_dz[np.arange(len(z)), labels] -= 1\n    return -dc_dz / len(z)",
     "sign is wrong"),
    (11, "z.max(axis=1, keepdims=True)", "0", "is wrong"),
    (11, "np.exp(shifted), axis=1", "np.exp(shifted), axis=0", ""),
    (11, "-np.mean", "np.mean", "the sign"),
    (11, "    dc_dz[np.arange(len(z)), labels] -= 1\n", "", "what should be"),
    (12, "biases.append(bias_gradient(dc_dz))", "biases.append(bias_gradient(dc_dz) * 2)", "parameters[6]"),
    (12, "weight_gradient(images, dc_dz)", "-weight_gradient(images, dc_dz)", "parameters[0]"),
    (12, "dc_dw, dc_db]", "dc_dw]", "must return 14 values"),
    (12, "range(40)", "range(0)", "95% are asked for"),
    (12, "sigmoid_backward(maxpool_backward(dc_dy[:, k], a, 2, 2), a)",
     "maxpool_backward(dc_dy[:, k], a, 2, 2)", "parameters[0]"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "right", "wrong", "words"), MISTAKES)
def test_each_usual_mistake_is_refused_with_its_reason(number, right, wrong, words, solved, tmp_path):
    for c in CHAPTERS[: number - 1]:
        (tmp_path / c.file).write_text(c.solution)
    c = CHAPTERS[number - 1]
    assert right in c.solution
    (tmp_path / c.file).write_text(c.solution.replace(right, wrong, 1))
    result = check_file(number, tmp_path)
    assert result.state == "wrong", result
    assert words in result.message, result.message


def test_there_are_five_mistakes_for_every_chapter():
    counts = np.bincount([m[0] for m in MISTAKES], minlength=13)[1:]
    assert counts.min() >= 5, counts


def test_an_answer_that_fits_the_worked_example_alone_does_not_pass():
    example = np.array([[0.37, 0.47], [0.67, 0.77]])
    assert not learn.check(1, {"correlate": lambda x, w: example}).ok
    assert not learn.check(2, {"bias_gradient": lambda dc_dz: 0.1428}).ok


def test_the_worked_numbers_are_right():
    x, w = np.arange(1, 10).reshape(3, 3) / 10, np.array([[0.1, 0.2], [0.3, 0.4]])
    names = {}
    for c in CHAPTERS[:5]:
        exec(c.solution, names)
    z = names["correlate"](x, w)
    np.testing.assert_allclose(z, [[0.37, 0.47], [0.67, 0.77]])
    a = names["sigmoid"](z + 0.1)
    np.testing.assert_allclose(a, [[0.6154, 0.6388], [0.6835, 0.7047]], atol=5e-5)
    dc_dz = names["sigmoid_backward"](a - [[1, 0], [0, 1]], a)
    np.testing.assert_allclose(dc_dz, [[-0.0910, 0.1474], [0.1479, -0.0614]], atol=6e-5)
    np.testing.assert_allclose(names["bias_gradient"](dc_dz), 0.1428, atol=5e-5)
    np.testing.assert_allclose(names["weight_gradient"](x, dc_dz), [[0.0488, 0.0631], [0.0916, 0.1059]], atol=6e-5)
    middle = [[-0.0091, -0.0035, 0.0295], [-0.0125, 0.0312, 0.0467], [0.0444, 0.0407, -0.0246]]
    np.testing.assert_allclose(names["input_gradient"](dc_dz, w), middle, atol=6e-5)
    exec(CHAPTERS[5].solution, names)
    picture = np.array([[0.1, 0.3, 0.2, 0.0], [0.4, 0.2, 0.1, 0.9], [0.2, 0.7, 0.6, 0.3], [0.8, 0.5, 0.2, 0.1]])
    np.testing.assert_array_equal(names["maxpool"](picture, 2, 2), [[0.4, 0.9], [0.8, 0.6]])
    np.testing.assert_array_equal(names["maxpool"](picture, 2, 1), [[0.4, 0.3, 0.9], [0.7, 0.7, 0.9], [0.8, 0.7, 0.6]])
    exec(CHAPTERS[10].solution, names)
    scores = np.array([[2.0, 1.0, 0.1]])
    np.testing.assert_allclose(names["softmax"](scores), [[0.6590, 0.2424, 0.0986]], atol=5e-5)
    np.testing.assert_allclose(names["cross_entropy"](scores, np.array([0])), 0.4170, atol=5e-5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def correlate(x, w)\n", "SyntaxError in line 1"),
        ("import nothing_of_that_name\n", "ModuleNotFoundError"),
        ("1 / 0\n", "ZeroDivisionError in line 1"),
        ("x = 1\n", "the function correlate is missing"),
        ("def correlate(x, w):\n    return x[99]\n", "IndexError in line 2"),
        ("def correlate(x):\n    return x\n", "TypeError"),
        ("def correlate(x, w):\n    return 'text'\n", "must be an array of numbers"),
    ],
)
def test_a_file_that_cannot_be_run_is_told_where(text, words, tmp_path):
    (tmp_path / CHAPTERS[0].file).write_text(text)
    result = check_file(1, tmp_path)
    assert result.state == "wrong" and words in result.message


def test_an_earlier_chapter_that_is_not_written_is_named(solved, tmp_path):
    learn.start(tmp_path)
    (tmp_path / CHAPTERS[7].file).write_text(CHAPTERS[7].solution)
    result = check_file(8, tmp_path)
    assert not result.ok and "of chapter_0" in result.message


def test_files_of_two_folders_do_not_mix(solved, tmp_path):
    assert check_file(1, solved).ok
    learn.start(tmp_path)
    assert check_file(1, tmp_path).state == "not begun"
    assert check_file(1, solved).ok


# the command ----------------------------------------------------------------------------------------------------------


def called(capsys, *arguments):
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as leaving:
        status = leaving.code
    return status, *capsys.readouterr()


def test_the_way_through_the_course(capsys, tmp_path, monkeypatch, solved):
    monkeypatch.chdir(tmp_path)
    assert "learn start my-course" in called(capsys, "learn")[1]
    status, out, _ = called(capsys, "learn", "start", "my-course")
    assert status == 0 and "12 exercise files written" in out
    assert "all were there already" in called(capsys, "learn", "start", "my-course")[1]
    assert "0 of 12 done. Next:  tinygrad-cnn learn read 1" in called(capsys, "learn")[1]
    monkeypatch.chdir(tmp_path / "my-course")
    status, out, _ = called(capsys, "learn", "read", 1)
    assert "1. Correlate by hand" in out and "0.37  0.47" in out and "```" not in out
    status, out, _ = called(capsys, "learn", "check", 1)
    assert status == 1 and "not begun" in out
    hint = called(capsys, "learn", "show", 1)[1]
    assert "Add w[i, j] times that part" in " ".join(hint.split()) and "def correlate" not in hint
    assert "def correlate(x, w):" in called(capsys, "learn", "show", 1)[1]
    assert "def bias_gradient" in called(capsys, "learn", "show", 2, "--solution")[1]
    for c in CHAPTERS[:3]:
        Path(c.file).write_text((solved / c.file).read_text())
    status, out, _ = called(capsys, "learn", "check", 1)
    assert status == 0 and "right: maps of five shapes" in out
    assert "3 of 12 done. Next:  tinygrad-cnn learn read 4" in called(capsys, "learn")[1]


def test_a_teacher_reads_out_a_class(capsys, tmp_path, solved):
    learn.start(tmp_path / "one")
    status, out, _ = called(capsys, "learn", "check", "--dir", tmp_path / "one", tmp_path / "two", "--json")
    results = json.loads(out)
    assert status == 1 and [r["done"] for r in results.values()] == [0, 0]
    assert {c["state"] for c in results[str(tmp_path / "one")]["chapters"]} == {"not begun"}
    assert json.loads(called(capsys, "learn", "check", 3, "--dir", solved, "--json")[1])[str(solved)]["done"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "13"], "the chapter must be below 13"),
        (["read", "x"], "'x' is no chapter; there are 1 to 12"),
        (["read"], "name the chapter"),
        (["start"], "name the folder"),
        (["dance"], "invalid choice"),
    ],
)
def test_wrong_arguments_are_answered_in_a_line(arguments, words, capsys):
    status, out, err = called(capsys, "learn", *arguments)
    assert (status, out) == (2, "") and words in err


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_chapters_fit_the_terminal(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    for c in CHAPTERS:
        out = called(capsys, "learn", "read", c.number)[1]
        prose = [line for line in out.splitlines() if line and not line.startswith(" ")]
        assert max(map(len, prose)) <= max(columns, 72), (c.number, max(prose, key=len))


def test_notebooks_are_made_of_the_same_chapters(tmp_path, capsys):
    status, out, _ = called(capsys, "learn", "notebook", tmp_path / "books")
    assert status == 0 and "12 notebooks written" in out
    for c in CHAPTERS:
        book = json.loads((tmp_path / "books" / f"{c.name}.ipynb").read_text(encoding="utf-8"))
        assert book == notebook(c) and book["nbformat"] == 4
        code = [cell["source"] for cell in book["cells"] if cell["cell_type"] == "code"]
        assert code[0] == c.exercise.rstrip() and f"check({c.number}, globals())" in code[1]
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
    nbformat.validate(nbformat.from_dict(book))


def test_a_notebooks_functions_are_checked_where_they_are():
    names = {}
    exec(CHAPTERS[2].solution, names)
    assert learn.check(3, names).ok


def test_chapters_are_of_one_form():
    for k, c in enumerate(CHAPTERS, 1):
        assert c.number == k and re.fullmatch(rf"chapter_{k:02}_[a-z_]+", c.name)
        assert "NotImplementedError" in c.exercise and "NotImplementedError" not in c.solution
        assert "```text" in c.text, "every chapter has a figure"
        compile(c.program(), c.file, "exec")
