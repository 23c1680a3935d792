"""Specialists: components that annotate images. CATALOG lists the specialists that a recipe may use by name.

A specialist with helper modules has its own folder; the others are single files. A module is imported only when a
recipe uses it.
"""

CATALOG: dict[str, str] = {
    # objects, masks and tags
    "ssd_mobilenet": "specialists.ssd_mobilenet:SsdMobilenet",
    "onnx_detector": "specialists.onnx.detector:OnnxDetector",
    "hf_detector": "specialists.transformers.detector:HfDetector",
    "grabcut": "specialists.masks.grabcut:Grabcut",
    "salient_masks": "specialists.masks.salient_masks:SalientMasks",
    "sam": "specialists.transformers.sam:Sam",
    "decodes": "specialists.synthetic.fakes:NoOp",
    "tags": "specialists.tags:Tags",
    # scores of images and texts
    "image_quality": "specialists.image_quality:ImageQuality",
    "nsfw": "specialists.nsfw:Nsfw",
    "language": "specialists.language:Language",
    "embed": "specialists.transformers.embed:Embed",
    "image_text_scorer": "specialists.transformers.image_text:ImageTextScorer",
    "label_similarity": "specialists.label_similarity:LabelSimilarity",
    # printed text
    "rapidocr": "specialists.rapid_ocr:RapidOcr",
    # one region for each object from several detectors; labels that came with the source
    "consensus": "specialists.consensus:Consensus",
    "human": "specialists.human:Human",
    "source_texts": "specialists.source_texts:SourceTexts",
    # texts, their parse, and their phrases with regions
    "composer": "specialists.composer.specialist:Composer",
    "spacy_parse": "specialists.spacy_parse.specialist:SpacyParse",
    "label_grounder": "specialists.label_grounder:LabelGrounder",
    "hf_grounder": "specialists.transformers.grounder:HfGrounder",
    # several of the kinds above, with one model
    "florence2": "specialists.florence2.specialist:Florence2",
    "hf_captioner": "specialists.transformers.captioner:HfCaptioner",
    "region_captioner": "specialists.transformers.region_captioner:RegionCaptioner",
    # for drawn scenes, whose true labels are known
    "noisy_annotator": "specialists.synthetic.noisy_annotator:NoisyAnnotator",
    # fakes without weights, for tests
    "fake_detector": "specialists.synthetic.fakes:FakeDetector",
    "fake_captioner": "specialists.synthetic.fakes:FakeCaptioner",
    "fake_embedder": "specialists.synthetic.fakes:FakeEmbedder",
    "faulty": "specialists.synthetic.fakes:Faulty",
}
DOUBLES = frozenset(
    ("fake_detector", "fake_captioner", "fake_embedder", "faulty")
)  # usable in recipes, but not listed to users
