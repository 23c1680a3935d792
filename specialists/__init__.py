"""Every specialist a recipe may name. Literal and lazily imported: a name here costs nothing until it is used."""

CATALOG: dict[str, str] = {
    # see
    "ssd_mobilenet": "specialists.ssd_mobilenet:SsdMobilenet",
    "onnx_detector": "specialists.onnx_detector:OnnxDetector",
    "grabcut": "specialists.grabcut:Grabcut",
    "salient_masks": "specialists.salient_masks:SalientMasks",
    "decodes": "specialists.fakes:NoOp",
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
    "composer": "specialists.composer:Composer",
    "spacy_parse": "specialists.spacy_parse:SpacyParse",
    "label_grounder": "specialists.label_grounder:LabelGrounder",
    # any of these, by one model
    "florence2": "specialists.florence2:Florence2",
    # for drawn scenes, whose truth is known
    "noisy_annotator": "specialists.synthetic_noise:NoisyAnnotator",
    # weightless doubles, for tests
    "fake_detector": "specialists.fakes:FakeDetector",
    "fake_captioner": "specialists.fakes:FakeCaptioner",
    "faulty": "specialists.fakes:Faulty",
}
DOUBLES = frozenset(("fake_detector", "fake_captioner", "faulty"))  # recipes may name them; no list does
