"""PyTorch: the training loop of its tutorials without a DataLoader, eager and compiled.

As its performance guide says: data in memory as one tensor, batches by ``index_select``,
gradients set to None, no synchronisation in the loop, ``inference_mode`` for prediction.
"""

import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from . import Job, Peer, Weights

TRIED_STEPS = 30


class Eager(Peer):
    """Eager mode; the optimizer is fused or foreach, whichever is faster here."""

    compiled = False

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        torch.set_num_threads(job.threads)
        self._x = torch.from_numpy(self.scaled_images())
        self._labels = torch.from_numpy(job.labels.astype(np.int64))
        self._model = _make_model(job)
        self._loss: Callable[..., torch.Tensor] = self._plain_loss
        self._logits: Callable[[torch.Tensor], torch.Tensor] = self._model
        if self.compiled:
            self._loss = torch.compile(self._plain_loss, dynamic=False)
            self._logits = torch.compile(self._model, dynamic=False)
        self._use_optimizer("fused")

    def _use_optimizer(self, kind: str) -> None:
        rule: Any = torch.optim.Adam if self.job.case.optimizer == "adam" else torch.optim.SGD
        parameters, rate = self._model.parameters(), self.job.case.learning_rate
        self._optimizer = rule(parameters, lr=rate, **{kind: True})
        self.note = f"float32 tensors in memory, {rule.__name__}({kind}=True)"

    def tune(self) -> None:
        order = np.arange(TRIED_STEPS * self.job.case.batch_size) % len(self.job.images)
        seconds: dict[str, float] = {}
        for kind in ("fused", "foreach", "fused", "foreach"):
            self._use_optimizer(kind)
            self.train(order)
            began = time.perf_counter()
            self.train(order)
            seconds[kind] = min(time.perf_counter() - began, seconds.get(kind, np.inf))
        self._use_optimizer(min(seconds, key=lambda kind: seconds[kind]))

    def _plain_loss(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(self._model(x), labels)

    def train(self, order: np.ndarray) -> None:
        for batch in torch.from_numpy(order).split(self.job.case.batch_size):
            self._optimizer.zero_grad(set_to_none=True)
            self._loss(self._x.index_select(0, batch), self._labels[batch]).backward()
            self._optimizer.step()

    @torch.inference_mode()
    def predict(self, images: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(images).to(torch.float32).mul_(1 / 255)
        return self._logits(x).argmax(dim=1).numpy()

    def weights(self) -> Weights:
        parameters = [parameter.detach().numpy() for parameter in self._model.parameters()]
        return [(w.T, b) for w, b in zip(parameters[::2], parameters[1::2], strict=True)]


class Compiled(Eager):
    """Forward, loss and backward compiled by ``torch.compile``."""

    compiled = True


def _make_model(job: Job) -> nn.Sequential:
    modules: list[nn.Module] = []
    for weights, bias in job.weights:
        linear = nn.Linear(*weights.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weights.T.copy()))
            linear.bias.copy_(torch.from_numpy(bias))
        modules += [linear, nn.ReLU() if job.case.activation == "relu" else nn.Tanh()]
    return nn.Sequential(*islice(modules, len(modules) - 1))
