"""The loss: plain cross-entropy of the target's tokens, over all tasks (paper section 6.1).

It is computed here from the logits, because transformers before 5.13 shifted the labels twice, which trained models to
predict the token after the next one. Padding and samples without labels do not count.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

IGNORED = -100  # a label with this value does not count


class Objective(nn.Module):
    """The network and its loss in one module, so that a data-parallel wrapper covers every forward pass.

    `soft_locations`: if above 0, the target of a location is a Gaussian with this standard deviation, in bins. Near
    misses then cost less than far ones, which helps with noisy boxes (docs/guide/4-training.md).
    """

    model: Any
    spread: Tensor

    def __init__(
        self,
        model: Any,
        *,
        first_location: int,
        bins: int,
        soft_locations: float = 0.0,
        auxiliary: nn.Module | None = None,
    ) -> None:
        """`auxiliary`: a head of model/training/auxiliary.py. It is trained too, but is not part of the model."""
        super().__init__()
        self.model = model
        self.auxiliary = auxiliary
        self.first_location, self.bins = first_location, bins
        spread = _spread(bins, soft_locations) if soft_locations > 0 else torch.zeros(0)
        self.register_buffer("spread", spread, persistent=False)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """(sum of losses, number of tokens, auxiliary sums). The first two are for each sample. The third is the result
        of the auxiliary head; empty without one.
        """
        image = self.model.model.get_image_features(batch["pixel_values"]).pooler_output
        losses = self.token_losses(self.hidden(batch, image), batch["labels"])
        counts = (batch["labels"] != IGNORED).sum(dim=1)
        if self.auxiliary is None:
            return losses.sum(dim=1), counts, losses.new_zeros(0)
        locations = self.model.lm_head.weight[self._span]
        return losses.sum(dim=1), counts, self.auxiliary(image[:, 1:], locations, batch, self.spread)

    @property
    def _span(self) -> slice:
        return slice(self.first_location, self.first_location + self.bins)

    def hidden(self, batch: dict[str, Tensor], image: Tensor) -> Tensor:
        """The decoder's last states by teacher forcing, samples x tokens x width.

        `image`: the image tokens, samples x image tokens x width. They replace the placeholders in the prompt.
        """
        config = self.model.config.text_config
        words = self.model.get_input_embeddings()(batch["input_ids"])
        outputs = self.model.model(
            inputs_embeds=torch.cat([image.to(words.dtype), words[:, image.shape[1] :]], dim=1),
            attention_mask=batch["attention_mask"],
            decoder_input_ids=shifted(batch["labels"], config.decoder_start_token_id, config.pad_token_id),
            use_cache=False,
        )
        hidden: Tensor = outputs.last_hidden_state
        return hidden

    def token_losses(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """The loss of each token, samples x tokens; 0 where labels are IGNORED."""
        counted = labels != IGNORED
        wanted = labels[counted]
        losses = self.losses(self.model.lm_head(hidden[counted]).float(), wanted)
        return losses.new_zeros(labels.shape).masked_scatter(counted, losses)

    def losses(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """The loss of each token. `logits`: tokens x vocabulary. `wanted`: the true token ids."""
        chosen = torch.log_softmax(logits, dim=-1)
        losses = -chosen.gather(1, wanted[:, None])[:, 0]
        if not self.spread.numel():
            return losses
        bins = wanted - self.first_location
        is_location = (bins >= 0) & (bins < self.bins)
        soft = -(chosen[:, self._span] * self.spread[bins.clamp(0, self.bins - 1)]).sum(dim=-1)
        return torch.where(is_location, soft, losses)


def shifted(labels: Tensor, start: int, pad: int) -> Tensor:
    """The decoder's input: the start token, then the labels except the last one. IGNORED becomes padding."""
    before = torch.full_like(labels, pad)
    before[:, 0] = start
    before[:, 1:] = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, pad)
    return before


def _spread(bins: int, deviation: float) -> Tensor:
    """The target distributions, bins x bins: row q is the distribution for bin q."""
    positions = torch.arange(bins, dtype=torch.float32)
    weights = torch.exp(-0.5 * ((positions[None] - positions[:, None]) / deviation) ** 2)
    return weights / weights.sum(dim=1, keepdim=True)
