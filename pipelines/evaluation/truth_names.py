"""Matches the image names in a COCO json to images of a data set, by the longest common end of their paths.

A base name alone is not enough, because frames of several videos may all be called 0001.jpg. Either the whole name must
be the end of the path, or a folder must agree too. A name that is an image id matches that image, as in a release.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from engine.storage.uris import split_uri
from engine.storage.web import is_web
from pipelines.ingest.sources.file_uris import plain_path

Image = Mapping[str, Any]
Parts = tuple[str, ...]


@dataclass(slots=True)
class Matched:
    """images: {index of the name: its image}. The other fields hold the indices of names without an image, by reason.

    base_name_only: {index of a name: a path with the same base name but other folders}.
    """

    images: dict[int, Image] = field(default_factory=dict)
    unknown: list[int] = field(default_factory=list)
    ambiguous: list[int] = field(default_factory=list)
    base_name_only: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Path:
    parts: Parts
    inside: int  # number of parts inside a container such as a tar
    image: Image


def match_names(names: Sequence[str], images: Iterable[Image]) -> Matched:
    """Matches names to images, which are rows with image_id and sources.

    If two match one image, the longer match wins.
    """
    by_base, by_id = _index(images)
    answer, best = Matched(), dict[int, _Best]()
    claims: dict[Parts, list[tuple[int, int]]] = defaultdict(list)  # {path: [(length of the match, index of the name)]}
    for number, name in enumerate(names):
        parts = _parts(plain_path(name))
        if not parts:
            answer.unknown.append(number)
        elif (stem := parts[-1].partition(".")[0]) in by_id:
            answer.images[number] = by_id[stem]
        else:
            _claim(number, parts, by_base.get(parts[-1], []), best, claims, answer)
    for number, (length, paths) in best.items():
        rivals = [claim for path in paths for claim in claims[path.parts] if claim[1] != number and claim[0] >= length]
        if len({path.image["image_id"] for path in paths}) > 1 or any(claim[0] == length for claim in rivals):
            answer.ambiguous.append(number)
        elif rivals:  # another name matches this image better
            answer.unknown.append(number)
        else:
            answer.images[number] = paths[0].image
    return answer


_Best = tuple[int, list[_Path]]  # the length of the longest common end, and the paths that have it


def _claim(
    number: int,
    parts: Parts,
    paths: Sequence[_Path],
    best: dict[int, _Best],
    claims: dict[Parts, list[tuple[int, int]]],
    answer: Matched,
) -> None:
    """Finds the paths that have the longest common end with one name, or the reason why there are none."""
    lengths = [_common_end(parts, path.parts) for path in paths]
    length = max(lengths, default=0)
    longest = [path for path, one in zip(paths, lengths, strict=True) if one == length]
    if not longest:
        answer.unknown.append(number)
    elif length == 1 and len(parts) > 1 and not any(path.inside == 1 for path in longest):
        answer.base_name_only[number] = "/".join(longest[0].parts[-2:])
    else:
        best[number] = (length, longest)
        for path in longest:
            claims[path.parts].append((length, number))


def _index(images: Iterable[Image]) -> tuple[dict[str, list[_Path]], dict[str, Image]]:
    by_base: dict[str, list[_Path]] = defaultdict(list)
    by_id: dict[str, Image] = {}
    for image in images:
        by_id[image["image_id"]] = image
        for uri in {source["uri"] for source in image["sources"]}:
            path = _path(uri, image)
            by_base[path.parts[-1]].append(path)
    return by_base, by_id


def _path(uri: str, image: Image) -> _Path:
    kind, member, container = split_uri(uri)
    if not kind and "::" in uri and uri.startswith(("zip://", "libarchive://")):  # fsspec's own chains
        member, _, container = uri.partition("::")
    inside = _parts(urlsplit(member).path if kind == "" and is_web(member) else member.rpartition("://")[2])
    outside = _parts(urlsplit(container).path if is_web(container) else container.rpartition("://")[2])
    return _Path((*outside, *inside) or (uri,), len(inside), image)


def _parts(path: str) -> Parts:
    path = path.removeprefix("file://")
    return tuple(part for part in path.split("/") if part not in ("", "."))


def _common_end(one: Parts, other: Parts) -> int:
    length = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        length += 1
    return length
