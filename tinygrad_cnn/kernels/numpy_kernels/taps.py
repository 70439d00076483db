"""The pixels that one tap of a window reads over all windows, as slices of the whole batch."""

from functools import lru_cache

from ..geometry import Pair, PoolParams

Index = tuple[slice, slice, slice, slice]


@lru_cache(maxsize=256)
def taps(params: PoolParams, map_: Pair, image: Pair) -> list[tuple[int, Index, Index]]:
    """For each tap: its number, and the slices of map and image in which it lies on the image."""
    (kh, kw), everything = params.shape, slice(None)
    slices = []
    for k in range(kh * kw):
        (on_rows, rows), (on_columns, columns) = (
            overlap(map_[a], image[a], params.stride[a], tap * params.dilation[a] - params.padding[a])
            for a, tap in enumerate(divmod(k, kw))
        )
        slices.append((k, (everything, everything, on_rows, on_columns), (everything, everything, rows, columns)))
    return slices


@lru_cache(maxsize=256)
def overlap(count: int, length: int, stride: int, offset: int) -> tuple[slice, slice]:
    """The windows ``q`` whose pixel ``q stride + offset`` lies on the image, and those pixels."""
    first = max(0, -(offset // stride))
    last = min(count, (length - 1 - offset) // stride + 1)
    last = max(first, last)
    begin = first * stride + offset
    return slice(first, last), slice(begin, begin + (last - first) * stride, stride) if last > first else slice(0, 0)
