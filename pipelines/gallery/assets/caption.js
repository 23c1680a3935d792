// A text of an image. Its phrases are spans that light the regions they name.

import { cut, el, nameOf, number, stateOf, verdict, visible } from "./dom.js";

const SHORT = 320; // characters of a text in view; the rest is shown on demand

// `regions`: {id: region} of the image. `wholeTexts`: show long texts in full.
export function caption(text, regions, links, wholeTexts = false) {
  const words = el("bdi", { class: "gallery-words" });
  const characters = Array.from(text.text);
  const shorten = !wholeTexts && characters.length > SHORT;
  const show = (end) => words.replaceChildren(...pieces(text, characters, end, regions, links));
  show(shorten ? SHORT : characters.length);
  const block = el("div", { class: `gallery-caption ${stateOf(text)}`, "data-text": text.id }, words);
  if (shorten) block.append(showMore(characters.length, () => show(characters.length)));
  if (text.length > characters.length) block.append(el("span", { class: "gallery-note" }, ` (the first ${characters.length} of ${text.length} characters)`));
  block.append(el("span", { class: "gallery-about" }, about(text)));
  return block;
}

function about(text) {
  const parts = [text.granularity.replaceAll("_", " "), text.producer];
  if (text.score !== null) parts.push(number(text.score));
  if (text.kept === false) parts.push(verdict(text));
  return visible(parts.filter(Boolean).join(" · "));
}

function showMore(length, show) {
  const button = el("button", { type: "button", class: "gallery-more" }, `Show all ${length} characters`);
  button.addEventListener("click", () => {
    show();
    button.remove();
  });
  return button;
}

// The characters up to `end`, cut where phrases begin or end. Positions count code points.
function pieces(text, characters, end, regions, links) {
  const phrases = text.phrases.filter((phrase) => phrase.start < end);
  const edges = new Set([0, end]);
  for (const phrase of phrases) edges.add(phrase.start).add(Math.min(phrase.end, end));
  const sorted = [...edges].sort((a, b) => a - b);
  const parts = [];
  for (let n = 0; n + 1 < sorted.length; n += 1) {
    const words = visible(characters.slice(sorted[n], sorted[n + 1]).join(""));
    const around = phrases.filter((phrase) => phrase.start <= sorted[n] && phrase.end >= sorted[n + 1]);
    parts.push(around.length ? phraseSpan(words, around, regions, links) : words);
  }
  if (end < characters.length) parts.push("…");
  return parts;
}

function phraseSpan(words, phrases, regions, links) {
  const ids = [...new Set(phrases.flatMap((phrase) => phrase.regions))];
  const shown = ids.filter((id) => regions[id]);
  const meaning = phraseMeaning(phrases, shown.map((id) => nameOf(regions[id])), ids.length - shown.length);
  const state = phrases.some((phrase) => phrase.kept !== false) ? "" : " is-dropped";
  if (!shown.length) return el("span", { class: `gallery-phrase is-unlinked${state}`, title: visible(meaning) }, words);
  const span = el("span", {
    class: `gallery-phrase${state}`, tabindex: 0, role: "button", "aria-label": `${words}: ${visible(meaning)}`,
    title: visible(meaning), "data-regions": shown.join(" "),
    on: {
      click: () => links.toggle(shown),
      keydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        links.toggle(shown);
      },
    },
  }, words);
  links.join(span, shown);
  return span;
}

function phraseMeaning(phrases, names, notShown) {
  const parts = names.length ? [`names ${names.join(", ")}`] : [];
  if (notShown) parts.push(`names ${notShown} more that ${notShown === 1 ? "is" : "are"} not in this record`);
  if (!names.length && !notShown) parts.push("names no region");
  for (const phrase of phrases) if (phrase.kept === false) parts.push(verdict(phrase));
  return cut(parts.join("; "), 400);
}
