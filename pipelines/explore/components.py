"""What a recipe may name, whether it loads, and how fast it is: on a drawn scene, or on photos of the data set.

Looking a component up imports its module, which is cheap by the rule that heavy imports wait for `load`; only
`render_check` and `render_probe` load anything.
"""

from __future__ import annotations

import inspect
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args, get_origin

import pyarrow as pa

from engine.config.catalog import options_of, resolve
from engine.errors import ConfigError, EngineError, RunFailed, unknown
from engine.extras import how_to_install, missing, require
from engine.images.decode import decode
from engine.images.locate import absolute
from engine.layout import IMAGES, LABELS
from engine.running.graph import Node
from engine.schema import ANNOTATIONS, PARSE, Answer, Chunk, Complexity, Parse, Sample, as_row, record_table
from engine.schema import IMAGES as IMAGES_SCHEMA
from engine.storage.commits import Commits, Record, TableReader
from engine.storage.files import Storage
from filters import CATALOG as FILTERS
from filters.judging.apply_rules import judge
from filters.verdict import needs_parse, needs_survey, reads
from pipelines.annotate.annotate import Runtime, run_nodes
from pipelines.filter.whole_set import Surveyed
from pipelines.recipe import Recipe
from specialists import CATALOG as SPECIALISTS
from specialists import DOUBLES

TIMED_S = 1.0  # a component is timed for about so long
WHOLE_SET_RECORDS = 200  # records read to learn how many images there are; of more shards the rest is estimated


def render_components(name: str = "") -> str:
    """All specialists and filters, or one with its options. ConfigError for a name nobody knows."""
    if name in FILTERS and name in SPECIALISTS:
        return f"{render_one('component', name)}\n\n{render_one('filter', name)}"
    if name:
        return render_one(_kind(name), name)
    lines = ["specialists, named in a recipe by annotate: {<node>: {use: <name>, <option>: ...}}"]
    lines += [f"  {entry}\n      {_summary('component', entry, SPECIALISTS)}" for entry in _listed()]
    lines += ["", "filters, named by filter: [<name>, {<name>: {<option>: ...}}]"]
    lines += [f"  {entry}\n      {_summary('filter', entry, FILTERS)}" for entry in FILTERS]
    return "\n".join([*lines, "", "engine components NAME shows the options of one."])


def _listed() -> list[str]:
    return [name for name in SPECIALISTS if name not in DOUBLES]


def _summary(kind: str, name: str, catalog: Mapping[str, str]) -> str:
    try:
        _, component = resolve(kind, name, catalog)
    except ConfigError as error:
        return str(error)
    lines = [_first_sentence(component), _promises(component)]
    if lacking := missing(getattr(component, "packages", ())):
        lines.append(f"not installed: {how_to_install(lacking[0], component.extra)}")
    return "\n      ".join(lines)


def _promises(component: Any) -> str:
    """What it reads and what it makes, in a line."""
    if not hasattr(component, "gives"):
        columns = reads(component)
        others = [*columns[1:], *(["the parse"] if needs_parse(component) else [])]
        others += ["a survey of the whole set"] if needs_survey(component) else []
        return f"judges {columns[0]}" + (f", reads {' and '.join(others)}" if others else "")
    parts = [f"needs {' and '.join(component.needs) or 'nothing'}"]
    parts += [f"uses {' and '.join(component.uses)} if there"] if getattr(component, "uses", ()) else []
    return "; ".join([*parts, f"gives {' and '.join(component.gives) or 'nothing'}"])


def _kind(name: str) -> str:
    """'component' or 'filter'; of a module:Name what it turns out to be."""
    if name in SPECIALISTS or name in FILTERS:
        return "component" if name in SPECIALISTS else "filter"
    if ":" not in name:
        raise unknown("component or filter", name, [*_listed(), *FILTERS])
    return "component" if hasattr(resolve("component", name, SPECIALISTS)[1], "gives") else "filter"


def render_one(sort: str, name: str) -> str:
    """One component or filter (`sort`) with its options."""
    component = resolve(sort, name, SPECIALISTS if sort == "component" else FILTERS)[1]
    kind = "specialist" if sort == "component" else "filter"
    lines = [f"{name}, a {kind}: {_promises(component)}"]
    if hasattr(component, "version"):
        same = "the same answer every time" if getattr(component, "deterministic", True) else "answers vary"
        lines[0] += f"; version {component.version}" + (f", {same}" if kind == "specialist" else "")
    lines += ["", *([_first_sentence(component), ""] if kind == "specialist" else [])]
    lines += [inspect.cleandoc(_doc(component)), ""]
    options = options_of(component)
    lines += ["options:" if options else "no options"]
    for option in options.values():
        required = option.default is inspect.Parameter.empty
        value = "must be given" if required else f"default {_plain(option.default)}"
        lines.append(f"  {option.name}: {type_name(option.annotation)}, {value}")
    return "\n".join(lines)


def _doc(component: Any) -> str:
    own = component.__dict__.get("__doc__") if inspect.isclass(component) else component.__doc__
    return own or ""


def _first_sentence(component: Any) -> str:
    """A file that holds one specialist opens with what that is; else its own docstring does."""
    alone = sum(target.partition(":")[0] == component.__module__ for target in SPECIALISTS.values()) == 1
    said = inspect.getmodule(component).__doc__ if alone else ""
    paragraph = " ".join(inspect.cleandoc(said or _doc(component)).split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".") + "."


def type_name(annotation: Any) -> str:
    """A type as one writes it, without its modules."""
    if isinstance(annotation, type) and not getattr(annotation, "__args__", None):
        return annotation.__name__.replace("NoneType", "None")
    if get_origin(annotation) is Union:
        return " | ".join(type_name(part) for part in get_args(annotation))
    if get_origin(annotation) is Mapping:
        return f"Mapping[{', '.join(type_name(part) for part in get_args(annotation))}]"
    return str(annotation).replace("collections.abc.", "").replace("typing.", "").replace("NoneType", "None")


def _plain(value: Any) -> str:
    """A default as YAML has it."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) + "}"
    words = {True: "true", False: "false", None: "null", "": "''"}
    return words[value] if isinstance(value, bool | None) or value == "" else str(value)


# --- does it load --------------------------------------------------------------------------------


def render_check(name: str = "") -> tuple[str, bool]:
    """A line a component: milliseconds an image, or why it was not timed; and whether all that should load do."""
    kinds = [(_kind(name), name)] if name else []
    if not name or (name in SPECIALISTS and name in FILTERS):
        kinds = [("component", entry) for entry in _listed() if name in ("", entry)]
        kinds += [("filter", entry) for entry in FILTERS if name in ("", entry)]
    sample, parse = _drawn()
    lines, ok = ["on a drawn scene, in this process:"], True
    for kind, entry in kinds:
        said, good = _checked(kind, entry, sample, parse)
        ok &= good or (said.startswith("is missing a package") and not name)
        lines.append(f"  {entry:<20}{said}")
    return "\n".join(lines), ok


def _checked(kind: str, name: str, sample: Sample, parse: Parse) -> tuple[str, bool]:
    try:
        component = resolve(kind, name, SPECIALISTS if kind == "component" else FILTERS)[1]
        required = [
            option.name for option in options_of(component).values() if option.default is inspect.Parameter.empty
        ]
        if required:
            return f"needs option {' and '.join(required)}: not tried", True
        if kind == "filter":
            return _timed(lambda: _judge(name, component, sample, parse)), True
        instance = component()
        require(name, getattr(instance, "packages", ()), extra=getattr(instance, "extra", ""))
        started = time.perf_counter()
        instance.load()
        loaded = time.perf_counter() - started
        if component.gives == ("parse",):
            text = sample.texts[0].text
            return f"{_timed(lambda: instance.parse([text]), 'sentence')}, loaded in {loaded:.1f} s", True
        return f"{_timed(lambda: instance.annotate([_seen_by(component, sample)]))}, loaded in {loaded:.1f} s", True
    except ImportError as error:
        return f"is missing a package: {error}", False
    except EngineError as error:
        package = "not installed" in str(error) or isinstance(error.__cause__, ImportError)
        return f"{'is missing a package' if package else 'cannot start'}: {error}", False
    except Exception as error:  # noqa: BLE001  the border with a foreign model
        return f"cannot start: {type(error).__name__}: {error}", False


def _timed(once: Any, what: str = "image") -> str:
    """Mean of the calls that fit into TIMED_S, after one that does not count."""
    once()
    started, calls = time.perf_counter(), 0
    while calls == 0 or (time.perf_counter() - started < TIMED_S and calls < 50):
        once()
        calls += 1
    return f"{(time.perf_counter() - started) / calls * 1000:.1f} ms a {what}".replace("a image", "an image")


def _drawn() -> tuple[Sample, Parse]:
    """A scene of the synthetic world with all that is true of it, as if models had said it."""
    from specialists.synthetic.world import WorldOptions, scene

    options = WorldOptions(size=320, max_objects=3)
    drawn = scene(0, options)
    answer = Answer(**{column: list(getattr(drawn.truth, column)) for column in ANNOTATIONS})
    for column in ANNOTATIONS:
        for item in getattr(answer, column):
            item.score, item.score_kind = 0.9, "confidence"
    for region in answer.regions:
        region.rle = ""  # something must be left to find
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


def _seen_by(component: Any, sample: Sample) -> Sample:
    """A fresh sample: a component may keep or change what it is given."""
    import copy

    seen = copy.deepcopy(sample)
    if "pixels" not in component.needs:
        seen.pixels = None
    return seen


def _judge(name: str, rule: Any, sample: Sample, parse: Parse) -> None:
    record = record_table(
        [{"image_id": sample.image_id} | {c: [as_row(item) for item in getattr(sample, c)] for c in ANNOTATIONS}]
    )
    plain = {"sources": [], "format": "PNG", "licence": "", "split": "train", "bytes": 1, "uri": "", "offset": 0}
    image = plain | {"image_id": sample.image_id, "width": sample.width, "height": sample.height, "length": -1}
    images = Surveyed().images(pa.Table.from_pylist([image], schema=IMAGES_SCHEMA))
    judge(record, images, pa.Table.from_pylist([as_row(parse)], schema=PARSE), [(name, rule, {})])


# --- how long would the whole set take -----------------------------------------------------------


def render_probe(recipe: Recipe, images: int) -> str:
    """Annotate so many images of the data set into a folder that is thrown away, and tell the time of each node."""
    from pipelines.stages.run import all_nodes

    nodes = all_nodes(recipe)
    storage = Storage(recipe.dataset)
    revisions = Commits(storage, IMAGES).revisions()
    if not len(revisions):
        return f"probe: '{storage.url}' holds no images yet: run --stage ingest first, then probe."
    with tempfile.TemporaryDirectory(prefix="engine-probe-") as folder:
        trial = Storage(folder)
        count = _copy_images(storage, trial, images)
        changes = {"dataset": folder, "run": recipe.run.model_copy(update={"max_failures": 10**9})}
        runtime = Runtime(trial, recipe.model_copy(update=changes), "local")
        try:
            _, line = run_nodes(runtime, "probe", nodes)
        except RunFailed as error:
            return f"probe: {error}"
        return _probe_table(nodes, line.tallies, count, _images_of(storage))


def _copy_images(storage: Storage, trial: Storage, wanted: int) -> int:
    """The first images of the data set as the one shard of another, their locators made absolute."""
    commits, rows, labels = Commits(storage, IMAGES), list[Mapping[str, Any]](), list[Mapping[str, Any]]()
    for shard, revision in enumerate(commits.revisions()):
        record = commits.record(shard, int(revision))
        reader = TableReader(storage, record.files["data"].path)
        some = reader.slice(0, min(wanted - len(rows), reader.rows)).to_pylist()
        rows += [row | {"uri": absolute(row["uri"], storage.url)} for row in some]
        if "labels" in record.files:
            labels += TableReader(storage, record.files["labels"].path).slice(0, len(some)).to_pylist()
        else:
            labels += [{"image_id": row["image_id"]} for row in some]
        if len(rows) >= wanted:
            break
    place = Commits(trial, IMAGES)
    files = {"data": place.put_table(0, pa.Table.from_pylist(rows, schema=IMAGES_SCHEMA))}
    files["labels"] = Commits(trial, LABELS).put_table(0, record_table(labels))
    place.commit(Record(0, 0, files))
    return len(rows)


def _images_of(storage: Storage) -> int:
    """How many images there are; of very many shards some are asked."""
    commits = Commits(storage, IMAGES)
    revisions = commits.revisions()
    step = -(-len(revisions) // WHOLE_SET_RECORDS)
    asked = [
        commits.record(shard, int(revisions[shard])).files["data"].rows for shard in range(0, len(revisions), step)
    ]
    return round(sum(asked) / len(asked) * len(revisions))


def _probe_table(nodes: Sequence[Node], tallies: Mapping[str, Any], count: int, whole: int) -> str:
    lines = [f"probe: {count} of {whole} images, one worker, loading not counted"]
    lines.append(f"{'node':<24}{'ms/image':>10}{'failed':>8}  for all, by one worker")
    total = 0.0
    for node in nodes:
        tally = tallies[node.name]
        seconds = tally.seconds / max(count, 1)
        total += seconds * whole
        lines.append(f"{node.name:<24}{seconds * 1000:>10.1f}{tally.failed:>8}  {_duration(seconds * whole)}")
    lines.append(
        f"{'together':<24}{total / max(whole, 1) * 1000:>10.1f}{'':>8}  {_duration(total)}, divided by workers"
    )
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
