"""The training loop of one worker. It is used alone, under Ray Train, and for the students of refinement.

The gradient of a step is that of the mean loss over all its tokens, no matter how they are split into micro-batches and
among workers. Random numbers of a step depend on (seed, step, worker), so a resumed run ends with the same weights.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import ConfigError, RunFailed
from model.training.auxiliary import joined_loss, loss_weights
from model.training.batches import Batch, Batches
from model.training.checkpoints import Checkpoints
from model.training.objective import Objective
from model.training.options import TrainOptions
from model.training.sampling import key_of

_CELLS = (
    "auxiliary classes",
    "auxiliary locations",
)  # names of the auxiliary losses; in losses and curves they are listed like tasks


FINAL_SHARE = 0.02  # the learning rate falls to this share of its highest value
BETAS = (0.9, 0.98)  # of AdamW


def learning_rate(options: TrainOptions, step: int) -> float:
    """The learning rate of a step, counted from 0. It rises linearly during the warmup, then falls by a cosine."""
    if step < options.warmup:
        return options.learning_rate * (step + 1) / options.warmup
    share = (step - options.warmup) / max(options.steps - options.warmup, 1)
    cosine = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return options.learning_rate * (FINAL_SHARE + (1 - FINAL_SHARE) * cosine)


@dataclass(slots=True)
class Step:
    """The results of one step over all workers. `loss`: mean over tokens. `losses`: {task: (sum of losses, tokens)}.
    With an auxiliary head, `losses` also has its two losses, summed over image tokens.
    """

    step: int
    loss: float
    rate: float
    norm: float
    samples: int
    losses: dict[str, tuple[float, int]] = field(default_factory=dict)


class Peers:
    """The workers of one training: a torch.distributed group, or this process alone."""

    def __init__(self) -> None:
        self.together = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.rank = torch.distributed.get_rank() if self.together else 0
        self.world = torch.distributed.get_world_size() if self.together else 1

    def total(self, values: Tensor) -> Tensor:
        if self.together:
            torch.distributed.all_reduce(values)
        return values

    def wait(self) -> None:
        if self.together:
            torch.distributed.barrier()


class Training:
    """One worker's part of a training. It starts from the newest checkpoint. `objective` holds the weights.

    `options`: learning rate and precision must be set, because 0 and "auto" are not replaced here.
    """

    def __init__(
        self,
        objective: Objective,
        batches: Batches,
        options: TrainOptions,
        *,
        device: str = "cpu",
        checkpoints: Checkpoints | None = None,
        wrap: Callable[[nn.Module], nn.Module] | None = None,
    ) -> None:
        self.peers = Peers()
        self.objective, self.batches, self.options, self.device = objective.to(device), batches, options, device
        self.checkpoints = checkpoints
        self.step = 0
        self.history: list[dict[str, Any]] = []  # losses by step and task since the last checkpoint
        self.parameters = {name: value for name, value in objective.named_parameters() if value.requires_grad}
        if not self.parameters:
            raise ConfigError("All weights are frozen, so there is nothing to train: set train.freeze_vision to false.")
        self.optimizer = torch.optim.AdamW(
            _groups(self.parameters, options), lr=options.learning_rate, betas=BETAS, fused=True
        )
        self._resume()
        self.wrapped: Any = wrap(self.objective) if wrap else self.objective

    def run(self) -> Iterator[Step]:
        """Does the remaining steps and yields the result of each."""
        self.objective.train()
        for parts in self.batches.steps(self.step, self.options.steps):
            done = self._do(parts)
            self.step += 1
            self.history += _history(done)
            every = self.options.checkpoint_every
            if self.checkpoints and every and self.step % every == 0 and self.step < self.options.steps:
                self._save()
            yield done
        self.objective.eval()

    def _do(self, parts: list[Batch]) -> Step:
        options = self.options
        torch.manual_seed(key_of(options.seed, self.step, self.peers.rank) >> 1)
        rate = learning_rate(options, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        tokens, *cells = self._totals(parts)
        self.optimizer.zero_grad(set_to_none=True)
        by_task: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for number, part in enumerate(parts):
            with self._without_sync(last=number == len(parts) - 1):
                losses, counts, sums = self._forward(part)
                # The wrapper averages gradients over workers. The means here are over all workers' tokens and cells.
                step_loss = losses.sum() / max(tokens, 1.0)
                if cells:
                    step_loss = step_loss + options.auxiliary * joined_loss(sums, cells)
                torch.autograd.backward(step_loss * self.peers.world)
            names = [*part.tasks, *_CELLS[: len(cells)]]
            shares = [*counts.tolist(), *(loss_weights(part.tensors) if cells else ())]
            for name, loss, share in zip(names, losses.tolist() + sums.tolist(), shares, strict=True):
                by_task[name][0] += loss
                by_task[name][1] += share
        norm = float(nn.utils.clip_grad_norm_(self.parameters.values(), options.clip))
        if not math.isfinite(norm):
            raise RunFailed(
                f"Training diverged at step {self.step}: the norm of its gradient is {norm}. Lower train.learning_rate."
            )
        self.optimizer.step()
        sums_by_task = self._losses(by_task)
        loss = sum(sums_by_task[task][0] for task in self.batches.schedule.tasks if task in sums_by_task)
        return Step(self.step, loss / max(tokens, 1.0), rate, norm, options.batch_size, sums_by_task)

    def _totals(self, parts: list[Batch]) -> list[float]:
        """The divisors of the step's means, summed over all workers: the number of tokens, and the `loss_weights` of an
        auxiliary head.
        """
        totals = [float(sum(int((part.tensors["labels"] >= 0).sum()) for part in parts))]
        if self.objective.auxiliary is not None:
            totals += [sum(values) for values in zip(*(loss_weights(part.tensors) for part in parts), strict=True)]
        table = torch.tensor(totals, dtype=torch.float64, device=self.device)
        over_workers: list[float] = self.peers.total(table).tolist()
        return over_workers

    def _forward(self, part: Batch) -> tuple[Tensor, Tensor, Tensor]:
        tensors = {name: value.to(self.device, non_blocking=True) for name, value in part.tensors.items()}
        mixed = self.options.precision == "bfloat16"
        with torch.autocast(torch.device(self.device).type, torch.bfloat16) if mixed else nullcontext():
            answer: tuple[Tensor, Tensor, Tensor] = self.wrapped(tensors)
        return answer

    def _without_sync(self, *, last: bool) -> Any:
        """A context in which workers do not exchange gradients. For the last micro-batch of a step they do."""
        return nullcontext() if last or not hasattr(self.wrapped, "no_sync") else self.wrapped.no_sync()

    def _losses(self, by_task: dict[str, list[float]]) -> dict[str, tuple[float, int]]:
        names = [*self.batches.schedule.tasks, *(_CELLS if self.objective.auxiliary is not None else ())]
        table = torch.tensor([by_task[name] for name in names], dtype=torch.float64, device=self.device)
        sums = self.peers.total(table).tolist()
        return {name: (loss, round(count)) for name, (loss, count) in zip(names, sums, strict=True) if count > 0.5}

    # --- checkpoints -------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        """{name: weights} on the CPU. Tied weights are listed once."""
        seen: set[int] = set()
        answer = {}
        for name, value in self.objective.state_dict().items():
            if value.data_ptr() not in seen:
                seen.add(value.data_ptr())
                answer[name] = value.detach().to("cpu")
        return answer

    def _save(self) -> None:
        if self.peers.rank == 0 and self.checkpoints:
            moments = {
                f"{kind}.{name}": self.optimizer.state[value][kind].detach().to("cpu")
                for name, value in self.parameters.items()
                for kind in ("exp_avg", "exp_avg_sq")
            }
            self.checkpoints.save(self.step, self.weights(), moments, self.history, dict(self.batches.unreadable))
            self.history = []
        self.peers.wait()

    def _resume(self) -> None:
        found = self.checkpoints.last() if self.checkpoints else None
        if found is None:
            return
        weights, moments, state = found
        self.objective.load_state_dict(weights, strict=False)  # tied weights were saved once
        for name, value in self.parameters.items():
            self.optimizer.state[value] = {
                "step": torch.tensor(float(state["step"])),
                **{kind: moments[f"{kind}.{name}"].to(value.device) for kind in ("exp_avg", "exp_avg_sq")},
            }
        self.step = state["step"]
        self.batches.unreadable.update(state["unreadable"])


def _groups(parameters: dict[str, nn.Parameter], options: TrainOptions) -> list[dict[str, Any]]:
    """Parameter groups for the optimiser. Norms and biases get no weight decay."""
    plain = [value for value in parameters.values() if value.ndim < 2]
    matrices = [value for value in parameters.values() if value.ndim >= 2]
    return [
        {"params": matrices, "weight_decay": options.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


def _history(done: Step) -> list[dict[str, Any]]:
    return [
        {"step": done.step, "task": task, "loss": loss / count, "tokens": count, "rate": done.rate, "norm": done.norm}
        for task, (loss, count) in done.losses.items()
    ]
