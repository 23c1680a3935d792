"""Cost of prediction: with the grammar and free, and with several tasks on one encoding or one by one.

    python -m benchmarks.prediction                              an untrained tiny model
    python -m benchmarks.prediction --preset base --images 8     with the released shape and vocabulary
    python -m benchmarks.prediction --checkpoint FOLDER          a trained one, on scenes of the synthetic world
    python -m benchmarks.prediction --malformed 500              answers of untrained models for that many images

CPU seconds of one thread. Sides take turns; ratios are medians over the rounds. Untrained models would end at once, so
</s> is disabled for them and both sides write as many tokens as allowed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from engine.images.decode import decode
from model.decoding.predict import Prediction, predict
from model.florence2_tasks import TASKS
from model.network.encoding import Question, make_question, padded
from model.network.florence import Florence, Pixels, build, load
from model.network.presets import preset_of
from model.network.tokenizer import train_tokenizer
from specialists.synthetic.world import scenes

FOUR = ("<CAPTION>", "<OD>", "<DENSE_REGION_CAPTION>", "<REGION_PROPOSAL>")
GIVEN = {"": "", "caption": "a red ball", "names": "a red ball", "region": "<loc_1><loc_2><loc_500><loc_600>"}


def untrained(preset: str, seed: int = 0) -> Florence:
    """A model with random weights, and with made-up words if the preset has the released number of words."""
    texts = [f"{task.prompt} a red ball, two blue rings" for task in TASKS.values()]
    tokenizer = train_tokenizer(texts, size=600)
    lacking = preset_of(preset).vocabulary - 600
    if lacking > 0:
        tokenizer.add_tokens([f"word{number}" for number in range(lacking)])
    florence = build(preset, tokenizer, seed=seed)
    with torch.no_grad():
        florence.model.get_input_embeddings().weight[florence.vocabulary.eos] = 0
    return florence


def world(count: int, size: int = 96) -> list[Pixels]:
    return [decode(scene.data) for scene in scenes(f"world://?images={count}&size={size}&seed=4000&words=0")]


def make_questions(images: int, tasks: Sequence[str]) -> list[Question]:
    return [make_question(image, task, GIVEN[TASKS[task].input]) for image in range(images) for task in tasks]


def cpu_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turns(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each round, after one round that is not counted."""
    for work in sides.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in sorted(sides, reverse=bool(number % 2)):
            found[name].append(cpu_seconds(sides[name]))
    return found


def report(found: dict[str, list[float]], images: int, against: str) -> None:
    base = np.array(found[against])
    for name, seconds in found.items():
        ratio = float(np.median(np.array(seconds) / base))
        print(f"  {name:<32}{1000 * float(np.median(seconds)) / images:9.1f} ms/image   {ratio:.2f} of {against}")


# --- the grammar ---------------------------------------------------------------------------------


def grammar(florence: Florence, images: list[Pixels], tokens: int, rounds: int) -> None:
    questions = make_questions(len(images), ["<OD>"])
    answers: dict[str, list[Prediction]] = {}

    def side(name: str, *, constrained: bool) -> Callable[[], None]:
        def work() -> None:
            answers[name] = predict(
                florence, images, questions, batch_size=len(images), max_new_tokens=tokens, constrained=constrained
            )

        return work

    sides: dict[str, Callable[[], Any]] = {
        "free": side("free", constrained=False),
        "constrained": side("constrained", constrained=True),
        "generate of transformers, free": lambda: generate(florence, images, questions, tokens),
    }
    found = in_turns(sides, rounds)
    written = {name: sum(len(answer.ids) for answer in some) for name, some in answers.items()}
    valid = [number for number, answer in enumerate(answers["free"]) if whole(answer, florence)]
    same = sum(answers["free"][number].ids == answers["constrained"][number].ids for number in valid)
    print(f"{len(images)} images, <OD>, tokens written {written}")
    print(f"  valid without the grammar: {len(valid)}, of these the same under it: {same}")
    report(found, len(images), "free")


def whole(answer: Prediction, florence: Florence) -> bool:
    """Whether the answer parses without an error, and begins and ends as targets do."""
    ends = answer.ids[0], answer.ids[-1]
    return not answer.parsed.faults and ends == (florence.vocabulary.bos, florence.vocabulary.eos)


def generate(florence: Florence, images: list[Pixels], questions: Sequence[Question], tokens: int) -> Any:
    ids, mask = padded([florence.prompt_ids(one.prompt) for one in questions], florence.vocabulary.pad, "cpu")
    with torch.inference_mode():
        return florence.model.generate(
            input_ids=ids,
            attention_mask=mask,
            pixel_values=florence.pixel_values(images),
            max_new_tokens=tokens,
            num_beams=1,
            no_repeat_ngram_size=0,
            do_sample=False,
        )


# --- tasks on one encoding -----------------------------------------------------------------------


def together(florence: Florence, images: list[Pixels], tokens: int, rounds: int) -> None:
    def at_once() -> None:
        predict(florence, images, make_questions(len(images), FOUR), batch_size=len(images), max_new_tokens=tokens)

    def one_by_one() -> None:
        for task in FOUR:
            predict(
                florence, images, make_questions(len(images), [task]), batch_size=len(images), max_new_tokens=tokens
            )

    print(f"{len(images)} images, {len(FOUR)} tasks of {tokens} tokens at most")
    report(in_turns({"one by one": one_by_one, "on one encoding": at_once}, rounds), len(images), "one by one")


# --- what is malformed ---------------------------------------------------------------------------


def malformed(images: int, tokens: int, models: int = 5) -> None:
    """All tasks, with several untrained models."""
    counts = {True: [0, 0], False: [0, 0]}  # constrained: answers, malformed ones
    for seed in range(models):
        florence, some = untrained("tiny", seed), world(images)[seed::models]
        for constrained, count in counts.items():
            predictions = predict(
                florence,
                some,
                make_questions(len(some), list(TASKS)),
                batch_size=64,
                max_new_tokens=tokens,
                constrained=constrained,
            )
            count[0] += len(predictions)
            count[1] += sum(bool(answer.parsed.faults) for answer in predictions)
    print(f"{images} images, {len(TASKS)} tasks, {models} untrained models, {tokens} tokens at most")
    for constrained, (answers, bad) in counts.items():
        print(f"  {'constrained' if constrained else 'free':<14}{answers} answers, {bad} malformed")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--preset", default="tiny")
    options.add_argument("--checkpoint", default="")
    options.add_argument("--images", type=int, default=64)
    options.add_argument("--tokens", type=int, default=24, help="of an answer at most")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", choices=("grammar", "together"), default="")
    options.add_argument("--malformed", type=int, default=0, help="count malformed answers on so many images instead")
    given = options.parse_args()
    torch.set_num_threads(1)
    if given.malformed:
        malformed(given.malformed, given.tokens)
        return
    florence = load(given.checkpoint) if given.checkpoint else untrained(given.preset)
    images = world(given.images)
    print(f"{given.checkpoint or given.preset}: {florence.parameters():,} parameters, {florence.size} pixels")
    for name, measure in {"grammar": grammar, "together": together}.items():
        if given.only in ("", name):
            measure(florence, images, given.tokens, given.rounds)


if __name__ == "__main__":
    main()
