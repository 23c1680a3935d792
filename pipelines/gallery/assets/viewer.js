// The dialog with one image: large, with everything that the record has about it.

import { badges } from "./card.js";
import { caption } from "./caption.js";
import { data, el, visible } from "./dom.js";
import { commands, facts, otherTables, regionTables } from "./details.js";
import { layerBoxes } from "./filters.js";
import { Links } from "./links.js";
import { picture } from "./picture.js";

export class Viewer {
  // `go(image id, region id)` changes the address; `step(-1 or 1)` goes to the image before or after; `closed()` is
  // called after the dialog was closed.
  constructor(dataset, { go, step, closed }) {
    this.dataset = dataset;
    this.go = go;
    this.step = step;
    this.title = el("h2", { class: "gallery-title", id: "gallery-dialog-title", tabindex: -1 });
    this.body = el("div", { class: "gallery-body" });
    this.layers = layerBoxes(this.body, "gallery-large");
    this.before = this.#button("Previous image", "‹", () => step(-1));
    this.after = this.#button("Next image", "›", () => step(1));
    this.dialog = el("dialog", { class: "gallery-dialog", "aria-labelledby": "gallery-dialog-title" },
      el("header", { class: "gallery-bar" }, this.title, this.before, this.after, this.#button("Close", "×", () => this.dialog.close())),
      this.body);
    this.dialog.addEventListener("close", closed);
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
  }

  #button(name, sign, click) {
    return el("button", { type: "button", class: "gallery-button", "aria-label": name, title: name, on: { click } }, sign);
  }

  // Left and right go to the images before and after. Escape closes; the browser does that.
  #key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const scrolls = event.target.matches("input, pre, .gallery-scroll");
    if (!step || scrolls || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.step(step);
  }

  // Shows an image. `region`: the id of a region to point out; '' for none.
  show(image, region, { first, last }) {
    const same = this.image?.id === image.id && this.dialog.open;
    if (!same) this.#fill(image);
    this.before.disabled = first;
    this.after.disabled = last;
    this.#select(region);
    if (!this.dialog.open) this.dialog.showModal();
    if (!same) {
      this.dialog.scrollTop = 0;
      this.title.focus();
    }
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  #fill(image) {
    this.image = image;
    this.links = new Links();
    this.links.root = this.body;
    this.regions = Object.fromEntries(image.regions.map((region) => [region.id, region]));
    const view = picture(image, image.regions, this.links);
    view.addEventListener("click", (event) => {
      const shape = event.target.closest(".gallery-region");
      this.go(image.id, shape && shape.dataset.region !== this.selected ? shape.dataset.region : "");
    });
    this.panel = el("section", { class: "gallery-selected", "aria-live": "polite" });
    const texts = image.texts.map((text) => caption(text, this.regions, this.links, true));
    this.title.replaceChildren(data(image.name || image.id));
    this.body.replaceChildren(
      el("div", { class: "gallery-large" }, this.layers, view, this.panel),
      el("div", { class: "gallery-facts" },
        badges(image), facts(image),
        el("h3", {}, `Texts (${image.texts.length + (image.left_out.texts || 0)})`),
        texts.length ? texts : el("p", { class: "gallery-note" }, "This image has no texts."),
        image.left_out.texts && el("p", { class: "gallery-note" }, `${image.left_out.texts} more are left out.`),
        regionTables(image, this.links, (id) => this.go(image.id, id)), otherTables(image)));
  }

  #select(id) {
    const region = this.regions[id];
    this.selected = region ? id : "";
    const missing = id && !region
      ? el("p", { class: "gallery-bad" }, visible(`This record has no region ${id}: it may be one of those left out.`)) : null;
    this.panel.replaceChildren(...[missing, ...commands(this.image, region, this.dataset)].filter(Boolean));
    this.links.pin(region ? [id] : []);
    const row = [...this.body.querySelectorAll("tr[data-region]")].find((one) => one.dataset.region === this.selected);
    for (const one of this.body.querySelectorAll("tr[aria-current]")) one.removeAttribute("aria-current");
    if (!row) return;
    row.setAttribute("aria-current", "true");
    row.closest("details").open = true;
    row.scrollIntoView({ block: "nearest" });
  }
}
