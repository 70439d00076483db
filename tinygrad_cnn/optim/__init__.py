"""Optimizers and schedules: what training does with gradients."""

from .optimizers import SGD, Adam, AdamW, Optimizer, clip_grad_norm
from .schedules import CosineDecay, OneCycle, Schedule, StepDecay

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineDecay",
    "OneCycle",
    "Optimizer",
    "Schedule",
    "StepDecay",
    "clip_grad_norm",
]
