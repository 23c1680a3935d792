"""The training loop of one worker: the same for one process, for several under Ray Train, and for refinement.

The gradient of a step is that of the mean loss over all its tokens, however it is cut into micro-batches and
workers. What is random in a step comes from (seed, step, worker), so a resumed run ends with the same weights.
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
from model.training.auxiliary import due, joined
from model.training.batches import Batch, Batches
from model.training.checkpoints import Checkpoints
from model.training.objective import Objective
from model.training.sampling import key_of

_CELLS = ("auxiliary classes", "auxiliary locations")  # beside the tasks, in losses and curves


@dataclass(frozen=True, slots=True)
class Course:
    """How a training goes. `learning_rate` is the highest: reached after `warmup` steps, then a cosine down to
    `final_share` of it. `clip`: largest norm of a step's gradient. `accumulate`: parts a batch is cut into.
    `auxiliary`: weight of the auxiliary head's loss, if there is one.
    """

    steps: int = 1000
    batch_size: int = 16
    accumulate: int = 1
    learning_rate: float = 1e-4
    warmup: int = 100
    final_share: float = 0.02
    weight_decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    auxiliary: float = 0.0
    precision: str = "float32"  # bfloat16: mixed, for GPUs
    checkpoint_every: int = 500
    seed: int = 0

    def rate(self, step: int) -> float:
        """Of step 0, 1, ..."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        share = (step - self.warmup) / max(self.steps - self.warmup, 1)
        low = self.final_share
        return self.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


@dataclass(slots=True)
class Step:
    """What one step was: `loss` is the mean over tokens; `losses` are sums over tokens, by task, of all workers.

    With an auxiliary head, `losses` has its two as well, over cells.
    """

    step: int
    loss: float
    rate: float
    norm: float
    samples: int
    losses: dict[str, tuple[float, int]] = field(default_factory=dict)


class Peers:
    """The workers of one training: alone, or a torch.distributed group."""

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
    """One worker's part. `run` yields every step; weights are in `objective` all along."""

    def __init__(
        self,
        objective: Objective,
        batches: Batches,
        course: Course,
        *,
        device: str = "cpu",
        checkpoints: Checkpoints | None = None,
        wrap: Callable[[nn.Module], nn.Module] | None = None,
    ) -> None:
        self.peers = Peers()
        self.objective, self.batches, self.course, self.device = objective.to(device), batches, course, device
        self.checkpoints = checkpoints
        self.step = 0
        self.history: list[dict[str, Any]] = []  # losses by step and task since the last checkpoint
        self.parameters = {name: value for name, value in objective.named_parameters() if value.requires_grad}
        if not self.parameters:
            raise ConfigError("Everything is frozen: there is nothing to train.")
        self.optimizer = torch.optim.AdamW(
            _groups(self.parameters, course), lr=course.learning_rate, betas=course.betas, fused=True
        )
        self._resume()
        self.wrapped: Any = wrap(self.objective) if wrap else self.objective

    def run(self) -> Iterator[Step]:
        """Every step to the last, from where the newest checkpoint left off."""
        self.objective.train()
        for parts in self.batches.steps(self.step, self.course.steps):
            done = self._do(parts)
            self.step += 1
            self.history += _history(done)
            every = self.course.checkpoint_every
            if self.checkpoints and every and self.step % every == 0 and self.step < self.course.steps:
                self._save()
            yield done
        self.objective.eval()

    def _do(self, parts: list[Batch]) -> Step:
        course = self.course
        torch.manual_seed(key_of(course.seed, self.step, self.peers.rank) >> 1)
        rate = course.rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        whole, *cells = self._whole(parts)
        self.optimizer.zero_grad(set_to_none=True)
        by_task: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for number, part in enumerate(parts):
            with self._quiet(last=number == len(parts) - 1):
                losses, counts, sums = self._forward(part)
                # The wrapper averages gradients over workers; the means are over all their tokens and cells.
                wanted = losses.sum() / max(whole, 1.0)
                if cells:
                    wanted = wanted + course.auxiliary * joined(sums, cells)
                torch.autograd.backward(wanted * self.peers.world)
            names = [*part.tasks, *_CELLS[: len(cells)]]
            shares = [*counts.tolist(), *(due(part.tensors) if cells else ())]
            for name, loss, share in zip(names, losses.tolist() + sums.tolist(), shares, strict=True):
                by_task[name][0] += loss
                by_task[name][1] += share
        norm = float(nn.utils.clip_grad_norm_(self.parameters.values(), course.clip))
        if not math.isfinite(norm):
            raise RunFailed(
                f"Training fell apart at step {self.step}: its gradient is {norm}. Lower train.learning_rate."
            )
        self.optimizer.step()
        told = self._told(by_task)
        loss = sum(told[task][0] for task in self.batches.schedule.tasks if task in told) / max(whole, 1.0)
        return Step(self.step, loss, rate, norm, course.batch_size, told)

    def _whole(self, parts: list[Batch]) -> list[float]:
        """What the step's means are over, of all workers: tokens; with an auxiliary head weight of cells and places."""
        own = [float(sum(int((part.tensors["labels"] >= 0).sum()) for part in parts))]
        if self.objective.auxiliary is not None:
            own += [sum(values) for values in zip(*(due(part.tensors) for part in parts), strict=True)]
        total: list[float] = self.peers.total(torch.tensor(own, dtype=torch.float64, device=self.device)).tolist()
        return total

    def _forward(self, part: Batch) -> tuple[Tensor, Tensor, Tensor]:
        tensors = {name: value.to(self.device, non_blocking=True) for name, value in part.tensors.items()}
        mixed = self.course.precision == "bfloat16"
        with torch.autocast(torch.device(self.device).type, torch.bfloat16) if mixed else nullcontext():
            answer: tuple[Tensor, Tensor, Tensor] = self.wrapped(tensors)
        return answer

    def _quiet(self, *, last: bool) -> Any:
        """Gradients travel between workers once a step."""
        return nullcontext() if last or not hasattr(self.wrapped, "no_sync") else self.wrapped.no_sync()

    def _told(self, by_task: dict[str, list[float]]) -> dict[str, tuple[float, int]]:
        names = [*self.batches.schedule.tasks, *(_CELLS if self.objective.auxiliary is not None else ())]
        table = torch.tensor([by_task[name] for name in names], dtype=torch.float64, device=self.device)
        sums = self.peers.total(table).tolist()
        return {name: (loss, round(count)) for name, (loss, count) in zip(names, sums, strict=True) if count > 0.5}

    # --- stopping and going on -------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        """By name; tied ones once."""
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
        self.objective.load_state_dict(weights, strict=False)  # tied ones are there once
        for name, value in self.parameters.items():
            self.optimizer.state[value] = {
                "step": torch.tensor(float(state["step"])),
                **{kind: moments[f"{kind}.{name}"].to(value.device) for kind in ("exp_avg", "exp_avg_sq")},
            }
        self.step = state["step"]
        self.batches.unreadable.update(state["unreadable"])


def _groups(parameters: dict[str, nn.Parameter], course: Course) -> list[dict[str, Any]]:
    """Norms and biases do not decay."""
    plain = [value for value in parameters.values() if value.ndim < 2]
    matrices = [value for value in parameters.values() if value.ndim >= 2]
    return [
        {"params": matrices, "weight_decay": course.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


def _history(done: Step) -> list[dict[str, Any]]:
    return [
        {"step": done.step, "task": task, "loss": loss / count, "tokens": count, "rate": done.rate, "norm": done.norm}
        for task, (loss, count) in done.losses.items()
    ]
