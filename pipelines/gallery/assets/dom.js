// Elements and words of the page. Text from data becomes text nodes only, never markup.

const SVG = "http://www.w3.org/2000/svg";

// el("p", {class: "x", on: {click: f}}, "text", child): attributes that are null, undefined or false are left out.
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    element.append(typeof child === "object" ? child : document.createTextNode(String(child)));
  }
  return element;
}

// A text of the data, in its own direction.
export function data(text, name = "bdi") {
  return el(name, {}, visible(text));
}

// Control characters as symbols; directional overrides, which would turn the words around them, as their codes.
export function visible(text) {
  const symbols = String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (char) =>
    char === "\u007f" ? "\u2421" : String.fromCodePoint(0x2400 + char.codePointAt(0)));
  return symbols.replace(/[\u202a-\u202e\u2066-\u2069]/g, (char) => `[U+${char.codePointAt(0).toString(16).toUpperCase()}]`);
}

export function cut(text, length) {
  const characters = Array.from(String(text));
  return characters.length > length ? `${characters.slice(0, length - 1).join("")}…` : String(text);
}

// A name of which the end stays in view where there is no room for all of it: the ends of file names tell them apart.
export function splitName(text) {
  const characters = Array.from(visible(text));
  return el("bdi", { class: "gallery-split" },
    el("span", {}, characters.slice(0, -10).join("")), el("span", {}, characters.slice(-10).join("")));
}

export function number(value, digits = 3) {
  if (value === null || value === undefined) return "";
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(digits)));
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

// "dropped by min_score (0.21, limit 0.3)"
export function verdict(item) {
  if (item.merged_into) return `merged into ${item.merged_into}`;
  if (item.kept === null || item.kept === undefined) return "not judged yet";
  if (item.kept) return "kept";
  const limits = item.value === null ? "" : ` (${number(item.value, 4)}, limit ${number(item.threshold, 4)})`;
  return `dropped by ${item.rule || "a rule"}${limits}`;
}

// What a region is called: its label, the words in it, or its kind; and its score.
export function nameOf(region, length = 40) {
  const name = region.label || (region.words ? `“${region.words}”` : region.kind);
  return cut(name, length) + (region.score === null ? "" : ` ${region.score.toFixed(2)}`);
}

// is-kept, is-dropped, is-merged or is-unjudged
export function stateOf(item) {
  if (item.merged_into || item.rule === "merged") return "is-merged";
  if (item.kept === false) return "is-dropped";
  return item.kept ? "is-kept" : "is-unjudged";
}

// One of twelve colours, the same for the same label everywhere.
export function hueOf(label) {
  let hash = 7;
  for (const char of String(label)) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  return `hue-${hash % 12}`;
}

// A button that copies a text, or selects it where the browser does not allow copying.
export function copyable(text) {
  const code = el("code", {}, visible(text));
  const button = el("button", { type: "button", class: "gallery-copy", on: { click: copy } }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }
  return el("div", { class: "gallery-command" }, el("pre", { tabindex: 0 }, code), button);
}

export function shellQuoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
