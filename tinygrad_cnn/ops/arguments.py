"""Tensor arguments of ops: conversion and checks in one step."""

from ..autograd.operands import as_float
from ..autograd.tensor import Tensor, as_tensor
from ..checks import plural, shapes


def images(op: str, x: object, name: str = "x") -> Tensor:
    """Return ``x`` as a floating point tensor ``(N, C, H, W)``. ValueError for another rank."""
    t = as_float(as_tensor(op, x))
    if t.ndim != 4:
        axes = plural(t.ndim, "axis", "axes")
        raise ValueError(f"{op}: {name} must be (N, C, H, W), got {axes} ({name}.shape={t.shape})")
    return t


def bias(op: str, name: str, value: object, w: Tensor, each: str) -> Tensor:
    """Return one number for each filter or row of ``w``, in its type. ValueError for another shape."""
    b = as_tensor(op, value)
    if b.shape != w.shape[:1]:
        raise ValueError(f"{op}: {name} must have one number for each {each} {shapes(**{name: b, 'w': w})}")
    return b if b.dtype == w.dtype else b.astype(w.dtype)
