"""Attention of ONNX, and rotary embeddings."""

import math
from typing import Any

import numpy as np

from .... import ops
from ....autograd.tensor import Tensor
from ..registry import reader
from ..values import Array, Value, as_tensor, check_size, numbers_of


def _heads(x: Tensor, count: int) -> Tensor:
    """(N, S, heads features) to (N, heads, S, features); with four axes x has the heads already."""
    if x.ndim == 4:
        return x
    return x.reshape(x.shape[0], x.shape[1], count, -1).transpose(0, 2, 1, 3)


@reader("Attention", outputs=4)
def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Value | None = None, past_key: Tensor | None = None,
    past_value: Tensor | None = None, nonpad_kv_seqlen: Value | None = None, *, is_causal: int = 0,
    kv_num_heads: int = 0, left_window_size: int = -1, q_num_heads: int = 0, qk_matmul_output_mode: int = 0,
    right_window_size: int = -1, scale: float | None = None, softcap: float = 0.0, softmax_precision: int = 0,
    outputs: int,
) -> Any:  # fmt: skip
    """softmax(q k^T scale + mask) v for each head; keys' heads may serve several heads of queries.

    Source: A. Vaswani et al., "Attention Is All You Need" (2017).
    """
    packed, q, k, v = q.ndim == 3, _heads(q, q_num_heads), _heads(k, kv_num_heads), _heads(v, kv_num_heads)
    past = 0 if past_key is None else past_key.shape[2]
    if past_key is not None and past_value is not None:
        k, v = ops.concatenate([past_key, k], 2), ops.concatenate([past_value, v], 2)
    keys, values = k, v
    if repeats := q.shape[1] // k.shape[1] if q.shape[1] != k.shape[1] else 0:
        places = np.repeat(np.arange(k.shape[1]), repeats)
        keys, values = k[:, places], v[:, places]
    root = math.sqrt(scale if scale is not None else 1 / math.sqrt(q.shape[-1]))
    check_size((*q.shape[:3], keys.shape[2]))
    raw = ops.matmul(q * root, (keys * root).swapaxes(-1, -2))
    capped = ops.tanh(raw / softcap) * softcap if softcap else raw
    lengths = None if nonpad_kv_seqlen is None else numbers_of(nonpad_kv_seqlen)
    allowed = _allowed(raw.shape, past, lengths, bool(is_causal), left_window_size, right_window_size)
    biased, allowed = _masked(capped, mask, allowed)
    blind = ~allowed.any(-1, keepdims=True)  # a query without a key attends to nothing
    scores = ops.where(allowed | blind, biased, -math.inf)
    weights = ops.softmax(ops.where(blind, 0.0, scores))
    weights = ops.where(np.broadcast_to(blind, weights.shape), 0.0, weights) if blind.any() else weights
    y = ops.matmul(weights, values)
    y = y.transpose(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], -1) if packed else y
    if outputs == 1:
        return y
    shown = ops.where(allowed, biased, -math.inf)
    return (y, k, v, (raw, capped, shown, weights)[qk_matmul_output_mode])[:outputs]


def _allowed(shape: tuple[int, ...], past: int, lengths: Array | None, causal: bool, left: int, right: int) -> Array:
    """True where a query may see a key, (N or 1, 1, queries, keys)."""
    places = np.arange(shape[2])[:, None] + past
    query = places[None] if lengths is None else places[None] + (lengths[:, None, None] - shape[2])
    key = np.arange(shape[3])[None, None]
    allowed = np.ones(np.broadcast_shapes(query.shape, key.shape), bool)
    if causal:
        allowed &= key <= query
    if left >= 0:
        allowed &= key >= query - left
    if right >= 0:
        allowed &= key <= query + right
    if lengths is not None:
        allowed &= key < lengths[:, None, None]
    return allowed[:, None]


def _masked(scores: Tensor, mask: Value | None, allowed: Array) -> tuple[Tensor, Array]:
    """Return the scores with a mask of floats added, and where keys may be seen, by a mask of bools or infinities."""
    if mask is None:
        return scores, np.broadcast_to(allowed, scores.shape)
    missing = scores.shape[-1] - mask.shape[-1]
    if isinstance(mask, Tensor):
        allowed = allowed & _padded(~np.isneginf(mask.data), missing, False)
        finite = ops.where(np.isneginf(mask.data), 0.0, mask)
        if missing > 0 and mask.shape[-1] > 1:
            finite = ops.pad(finite, ((0, 0),) * (mask.ndim - 1) + ((0, missing),))
        scores = scores + finite
    else:
        allowed = allowed & _padded(mask.astype(bool), missing, False)
    return scores, np.broadcast_to(allowed, scores.shape)


def _padded(mask: Array, missing: int, fill: bool) -> Array:
    if missing <= 0 or mask.shape[-1] == 1:
        return mask
    return np.pad(mask, ((0, 0),) * (mask.ndim - 1) + ((0, missing),), constant_values=fill)


@reader("RotaryEmbedding")
def rotary_embedding(
    x: Tensor, cos: Value, sin: Value, positions: Value | None = None, *, interleaved: int = 0, num_heads: int = 0,
    rotary_embedding_dim: int = 0,
) -> Value:  # fmt: skip
    """Pairs of features turned by an angle for each position.

    Source: J. Su et al., "RoFormer" (2021).
    """
    heads = _heads(x, num_heads).transpose(0, 2, 1, 3)  # (N, S, heads, features)
    turned = rotary_embedding_dim or heads.shape[-1]
    c, s = as_tensor(cos), as_tensor(sin)
    if positions is not None:
        c, s = c[numbers_of(positions)], s[numbers_of(positions)]
    c, s = c[:, :, None, :], s[:, :, None, :]
    rest, part = heads[..., turned:], heads[..., :turned]
    half = turned // 2
    a, b = (part[..., 0::2], part[..., 1::2]) if interleaved else (part[..., :half], part[..., half:])
    real, imaginary = a * c - b * s, b * c + a * s
    if interleaved:
        pairs = ops.concatenate([real.reshape(*real.shape, 1), imaginary.reshape(*real.shape, 1)], -1)
        part = pairs.reshape(*real.shape[:-1], turned)
    else:
        part = ops.concatenate([real, imaginary], -1)
    y = ops.concatenate([part, rest], -1)
    return y.transpose(0, 2, 1, 3) if x.ndim == 4 else y.reshape(x.shape)
