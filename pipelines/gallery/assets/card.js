// The card of one image: its name, the picture, its labels, some texts, and why it was chosen.

import { caption } from "./caption.js";
import { count, cut, data, el, hueOf, splitName, stateOf, verdict, visible } from "./dom.js";
import { Links } from "./links.js";
import { picture } from "./picture.js";
import { annotations } from "./source.js";

const MOST_DROPPED = 8; // dropped regions drawn on a card, those with the best scores first
const MOST_TEXTS = 3;
const MOST_LABELS = 10;
const MOST_STRATA = 3;

// `asked`: which annotations the filters ask for, or null. They are drawn and stand out.
export function card(image, asked) {
  const links = new Links();
  const drawn = drawnOn(image, asked);
  const regions = Object.fromEntries(image.regions.map((region) => [region.id, region]));
  const view = picture({ ...image, large: "" }, drawn, links);
  const id = `gallery-name-${image.id}`;
  const article = el("article", { class: "gallery-card", "aria-labelledby": id, "data-image": image.id },
    el("header", {},
      el("h3", { class: "gallery-name", id },
        el("a", { class: "gallery-open", href: `#image=${encodeURIComponent(image.id)}` }, splitName(image.name || image.id))),
      badges(image)),
    // For the mouse. With the keyboard, the link does the same.
    el("div", { class: "gallery-zoom", on: { click: () => { location.hash = `image=${encodeURIComponent(image.id)}`; } } }, view),
    labelChips(drawn, links),
    textsOf(image, asked).map((text) => caption(text, regions, links)),
    remarks(image, asked, drawn),
    strataOf(image));
  links.root = article;
  markAsked(article, drawn, asked);
  return article;
}

function strataOf(image) {
  const more = image.strata.length - MOST_STRATA;
  const shown = image.strata.slice(0, MOST_STRATA).join(" · ");
  return shown && el("p", { class: "gallery-strata" }, "Chosen: ", data(shown), more > 0 && ` + ${more} more`);
}

export function badges(image) {
  const failed = image.failures.filter((failure) => failure.reason !== "skipped");
  return el("p", { class: "gallery-badges" },
    el("span", { class: `gallery-badge ${stateOf(image)}` }, image.kept === false && failed.length ? "failed" : visible(verdict(image))),
    image.split && image.split !== "train" && el("span", { class: "gallery-badge" }, visible(image.split)),
    el("span", { class: "gallery-size" }, `${image.width} × ${image.height}`));
}

function drawnOn(image, asked) {
  const standing = image.regions.filter((region) => region.kept !== false || region.merged_into);
  const dropped = image.regions.filter((region) => region.kept === false && !region.merged_into);
  const first = asked ? [...dropped.filter(asked), ...dropped.filter((region) => !asked(region))] : dropped;
  return [...standing, ...first.slice(0, MOST_DROPPED)];
}

function textsOf(image, asked) {
  const wanted = (text) => asked && [text, ...text.phrases].some(asked);
  const order = (text) => (wanted(text) ? 0 : 4) + (text.kept === false ? 2 : 0) + (text.phrases.length ? 0 : 1);
  return [...image.texts].sort((a, b) => order(a) - order(b)).slice(0, MOST_TEXTS);
}

// A button for each label, those of kept regions first: focusing it lights its regions.
function labelChips(drawn, links) {
  const groups = new Map();
  for (const region of drawn) {
    if (region.merged_into || !(region.label || region.words)) continue;
    const state = stateOf(region);
    const label = region.label || `“${region.words}”`;
    const key = `${state} ${label}`;
    if (!groups.has(key)) groups.set(key, { state, label, hue: hueOf(region.label || region.kind), ids: [] });
    groups.get(key).ids.push(region.id);
  }
  const chips = [...groups.values()].slice(0, MOST_LABELS).map(({ state, label, hue, ids }) => {
    const button = el("button", {
      type: "button", class: `gallery-chip ${state} ${hue}`, on: { click: () => links.toggle(ids) },
    }, data(cut(label, 60)), ids.length > 1 && ` × ${ids.length}`, state === "is-dropped" && " dropped");
    links.join(button, ids);
    return el("li", {}, button);
  });
  const more = groups.size - chips.length;
  return chips.length > 0 && el("ul", { class: "gallery-chips", "aria-label": "Labels" },
    chips, more > 0 && el("li", { class: "gallery-note" }, `+ ${more} more`));
}

// What the card does not show.
function remarks(image, asked, drawn) {
  const notes = image.failures.filter((failure) => failure.reason !== "skipped").slice(0, 3)
    .map((failure) => el("p", { class: "gallery-bad" }, el("bdi", {}, visible(`${failure.component}: ${failure.reason}`))));
  const hidden = image.regions.length - drawn.length + (image.left_out.regions || 0);
  const texts = image.texts.length - MOST_TEXTS + (image.left_out.texts || 0);
  const more = [hidden > 0 && count(hidden, "more region"), texts > 0 && count(texts, "more text")].filter(Boolean);
  if (asked) notes.push(el("p", { class: "gallery-note" }, `${count(annotations(image).filter(asked).length, "annotation")} of this image fit the filters`));
  if (more.length) notes.push(el("p", { class: "gallery-note" }, `+ ${more.join(", ")}`));
  return notes;
}

function markAsked(article, drawn, asked) {
  const fitting = new Set(asked ? drawn.filter(asked).map((region) => region.id) : []);
  if (!fitting.size) return;
  article.classList.add("has-match");
  for (const shape of article.querySelectorAll(".gallery-region")) {
    shape.classList.toggle("is-match", fitting.has(shape.dataset.region));
  }
}
