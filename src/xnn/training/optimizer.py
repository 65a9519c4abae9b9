"""The optimizer of a configuration, and the learning rate at each of its steps."""

import torch
from torch import nn

from xnn.training.config import TrainConfig
from xnn.training.schedule import paper_lr, smooth_lr


def new_optimizer(config: TrainConfig, module: nn.Module) -> torch.optim.Optimizer:
    """Return SGD or AdamW over a module; weight decay falls on matrices only."""
    matrices = [p for name, p in module.named_parameters() if _decays(name, p)]
    others = [p for name, p in module.named_parameters() if not _decays(name, p)]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.lr)


def lr_at(config: TrainConfig, step: int, *, steps_per_epoch: int) -> float:
    """Return the learning rate of a step, from 0."""
    if config.schedule == "paper":
        return paper_lr(
            step // steps_per_epoch,
            peak=config.lr,
            floor=config.lr_floor,
            warmup_epochs=config.warmup_epochs,
            decay_epochs=config.decay_epochs,
        )
    return smooth_lr(
        step,
        num_steps=config.epochs * steps_per_epoch,
        peak=config.lr,
        floor=config.lr_floor,
        warmup_steps=config.warmup_epochs * steps_per_epoch,
    )


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def _decays(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and "class_token" not in name
