"""Random compositions of the library's ops, all of whose rules are right."""

import numpy as np

import tinygrad_cnn as tg

UNARY = [
    tg.sigmoid, tg.tanh, tg.relu, lambda t: t * t, lambda t: t.exp() * 0.1, lambda t: (t * t + 1).log(),
    lambda t: (t * t + 0.5).sqrt(), abs, lambda t: 1 / (t * t + 1), lambda t: t.clip(-1.0, 1.0), lambda t: -t / 3,
    lambda t: t - t.mean(), lambda t: t * t.sum(), lambda t: tg.where(t.data > 0, t, t * 0.2),
]  # fmt: skip
ON_MAPS = [
    lambda t: tg.maxpool(t, 2), lambda t: tg.avgpool(t, 2), lambda t: tg.pad(t, 1), lambda t: t[:, :, 1:],
    lambda t: tg.maxpool(t, (1, 2), stride=2, padding=(0, 1)), lambda t: t[:, :, ::-1, ::2],
]  # fmt: skip
ON_ROWS = [tg.softmax, tg.log_softmax, lambda t: t.T, lambda t: t.max(1, keepdims=True) * t, lambda t: tg.softmax(t, 0)]


def composition(seed):
    """A function of several tensors and the point, drawn from a seed."""
    rng = np.random.default_rng(seed)
    n, c, f = (int(k) for k in rng.integers(1, 4, 3))
    shapes = [(n, c, 5, int(rng.integers(4, 7)))]
    steps = []

    def parameter(*shape):
        shapes.append(shape)
        return len(shapes) - 1

    def unary():
        op = UNARY[rng.integers(len(UNARY))]
        steps.append(lambda t, p, op=op: op(t))

    if rng.random() < 0.7:
        w, b = parameter(f, c, 2, 2), parameter(f)
        stride = int(rng.integers(1, 3))
        steps.append(lambda t, p: tg.correlate2d(t, p[w], bias=p[b], stride=stride))
    else:
        f = c
    if rng.random() < 0.3 and n > 1:
        gamma, beta = parameter(f), parameter(f)
        steps.append(lambda t, p: tg.batch_norm(t, None, None, p[gamma], p[beta], training=True))
    for _ in range(rng.integers(0, 3)):
        unary()
    if rng.random() < 0.6:
        op = ON_MAPS[rng.integers(len(ON_MAPS))]
        steps.append(lambda t, p, op=op: op(t))
    if rng.random() < 0.4:
        bias = parameter(f, 1, 1)
        steps.append(lambda t, p: t + p[bias] * t)
    steps.append(lambda t, p: t.reshape(n, -1))
    for _ in range(rng.integers(0, 2)):
        unary()
    if rng.random() < 0.5:
        op = ON_ROWS[rng.integers(len(ON_ROWS))]
        steps.append(lambda t, p, op=op: op(t))
    end = rng.integers(5)
    labels = rng.integers(0, 2, n)
    if end == 0:
        steps.append(lambda t, p: (t * t).sum())
    elif end == 1:
        steps.append(lambda t, p: tg.quadratic_cost(t, np.full(t.shape, 0.5)))
    elif end == 2:
        steps.append(lambda t, p: t.mean(0))
    elif end == 3:
        steps.append(lambda t, p: tg.cross_entropy(t, labels % t.shape[1]) if len(t) == n else t)

    def fn(*tensors):
        t = tensors[0]
        for step in steps:
            t = step(t, tensors)
        return t

    scale = 10.0 ** rng.uniform(-1, 0.5)
    return fn, [scale * rng.standard_normal(shape) for shape in shapes]
