"""Optimizers and schedules: what training does with gradients."""

from .base import Optimizer, ParamGroup
from .optimizers import SGD, Adam, AdamW, clip_grad_norm
from .schedules import CosineDecay, OneCycle, Schedule, StepDecay

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineDecay",
    "OneCycle",
    "Optimizer",
    "ParamGroup",
    "Schedule",
    "StepDecay",
    "clip_grad_norm",
]
