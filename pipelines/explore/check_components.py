"""`engine components --check`: loads every component that a recipe may name, and times it on a drawn scene."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from engine.config.catalog import options_of
from engine.errors import EngineError
from engine.extras import require
from engine.images.decode import decode
from engine.schema import ANNOTATIONS, IMAGES, PARSE, Answer, Chunk, Complexity, Parse, Sample, as_row, record_table
from filters.judging.apply_rules import judge
from pipelines.explore.components import entries, kinds_of, load_class
from pipelines.filter.whole_set import WholeSet

TIMED_S = 1.0  # about how long each component is timed


@dataclass(frozen=True, slots=True)
class ComponentCheck:
    """One component. `result`: its milliseconds for an image, or why it was not timed."""

    name: str
    result: str
    ok: bool
    uninstalled: bool = False  # lacks a package


@dataclass(frozen=True, slots=True)
class ComponentChecks:
    """All checks. str() has one line for each component.

    A missing package counts as a failure only if `chosen` is set.
    """

    checks: list[ComponentCheck]
    chosen: bool  # whether the user named one component

    @property
    def ok(self) -> bool:
        return all(check.ok or (check.uninstalled and not self.chosen) for check in self.checks)

    def __str__(self) -> str:
        lines = [f"  {check.name:<20}{check.result}" for check in self.checks]
        return "\n".join(["on a drawn scene, in this process:", *lines])


def check_components(name: str = "") -> ComponentChecks:
    """Checks the components of this name, or all components if it is empty."""
    chosen = [(kind, name) for kind in kinds_of(name)] if name else entries()
    sample, parse = _drawn_sample()
    return ComponentChecks([_check(kind, entry, sample, parse) for kind, entry in chosen], bool(name))


def _check(kind: str, name: str, sample: Sample, parse: Parse) -> ComponentCheck:
    try:
        component = load_class(kind, name)
        options = options_of(component).values()
        required = [option.name for option in options if option.default is inspect.Parameter.empty]
        if required:
            return ComponentCheck(name, f"needs option {' and '.join(required)}: not tried", ok=True)
        if kind == "filter":
            return ComponentCheck(name, _timed(lambda: _judge(name, component, sample, parse)), ok=True)
        return ComponentCheck(name, _loaded_and_timed(name, component, sample), ok=True)
    except ImportError as error:
        return ComponentCheck(name, f"is missing a package: {error}", ok=False, uninstalled=True)
    except EngineError as error:
        uninstalled = "not installed" in str(error) or isinstance(error.__cause__, ImportError)
        text = f"{'is missing a package' if uninstalled else 'cannot start'}: {error}"
        return ComponentCheck(name, text, ok=False, uninstalled=uninstalled)
    except Exception as error:  # noqa: BLE001  the border with a foreign model
        return ComponentCheck(name, f"cannot start: {type(error).__name__}: {error}", ok=False)


def _loaded_and_timed(name: str, component: Any, sample: Sample) -> str:
    instance = component()
    require(name, getattr(instance, "packages", ()), extra=getattr(instance, "extra", ""))
    started = time.perf_counter()
    instance.load()
    loaded = time.perf_counter() - started
    if component.gives == ("parse",):
        text = sample.texts[0].text
        return f"{_timed(lambda: instance.parse([text]), 'sentence')}, loaded in {loaded:.1f} s"
    return f"{_timed(lambda: instance.annotate([_copy_for(component, sample)]))}, loaded in {loaded:.1f} s"


def _timed(once: Callable[[], object], what: str = "image") -> str:
    """The mean time of as many calls as fit into TIMED_S. A first call, which may be slow, does not count."""
    once()
    started, calls = time.perf_counter(), 0
    while calls == 0 or (time.perf_counter() - started < TIMED_S and calls < 50):
        once()
        calls += 1
    return f"{(time.perf_counter() - started) / calls * 1000:.1f} ms a {what}".replace("a image", "an image")


def _drawn_sample() -> tuple[Sample, Parse]:
    """A scene of the synthetic world. Its true annotations have scores, as if models had made them."""
    from specialists.synthetic.world import WorldOptions, scene

    options = WorldOptions(size=320, max_objects=3)
    drawn = scene(0, options)
    answer = Answer()
    for column in ANNOTATIONS:
        setattr(answer, column, list(getattr(drawn.truth, column)))
        for item in getattr(answer, column):
            item.score, item.score_kind = 0.9, "confidence"
    for region in answer.regions:
        region.rle = ""  # so that components that make masks have something to do
    lists = {column: getattr(answer, column) for column in ANNOTATIONS}
    sample = Sample("0" * 32, options.size, options.size, decode(drawn.data), **lists)
    text = sample.texts[0]
    chunks = [
        Chunk(phrase.char_start, phrase.char_end, words.split()[-1].lower(), False, words)
        for phrase in sample.phrases
        if phrase.text_id == text.id and (words := text.text[phrase.char_start : phrase.char_end])
    ]
    one = Complexity(1.0, 1.0, 1.0)
    parse = Parse(8, 9, 1, ["thing"], ["thing"], [], [], [], [], one, one, chunks, text.text_key)
    sample.parse = {item.text_key: parse for item in sample.texts}
    return sample, parse


def _copy_for(component: Any, sample: Sample) -> Sample:
    """A copy of the sample, because a component may change it. It has pixels only if the component needs them."""
    import copy

    copied = copy.deepcopy(sample)
    if "pixels" not in component.needs:
        copied.pixels = None
    return copied


def _judge(name: str, rule: Any, sample: Sample, parse: Parse) -> None:
    record = record_table(
        [{"image_id": sample.image_id} | {c: [as_row(item) for item in getattr(sample, c)] for c in ANNOTATIONS}]
    )
    plain = {"sources": [], "format": "PNG", "licence": "", "split": "train", "bytes": 1, "uri": "", "offset": 0}
    image = plain | {"image_id": sample.image_id, "width": sample.width, "height": sample.height, "length": -1}
    images = WholeSet().images(pa.Table.from_pylist([image], schema=IMAGES), 0)
    judge(record, images, pa.Table.from_pylist([as_row(parse)], schema=PARSE), [(name, rule, {})])
