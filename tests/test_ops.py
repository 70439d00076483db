"""What holds for every op: its values, its rule and the rule of its rule, and that it leaves everything else alone."""

import ast
import gc
import inspect
import pathlib
import weakref

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from op_table import KERNEL_SETS, OPS

import tinygrad_cnn as tg
from tinygrad_cnn import ops
from tinygrad_cnn.kernels import numpy_kernels

NAMES = [op.name for op in OPS]
every_op = pytest.mark.parametrize("op", OPS, ids=NAMES)
kernel_ops = pytest.mark.parametrize("op", [op for op in OPS if op.kernels], ids=lambda op: op.name)
few = examples(10)

# What gives a tensor and is no op: it computes nothing that has a gradient.
NOT_OPS = {"from_dlpack", "record"}
NOT_OP_METHODS = {
    "argmax", "backward", "data", "detach", "dtype", "grad", "is_leaf", "item", "ndim", "node", "numpy",
    "requires_grad", "shape", "size", "writable",
}  # fmt: skip
NOT_OP_PROTOCOLS = {
    "array", "array_ufunc", "bool", "deepcopy", "dlpack", "dlpack_device", "doc", "eq", "float", "format", "ge", "gt",
    "hash",
    "index", "init", "int", "iter", "le", "len", "lt", "module", "ne", "reduce", "repr", "slots", "weakref",
    "iadd", "imatmul", "imul", "ipow", "isub", "itruediv",  # in place: see test_in_place.py
    "annotations", "firstlineno", "static_attributes",  # the last two: Python 3.13's
}  # fmt: skip


@pytest.fixture(autouse=True)
def _numpy_kernels(_default_kernels):
    tg.set_kernels("numpy")


# The table is complete ------------------------------------------------------------------------------------------------


def test_every_public_op_is_in_the_table():
    functions = {name: getattr(tg, name) for name in tg.__all__ if inspect.isfunction(getattr(tg, name))}
    annotated = {name: inspect.signature(f).return_annotation for name, f in functions.items()}
    make_tensors = {name for name, result in annotated.items() if result in (tg.Tensor, "Tensor")}
    assert make_tensors - NOT_OPS == {*ops.__all__, "matmul"}
    assert make_tensors - NOT_OPS <= set(NAMES)


def test_every_operation_of_a_tensor_is_in_the_table():
    members = {m for m in vars(tg.Tensor) if not m.startswith("_") or (m.startswith("__") and m.endswith("__"))}
    members -= NOT_OP_METHODS | {f"__{name}__" for name in NOT_OP_PROTOCOLS}
    members = {m for m in members if not m.startswith("_repr_")}
    assert {f"Tensor.{m}" for m in members} == {name for name in NAMES if name.startswith("Tensor.")}


def test_every_name_that_is_recorded_is_reached_from_the_table():
    package = pathlib.Path(tg.__file__).parent
    sources = [*(package / "autograd").glob("*.py"), *(package / "ops").glob("*.py")]
    calls = [n for file in sources for n in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(n, ast.Call)]
    recording = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id in ("record", "unary", "binary")]
    written = {c.args[0].value for c in recording if isinstance(c.args[0], ast.Constant)}
    reached = set()

    @few
    @given(st.data())
    def walk_the_table(data):
        for op in OPS:
            case = data.draw(op.cases)
            inputs = leaves(case.arrays)
            y = case.fn(*inputs)
            slopes = [g for g in gradients((y * y).sum(), inputs, create_graph=True) if g.requires_grad]
            for result in (y, *slopes):
                reached.update(names_in(result))

    walk_the_table()
    assert written <= reached


def names_in(result):
    stack, seen = [result], {}
    while stack:
        t = stack.pop()
        if t.node is not None and id(t) not in seen:
            seen[id(t)] = t.node.name
            stack.extend(t.node.inputs)
    return set(seen.values())


# Values ---------------------------------------------------------------------------------------------------------------


@every_op
@given(data=st.data())
def test_values_are_the_oracles_in_both_types_and_every_memory_order(op, data):
    case = data.draw(op.cases)
    layout = data.draw(st.sampled_from(LAYOUTS))
    for dtype, tolerance in ((np.float64, 1e-11), (np.float32, 2e-4)):
        inputs = [layout(tg.Tensor(a, dtype=dtype)) for a in case.arrays]
        y = case.fn(*inputs)
        assert y.dtype == dtype
        np.testing.assert_allclose(y.data, case.expected, tolerance, tolerance)
        np.testing.assert_array_equal(case.fn(*inputs).data, y.data)  # the same twice, to the bit
        for t, a in zip(inputs, case.arrays, strict=True):
            np.testing.assert_array_equal(t.data, a)  # inputs are not changed


def as_is(t):
    return t


def fortran(t):
    return tg.Tensor(np.array(t.data, order="F"))


def backwards(t):
    return t[(slice(None, None, -1),) * t.ndim][(slice(None, None, -1),) * t.ndim] if t.ndim else t


def every_other(t):
    return tg.Tensor(np.repeat(t.data, 2, axis=-1))[..., ::2] if t.ndim else t


def batch_innermost(t):
    return tg.Tensor(np.moveaxis(t.data, 0, -1).copy()).transpose(t.ndim - 1, *range(t.ndim - 1)) if t.ndim else t


def read_only(t):
    t = tg.Tensor(t)
    t.data.setflags(write=False)
    return t


LAYOUTS = [as_is, fortran, backwards, every_other, batch_innermost, read_only]


# Rules ----------------------------------------------------------------------------------------------------------------


@every_op
@settings(max_examples=2 * settings.default.max_examples)
@given(data=st.data())
def test_gradients_are_right_to_second_order(op, data):
    case = data.draw(op.cases)
    tg.gradcheck(case.fn, *leaves(case.arrays), order=2, directions=1, seed=data.draw(st.integers(0, 99)))


@every_op
@given(data=st.data())
def test_the_rule_of_a_linear_op_is_its_adjoint(op, data):
    """⟨A dx, g⟩ = ⟨dx, Aᵀ g⟩, which holds to rounding and needs no step."""
    case = data.draw(op.cases)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    for k in case.linear:
        inputs = [tg.Tensor(a) for a in case.arrays]
        dx, g = rng.standard_normal(inputs[k].shape), rng.standard_normal(case.expected.shape)

        def moved(a, k=k, inputs=inputs, case=case):
            return case.fn(*inputs[:k], tg.Tensor(a), *inputs[k + 1 :]).data

        inputs[k].requires_grad = True
        y = case.fn(*inputs)
        if y.requires_grad:
            y.backward(g)
        adjoint = np.zeros_like(dx) if inputs[k].grad is None else inputs[k].grad.data
        difference = moved(dx) - moved(np.zeros_like(dx))
        scale = 1 + np.abs(difference * g).sum()
        np.testing.assert_allclose((difference * g).sum(), (dx * adjoint).sum(), 0, 1e-11 * scale)


@every_op
@given(data=st.data())
def test_backward_leaves_everything_but_the_gradients_alone(op, data):
    case = data.draw(op.cases)
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    inputs, unused = leaves(case.arrays, dtype), tg.Tensor([1.0], requires_grad=True)
    y = case.fn(*inputs)
    if not y.requires_grad:
        return
    values, seed = y.data.copy(), tg.Tensor(np.ones(y.shape), dtype=dtype)
    y.backward(seed, retain_graph=True)
    first = [t.grad for t in inputs]
    for t, a in zip(inputs, case.arrays, strict=True):
        np.testing.assert_array_equal(t.data, a)
        assert t.grad is not None and t.grad.shape == t.shape and t.grad.dtype == dtype
        assert t.grad.data.flags.writeable and not t.grad.requires_grad
    np.testing.assert_array_equal(y.data, values)
    np.testing.assert_array_equal(seed.data, 1)
    assert unused.grad is None
    alone = [t.data for t in (*inputs, *first, seed)]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(alone) for b in alone[:i])
    numbers = [g.data.copy() for g in first]
    for t, g in zip(inputs, first, strict=True):
        g.data[...] = np.nan  # the owner of a gradient may do with it what he likes
        t.grad = None
    y.backward(seed)
    for t, n in zip(inputs, numbers, strict=True):
        np.testing.assert_array_equal(t.grad.data, n)
        t.grad = None
    case.fn(*inputs).backward(np.zeros(y.shape))
    for t in inputs:
        np.testing.assert_array_equal(t.grad.data, 0)  # nothing in, exactly nothing out


@every_op
@few
@given(data=st.data())
def test_memory_order_does_not_change_gradients(op, data):
    case = data.draw(op.cases)
    layout = data.draw(st.sampled_from(LAYOUTS))
    g = np.random.default_rng(0).standard_normal(case.expected.shape)
    plain, other = leaves(case.arrays), [layout(tg.Tensor(a)).detach() for a in case.arrays]
    for t in other:
        t.requires_grad = True
    for inputs, seed in ((plain, tg.Tensor(g)), (other, layout(tg.Tensor(g)))):
        y = case.fn(*inputs)
        if y.requires_grad:
            y.backward(seed)
    for a, b in zip(plain, other, strict=True):
        if a.grad is not None:
            np.testing.assert_allclose(b.grad.data, a.grad.data, 1e-12, 1e-12)


@every_op
@few
@given(data=st.data())
def test_a_graph_is_freed_without_the_garbage_collector(op, data):
    case = data.draw(op.cases)
    gc.disable()
    try:
        inputs = leaves(case.arrays)
        result = case.fn(*inputs) * 1
        never_walked = weakref.ref(result)
        del result
        cost = (case.fn(*inputs) * 2).sum()
        walked = weakref.ref(cost)
        cost.backward()
        del cost
        twice = (case.fn(*inputs) ** 2).sum()
        walked_twice = weakref.ref(twice)
        slopes = gradients(twice, inputs, create_graph=True)
        del twice, slopes
        assert [ref() for ref in (never_walked, walked, walked_twice)] == [None] * 3
    finally:
        gc.enable()


@every_op
@few
@given(data=st.data())
def test_what_is_too_large_is_an_infinity_and_nothing_is_said(op, data):
    """Whatever NumPy is set to do about it; under `detect_anomaly` the op raises."""
    case, infinite = data.draw(op.cases), data.draw(st.booleans())
    with np.errstate(all="ignore"):
        huge = [np.where(np.abs(a) > 1, np.inf, a) if infinite else (a * 1e38) for a in case.arrays]
        inputs = leaves(huge, np.float32)
    for name in KERNEL_SETS if op.kernels else ["numpy"]:
        tg.set_kernels(name)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            y = case.fn(*inputs)
            if y.requires_grad:
                y.backward(np.full(y.shape, 3e38, np.float32))
    tg.set_kernels("numpy")


# Other implementations ------------------------------------------------------------------------------------------------


@kernel_ops
@given(data=st.data())
def test_long_rows_are_computed_as_short_ones_are(op, data):
    """The numpy kernels' two ways; which one is taken depends on the size alone."""
    case = data.draw(op.cases)
    with pytest.MonkeyPatch.context() as patch:
        all_short, all_long = (lambda n=n: patch.setattr(numpy_kernels, "_SHORT_ROW", n) for n in (10**9, 0))
        agree(case, all_short, all_long)


@pytest.mark.parametrize("name", [name for name in KERNEL_SETS if name != "numpy"])
@kernel_ops
@given(data=st.data())
def test_kernel_sets_agree_to_second_order(op, name, data):
    agree(data.draw(op.cases), lambda: tg.set_kernels("numpy"), lambda: tg.set_kernels(name))
    tg.set_kernels("numpy")


def agree(case, one, other):
    """Values, first and second gradients are the same with either switch."""
    for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 2e-3)):
        found = []
        for switch in (one, other):
            switch()
            inputs = leaves(case.arrays, dtype)
            y = case.fn(*inputs)
            slopes = gradients((y * y).sum(), inputs, create_graph=True)
            bends = gradients(sum(((s * s).sum() for s in slopes), start=tg.Tensor(0.0, dtype=dtype)), inputs)
            found.append([t.data for t in (y, *slopes, *bends)])
        for ours, theirs in zip(*found, strict=True):
            scale = 1 + np.abs(ours).max(initial=0)
            np.testing.assert_allclose(theirs, ours, 0, tolerance * scale)


@every_op
@given(data=st.data())
def test_pytorch_agrees_on_values_and_gradients(op, data):
    torch = pytest.importorskip("torch")
    case = data.draw(op.cases)
    if case.torch is None:
        return
    ours, theirs = leaves(case.arrays), [torch.tensor(a, requires_grad=True) for a in case.arrays]
    y, other = case.fn(*ours), case.torch(torch, *theirs)
    np.testing.assert_allclose(y.data, other.detach().numpy(), 1e-10, 1e-10)
    g = np.random.default_rng(0).standard_normal(y.shape)
    if y.requires_grad:
        y.backward(g)
        other.backward(torch.tensor(g))
        for a, b in zip(ours, theirs, strict=True):
            slope = np.zeros(a.shape) if b.grad is None else b.grad.numpy()  # None: an empty batch, and PyTorch stops
            np.testing.assert_allclose(a.grad.data, slope, 1e-9, 1e-9)


def leaves(arrays, dtype=np.float64):
    return [tg.Tensor(a, dtype=dtype, requires_grad=True) for a in arrays]


def gradients(output, inputs, create_graph=False):
    """`tg.grad`, with zeros for an input that the output does not depend on."""
    linked = output + sum(((t * 0).sum() for t in inputs), start=tg.Tensor(0.0, dtype=output.dtype))
    return tg.grad(linked, inputs, create_graph=create_graph)
