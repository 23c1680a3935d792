"""Every specialist a recipe may name. Literal and lazily imported: a name here costs nothing until it is used."""

CATALOG: dict[str, str] = {
    # see
    "ssd_mobilenet": "specialists.ssd_mobilenet:SsdMobilenet",
    "onnx_detector": "specialists.onnx.detector:OnnxDetector",
    "grabcut": "specialists.masks.grabcut:Grabcut",
    "salient_masks": "specialists.masks.salient_masks:SalientMasks",
    "decodes": "specialists.synthetic.fakes:NoOp",
    "tags": "specialists.tags:Tags",
    # measure
    "image_quality": "specialists.image_quality:ImageQuality",
    "nsfw": "specialists.nsfw:Nsfw",
    "language": "specialists.language:Language",
    # read
    "rapidocr": "specialists.rapid_ocr:RapidOcr",
    # agree
    "consensus": "specialists.consensus:Consensus",
    "human": "specialists.human:Human",
    "source_texts": "specialists.source_texts:SourceTexts",
    # write, parse, ground
    "composer": "specialists.composer.specialist:Composer",
    "spacy_parse": "specialists.spacy_parse.specialist:SpacyParse",
    "label_grounder": "specialists.label_grounder:LabelGrounder",
    # any of these, by one model
    "florence2": "specialists.florence2.specialist:Florence2",
    # for drawn scenes, whose truth is known
    "noisy_annotator": "specialists.synthetic.noisy_annotator:NoisyAnnotator",
    # weightless doubles, for tests
    "fake_detector": "specialists.synthetic.fakes:FakeDetector",
    "fake_captioner": "specialists.synthetic.fakes:FakeCaptioner",
    "faulty": "specialists.synthetic.fakes:Faulty",
}
DOUBLES = frozenset(("fake_detector", "fake_captioner", "faulty"))  # recipes may name them; no list does
