"""Trains a tokenizer of Florence-2's kind: byte-level BPE, with the tokens that Florence-2 adds.

The four special tokens come first, as in BART (<s> 0, <pad> 1, </s> 2, <unk> 3). Every byte is a token, so no word is
unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from model.network.vocabulary import ADDED, IMAGE

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
SMALLEST = 4 + 256 + 1  # specials, bytes, <mask>
MAX_LENGTH = 1024


def train_tokenizer(texts: Iterable[str], *, size: int = 2000) -> Any:
    """A PreTrainedTokenizerFast of about `size` tokens (at least 261), followed by the 1,025 tokens that Florence-2
    adds.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=max(size, SMALLEST) - 1,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    raw.train_from_iterator(_words_only(texts), trainer)
    raw.add_special_tokens(["<mask>"])
    raw.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    fast: Any = PreTrainedTokenizerFast
    tokenizer = fast(
        tokenizer_object=raw,
        bos_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        cls_token="<s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
        extra_special_tokens={"image_token": IMAGE},
    )
    tokenizer.add_tokens(list(ADDED))
    return tokenizer


def _words_only(texts: Iterable[str]) -> Iterable[str]:
    """The texts without locations and marks. These are tokens already and must not be merged with other characters."""
    import re

    added = re.compile("<loc_[0-9]+>|" + "|".join(re.escape(token) for token in ADDED if not token.startswith("<loc_")))
    for text in texts:
        yield from (piece for piece in added.split(text) if piece)
