import logging
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detectors import sample
from engine.schema import Sample
from specialists.rapid_ocr import RapidOcr

skimage = pytest.importorskip("skimage")
pytest.importorskip("rapidocr")
PAGE = Path(skimage.__file__).parent / "data" / "page.png"


@pytest.fixture(scope="module")
def ocr() -> RapidOcr:
    specialist = RapidOcr()
    specialist.load()
    return specialist


def blank(width: int, height: int) -> Sample:
    return Sample("a", width, height, np.full((height, width, 3), 255, np.uint8))


def test_the_lines_of_a_page_are_read(ocr: RapidOcr) -> None:
    page = sample(PAGE)
    answer = ocr.annotate([page])[0]
    assert "Region-based segmentation" in [text.text for text in answer.region_texts]
    assert {text.granularity for text in answer.region_texts} == {"ocr"}
    assert [text.region_id for text in answer.region_texts] == [region.id for region in answer.regions]
    assert all(0 <= r.x1 < r.x2 <= page.width and 0 <= r.y1 < r.y2 <= page.height for r in answer.regions)


def test_a_line_is_a_text_region_around_its_quad(ocr: RapidOcr) -> None:
    line = ocr.annotate([sample(PAGE)])[0].regions[0]
    assert (line.kind, line.label, len(line.quad)) == ("text", "", 8)
    assert (line.x1, line.x2) == (min(line.quad[::2]), max(line.quad[::2]))


def test_ids_are_unique_over_the_whole_answer(ocr: RapidOcr) -> None:
    answer = ocr.annotate([sample(PAGE)])[0]
    ids = [item.id for item in (*answer.regions, *answer.region_texts)]
    assert len(set(ids)) == len(ids) > 2


def test_an_image_without_text_has_an_empty_answer_and_is_not_logged(
    ocr: RapidOcr, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ocr.annotate([blank(200, 100)])[0].regions == []
    assert "".join(capfd.readouterr()) == ""
    assert logging.getLogger("RapidOCR").level >= logging.ERROR


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2500, 3), (3, 2500)])
def test_very_narrow_images_cause_no_error(ocr: RapidOcr, width: int, height: int) -> None:
    assert ocr.annotate([blank(width, height)])[0].regions == []


def test_its_models_are_the_packaged_ones() -> None:
    assert [Path(path).parent.parent.name for path in RapidOcr().weights] == ["rapidocr"] * 3
