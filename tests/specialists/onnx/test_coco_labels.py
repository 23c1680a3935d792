from specialists.onnx.coco_labels import COCO_80, COCO_90


def test_both_numberings_name_the_same_eighty_classes() -> None:
    assert len(set(COCO_80)) == 80
    assert list(COCO_90.values()) == list(COCO_80)


def test_the_category_ids_have_their_gaps() -> None:
    assert (COCO_90[1], COCO_90[13], COCO_90[17], COCO_90[90]) == ("person", "stop sign", "cat", "toothbrush")
    assert not {12, 26, 29, 30, 45, 66, 68, 69, 71, 83} & set(COCO_90)
