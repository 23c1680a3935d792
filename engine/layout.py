"""The names of all folders and files of a data set and of the releases in it.

A node's answers are in `<node>/<first 8 digits of its key>/`, so no node may have the name of a folder listed here
(`RESERVED`). Existing data sets use these names on disk. If a name is changed, those data sets become unreadable.
"""

from __future__ import annotations

# --- files at the top of a data set ---
HEADER = "dataset.json"  # schema version, shard size, audit split
CURRENT = "current.json"  # the nodes, the judge and the rounds that make up the data set now

# --- ingest ---
INPUTS = "inputs"  # one row for each listed input
LISTINGS = "listings"  # which inputs are no longer in their sources; one file for each change
PROBE = "probe"  # id, size and format of each input
SPLITS = "splits"  # the split of each image
PLACED = "placed"  # which probed inputs were assigned to shards
IMAGES = "images"  # the shards of images; also the name under which nodes read them
LABELS = "labels"  # the sources' labels of each image, without those of the audit split
TRUTH = "truth"  # the labels of the audit split

# --- filter ---
SURVEY = "survey"  # what each shard contributes to rules over the whole data set
SURVEYED = "surveyed"  # facts about the whole data set, made from SURVEY for those rules
JUDGE = "judge"  # verdicts on everything
JUDGE_REGIONS = "judge-regions"  # early verdicts on images and regions, for nodes that need kept_regions

# --- refine, train, evaluate ---
ROUNDS = "rounds"  # the gate's decision on each round
CONFUSION = "rounds/noise"  # how often each label is mistaken for another
MODELS = "models"  # one folder for each trained model
TRAINED = "training.json"  # in a model's folder: how it was trained; written last, so it marks a finished model
INITIAL = "init"  # in a model's folder: the weights its training starts from
MADE = "made.json"  # in INITIAL: what these weights were made from
CALIBRATION = "calibration"  # fitted score curves
FUSION = "fusion"  # not a folder: an entry of a calibration file, beside the producers

# --- runs and releases ---
RUNS = "runs"  # one folder for each run
RUN = "run.json"  # in a run's folder: its record
GOING = "runs/going"  # one file for each run or removal that is going on
EMIT = "emit"  # commit records of the shards of releases
RELEASES = "releases"  # one folder for each release
MANIFEST = "manifest.json"  # in a release: its files and digests; written last, so it marks a finished release
REPORT = "report"  # report.html and its tables; it shows images, so a removal deletes it
REMOVED = "removed"  # one tombstone for each removal of images, without their ids
CARD_FILE = "README.md"  # in a release: the data card
PAIR_FILES = "pairs-"  # how the names of a release's tables of training pairs begin
EMBEDDING_FILES = "embeddings-"  # how the names of a release's tables of embeddings begin
LOOSE_FILES = "files-"  # how the names of a release's lists of loose files begin
LOOSE_IMAGES = "images"  # in a release: the folder of its images as files of their own
PROOF = ".verified.json"  # added to the name of a release: what `engine verify` found
RELEASE_SPLITS = ("train", "valid", "test")  # a release's tars and tables are named <split>-<5 digits>

# Folders whose shards are numbered in the order they were made. A lost shard cannot be made again on its own.
ORDERED = (IMAGES, INPUTS, SPLITS, LABELS, TRUTH)

RESERVED = frozenset((INPUTS, LISTINGS, PROBE, SPLITS, PLACED, IMAGES, LABELS, TRUTH, SURVEY, SURVEYED, JUDGE))
RESERVED |= {JUDGE_REGIONS, ROUNDS, MODELS, CALIBRATION, FUSION, RUNS, EMIT, RELEASES, REMOVED, REPORT}


def release_folder(name: str) -> str:
    return f"{RELEASES}/{name}"


def model_folder(name: str) -> str:
    return f"{MODELS}/{name}"
