from __future__ import annotations

from typing import Any

import pytest

from pipelines.evaluation.truth_names import match_names


def image(image_id: str, *uris: str) -> dict[str, Any]:
    return {"image_id": image_id, "sources": [{"source": "photos", "uri": uri} for uri in uris]}


FRAMES = [image(f"{cam}-{n}", f"/data/photos/cam{cam}/000{n}.jpg") for cam in (1, 2) for n in (1, 2)]


def matched(names: list[str], images: list[dict[str, Any]]) -> list[str | None]:
    found = match_names(names, images).images
    return [found[number]["image_id"] if number in found else None for number in range(len(names))]


@pytest.mark.parametrize(
    "form", ["cam{}/0001.jpg", "/srv/x/photos/cam{}/0001.jpg", "cam{}\\0001.jpg", "./cam{}/0001.jpg"]
)
def test_frames_with_the_same_name_are_matched_by_their_folders(form: str) -> None:
    assert matched([form.format(2), form.format(1)], FRAMES) == ["2-1", "1-1"]


def test_a_bare_name_matches_the_only_image_with_that_name() -> None:
    assert matched(["0001.jpg"], FRAMES[:2]) == ["1-1"]
    found = match_names(["0001.jpg", "0002.jpg", "other.jpg", ""], FRAMES)
    assert (found.images, found.ambiguous, found.unknown) == ({}, [0, 1], [2, 3])


def test_a_base_name_is_no_match_if_the_folders_differ() -> None:
    found = match_names(["cam3/0001.jpg", "/elsewhere/0002.jpg"], FRAMES[:2])
    assert found.images == {}
    assert found.base_name_only == {0: "cam1/0001.jpg", 1: "cam1/0002.jpg"}


def test_the_longer_match_gets_the_image() -> None:
    assert matched(["a/cam1/0001.jpg", "photos/cam1/0001.jpg"], FRAMES) == [None, "1-1"]
    found = match_names(["a/cam1/0001.jpg", "b/cam1/0001.jpg"], FRAMES)
    assert (found.images, found.ambiguous) == ({}, [0, 1])


def test_a_photo_in_two_places_is_one_image() -> None:
    twice = [image("x", "/data/a/0001.jpg", "/data/b/0001.jpg")]
    assert matched(["a/0001.jpg", "b/0001.jpg"], twice) == ["x", "x"]
    assert matched(["0001.jpg"], twice) == ["x"]


def test_members_of_containers_and_urls_are_matched() -> None:
    images = [
        image("t", "tar://0001.jpg::/data/shard-0.tar"),
        image("z", "zip://in/0002.jpg::/data/x.zip"),
        image("w", "https://host/a/0003.jpg?size=large"),
        image("c", "/data/odd::name/0004.jpg"),
    ]
    assert matched(["val/0001.jpg", "in/0002.jpg", "a/0003.jpg", "odd::name/0004.jpg"], images) == ["t", "z", "w", "c"]


def test_an_image_id_matches_its_image() -> None:
    images = [image("0123456789abcdef", "/data/a.jpg")]
    assert matched(["train-00000/0123456789abcdef.jpg"], images) == ["0123456789abcdef"]
