// The filters above the cards, what is drawn, and the legend.

import { count, el, svg, visible } from "./dom.js";
import { OUTCOMES } from "./source.js";

const LAYERS = [
  ["kept", "Kept regions", true], ["dropped", "Dropped regions", true], ["merged", "Merged regions", false],
  ["masks", "Masks", true], ["labels", "All labels", false],
];

// The form. `changed(query)` is called with what it asks for.
export function filterForm(source, changed) {
  const controls = {
    stratum: choice("stratum", "Chosen for", source.strata),
    label: choice("label", "Label", source.labels),
    rule: choice("rule", "Rule", source.rules),
    producer: choice("producer", "Producer", source.producers),
    kept: el("select", { name: "kept" }, (source.outcomes || OUTCOMES).map(([value, name]) => el("option", { value }, name))),
    text: el("input", { type: "search", name: "text", maxlength: 200, autocomplete: "off" }),
  };
  const named = [
    ["Chosen for", controls.stratum], ["Label", controls.label], ["Rule that dropped", controls.rule],
    ["Producer", controls.producer], ["Outcome", controls.kept], ["Words", controls.text],
  ];
  const form = el("form", { class: "gallery-filters", role: "search", "aria-label": "Filter the images" },
    named.map(([name, control]) => control && el("label", {}, el("span", {}, name), control)),
    el("button", { type: "reset" }, "Clear"));
  const query = () => Object.fromEntries(Object.entries(controls).filter(([, one]) => one).map(([key, one]) => [key, one.value.trim()]));
  let waiting = 0;
  const later = (delay) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => changed(query()), delay);
  };
  form.addEventListener("input", (event) => later(event.target === controls.text ? 250 : 0));
  form.addEventListener("reset", () => later(0));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    later(0);
  });
  return form;
}

function choice(name, title, choices) {
  if (!choices?.length) return null;
  return el("select", { name },
    el("option", { value: "" }, "All"),
    choices.map((one) => el("option", { value: one.name }, visible(`${one.name} (${count(one.number, "image")})`))));
}

// Checkboxes that show and hide parts of the pictures below `root`, by classes such as show-dropped.
export function layerBoxes(root, name, shown = {}) {
  return el("fieldset", { class: "gallery-layers" },
    el("legend", {}, "Draw"),
    LAYERS.map(([layer, title, usual]) => {
      const checked = shown[layer] ?? usual;
      const box = el("input", { type: "checkbox", name: `${name}-${layer}`, checked });
      box.addEventListener("change", () => root.classList.toggle(`show-${layer}`, box.checked));
      root.classList.toggle(`show-${layer}`, checked);
      return el("label", {}, box, ` ${title}`);
    }));
}

export function legend() {
  const entry = (state, name) => el("li", {},
    svg("svg", { class: `gallery-key hue-3 ${state}`, viewBox: "0 0 28 16", width: 28, height: 16, "aria-hidden": "true" },
      state === "is-mask" ? svg("path", { class: "gallery-mask", d: "M4,3 24,2 26,12 9,14Z" })
        : svg("path", { class: "gallery-outline", d: "M2,2 26,2 26,14 2,14Z" })),
    name);
  return el("ul", { class: "gallery-legend", "aria-label": "Legend" },
    entry("is-kept", "kept, or not judged yet; one colour for each label"), entry("is-dropped", "dropped by a rule"),
    entry("is-merged", "merged into another region"), entry("is-mask", "mask"),
    el("li", {}, el("span", { class: "gallery-phrase" }, "phrase"), " names regions: hover or focus it"));
}
