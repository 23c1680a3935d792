"""What is minimised: plain cross-entropy of the target's tokens, over all tasks (paper section 6.1).

The loss is computed here from the logits, not by the library: transformers before 5.13 shifted labels twice and
trained to predict the token after the next, silently. Padding contributes nothing; so do samples without labels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

IGNORED = -100  # in labels: not part of the loss


class Objective(nn.Module):
    """The network and its loss in one module, so that a data-parallel wrapper sees every forward pass.

    `soft_locations`: standard deviation, in bins, of the Gaussian that a location's target is spread over; 0: one bin.
    Close misses then cost less than far ones, which noisy boxes need (docs/guide/4-training.md).
    """

    model: Any
    spread: Tensor

    def __init__(self, model: Any, *, first_location: int, bins: int, soft_locations: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.first_location, self.bins = first_location, bins
        spread = _spread(bins, soft_locations) if soft_locations > 0 else torch.zeros(0)
        self.register_buffer("spread", spread, persistent=False)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(sum of losses, number of tokens) of each sample, float32 and int64."""
        hidden = self.hidden(batch)
        losses = self.token_losses(self.model.lm_head(hidden).float(), batch["labels"])
        return losses.sum(dim=1), (batch["labels"] != IGNORED).sum(dim=1)

    def hidden(self, batch: dict[str, Tensor]) -> Tensor:
        """The decoder's last states, samples x tokens x width, under the true tokens before each."""
        config = self.model.config.text_config
        outputs = self.model.model(
            input_ids=batch["input_ids"],
            pixel_values=batch["pixel_values"],
            attention_mask=batch["attention_mask"],
            decoder_input_ids=shifted(batch["labels"], config.decoder_start_token_id, config.pad_token_id),
            use_cache=False,
        )
        hidden: Tensor = outputs.last_hidden_state
        return hidden

    def token_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """samples x tokens; 0 where labels are IGNORED."""
        flat, wanted = logits.flatten(0, 1), labels.flatten()
        losses = nn.functional.cross_entropy(flat, wanted, ignore_index=IGNORED, reduction="none")
        if self.spread.numel():
            places = (wanted >= self.first_location) & (wanted < self.first_location + self.bins)
            losses = torch.where(places, self._soft(flat, wanted, places, losses), losses)
        return losses.view(labels.shape)

    def _soft(self, logits: Tensor, wanted: Tensor, places: Tensor, losses: Tensor) -> Tensor:
        span = slice(self.first_location, self.first_location + self.bins)
        chosen = torch.log_softmax(logits[places], dim=-1)[:, span]
        soft = -(chosen * self.spread[wanted[places] - self.first_location]).sum(dim=-1)
        return losses.masked_scatter(places, soft)


def shifted(labels: Tensor, start: int, pad: int) -> Tensor:
    """What the decoder is given: the start token, then the target without its last token; no -100."""
    before = torch.full_like(labels, pad)
    before[:, 0] = start
    before[:, 1:] = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, pad)
    return before


def _spread(bins: int, deviation: float) -> Tensor:
    """bins x bins; row q is the target of bin q, and sums to 1."""
    places = torch.arange(bins, dtype=torch.float32)
    weights = torch.exp(-0.5 * ((places[None] - places[:, None]) / deviation) ** 2)
    return weights / weights.sum(dim=1, keepdim=True)
