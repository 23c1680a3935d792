// Where the images come from. `embedded` makes a source of the images that the page itself holds.
//
// A source is {dataset, total, labels, rules, producers, strata, page}. The four lists hold {name, number}, and may be
// left out. page(query) resolves to {total, images}: how many images fit, and those from query.offset on, at most
// query.limit. query: {stratum, label, rule, producer, kept, text, offset, limit}; '' is no condition.
// Two more are optional. image(id) resolves to the record of an image, or to null; without it, only images of page({})
// can be opened by an address. outcomes: the values of `kept` that the source understands, as [value, title].
// Records that lack the fields which are empty must go through `complete`.

export const OUTCOMES = [
  ["", "All"], ["image-kept", "Images kept"], ["image-dropped", "Images dropped"],
  ["kept", "With kept annotations"], ["dropped", "With dropped annotations"],
];
const EMPTY = {
  name: "", src: "", unreadable: "", split: "", licence: "", rule: "", kept: null, value: null, threshold: null,
  sources: [], strata: [], regions: [], texts: [], region_texts: [], tags: [], scores: [], failures: [], changes: [],
  left_out: {},
};
const VERDICT = { kept: null, rule: "", value: null, threshold: null, score: null, producer: "", round: 0 };
const REGION = { ...VERDICT, kind: "object", label: "", words: "", quad: [], mask: "", score_kind: "", merged_into: "",
  support: [], parents: [] };
const TEXT = { ...VERDICT, granularity: "", text: "", length: 0, phrases: [] };

// Fills in the fields that were left out because they are empty.
export function complete(record) {
  const full = { ...EMPTY, ...record };
  const filled = (items, empty) => items.map((item) => ({ ...empty, ...item }));
  full.regions = filled(full.regions, REGION);
  full.texts = filled(full.texts, TEXT);
  for (const text of full.texts) text.phrases = filled(text.phrases, { ...VERDICT, regions: [], start: 0, end: 0 });
  full.region_texts = filled(full.region_texts, { ...VERDICT, granularity: "", text: "", region: "" });
  full.tags = filled(full.tags, { ...VERDICT, label: "" });
  full.scores = filled(full.scores, { value: null, code: "", producer: "" });
  full.failures = filled(full.failures, { node: "", component: "", reason: "", error: "" });
  full.changes = filled(full.changes, { old: "", new: "", old_label: "", new_label: "", round: 0, rule: "" });
  return full;
}

export function embedded(gallery) {
  const images = gallery.images.map(complete);
  return {
    dataset: gallery.dataset,
    total: gallery.total,
    labels: choices(images, (image) => [...image.regions, ...image.tags].map((item) => item.label)),
    rules: choices(images, (image) => [image, ...annotations(image)].map((item) => item.rule)),
    producers: choices(images, (image) => annotations(image).map((item) => item.producer)),
    strata: choices(images, (image) => image.strata),
    image: async (id) => images.find((image) => image.id === id) || null,
    async page(query) {
      const found = images.filter((image) => fits(image, query));
      const offset = query.offset || 0;
      return { total: found.length, images: found.slice(offset, offset + (query.limit || found.length)) };
    },
  };
}

function choices(images, namesOf) {
  const numbers = new Map();
  for (const image of images) {
    for (const name of new Set(namesOf(image))) if (name) numbers.set(name, (numbers.get(name) || 0) + 1);
  }
  const found = [...numbers].map(([name, number]) => ({ name, number }));
  return found.sort((a, b) => b.number - a.number || (a.name < b.name ? -1 : 1));
}

export function annotations(image) {
  const phrases = image.texts.flatMap((text) => text.phrases);
  return [...image.regions, ...image.texts, ...phrases, ...image.region_texts, ...image.tags];
}

// Whether one annotation fits all that the query asks of annotations.
export function asksFor(query) {
  const kept = query.kept === "kept" ? true : query.kept === "dropped" ? false : null;
  if (!query.label && !query.rule && !query.producer && kept === null) return null;
  return (item) =>
    (!query.label || item.label === query.label) &&
    (!query.rule || item.rule === query.rule) &&
    (!query.producer || item.producer === query.producer) &&
    (kept === null || item.kept === kept);
}

function fits(image, query) {
  if (query.stratum && !image.strata.includes(query.stratum)) return false;
  if (query.kept === "image-kept" && image.kept === false) return false;
  if (query.kept === "image-dropped" && image.kept !== false) return false;
  const asked = asksFor(query);
  const ofImage = query.rule && image.rule === query.rule && !query.label && !query.producer && query.kept !== "kept";
  if (asked && !ofImage && !annotations(image).some(asked)) return false;
  return !query.text || contains(image, query.text.toLowerCase());
}

function contains(image, words) {
  const texts = [image.id, image.name, image.split, image.licence, image.rule];
  for (const item of annotations(image)) texts.push(item.label, item.text, item.words);
  for (const source of image.sources) texts.push(source.source, source.uri);
  return texts.some((text) => text && text.toLowerCase().includes(words));
}
