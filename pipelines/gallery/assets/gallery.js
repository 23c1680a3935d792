// The gallery: filters, pages of cards, and a dialog for one image. `mount(element, source)` draws it; source.js states
// what a source is. pipelines/gallery/script.py joins these files into one script without imports, which sets
// `globalThis.engineGallery = {mount, embedded, complete}`.
//
// The address names what is open: `#image=ID` an image, `#image=ID&region=ID` a region of it.
//
// Classes and attributes that tests and other scripts may use:
//   .gallery-filters             the form: select[name=stratum|label|rule|producer|kept], input[name=text], reset
//   .gallery-count               how many images are shown; a live region
//   .gallery-cards > li > article.gallery-card[data-image=ID]
//     a.gallery-open             opens the dialog; arrow keys go to the other cards
//     svg.gallery-picture        the picture; in it g.gallery-region[data-region=ID] with is-kept, is-dropped, is-merged
//                                or is-unjudged, and path.gallery-outline, path.gallery-mask, text.gallery-label
//     button.gallery-chip        a label; lights its regions
//     .gallery-caption[data-text=ID] with span.gallery-phrase[data-regions="ID ID"]
//   .is-lit                      what is lit, in regions, phrases, chips and rows; .has-lit is on the card or the dialog
//   .gallery-pages button[data-page=first|previous|next|last]
//   dialog.gallery-dialog        the image; tr[data-region=ID] with button.gallery-row, .gallery-command code,
//                                input[name=gallery-large-merged], buttons named "Previous image", "Next image", "Close"

import { card } from "./card.js";
import { count, el } from "./dom.js";
import { filterForm, layerBoxes, legend } from "./filters.js";
import { asksFor } from "./source.js";
import { Viewer } from "./viewer.js";

const PAGE = 24; // images on a page

export function mount(element, source) {
  const gallery = new Gallery(element, source);
  gallery.load();
  gallery.follow();
  return gallery;
}

class Gallery {
  constructor(element, source) {
    this.source = source;
    this.query = {};
    this.offset = 0;
    this.images = []; // those on this page
    this.total = 0;
    this.asking = 0; // number of the last question to the source: older answers are ignored
    this.element = element;
    this.cards = el("ul", { class: "gallery-cards" });
    this.count = el("p", { class: "gallery-count", role: "status" });
    this.pages = el("nav", { class: "gallery-pages", "aria-label": "Pages of images" });
    this.viewer = new Viewer(source.dataset, {
      go: (image, region) => this.go(image, region), step: (by) => this.step(by), closed: () => this.closed(),
    });
    element.classList.add("gallery");
    element.replaceChildren(
      filterForm(source, (query) => this.ask(query)), layerBoxes(element, "gallery"), legend(), this.count, this.cards,
      this.pages, this.viewer.dialog);
    this.cards.addEventListener("keydown", (event) => this.arrow(event));
    addEventListener("hashchange", () => this.follow());
  }

  ask(query) {
    this.query = query;
    this.offset = 0;
    return this.load();
  }

  turn(offset) {
    this.offset = offset;
    return this.load().then(() => this.count.scrollIntoView({ block: "nearest" }));
  }

  async load() {
    const asking = (this.asking += 1);
    this.element.setAttribute("aria-busy", "true");
    try {
      const { total, images } = await this.source.page({ ...this.query, offset: this.offset, limit: PAGE });
      if (asking !== this.asking) return;
      this.total = total;
      this.images = images;
      this.draw();
    } catch (error) {
      if (asking === this.asking) this.count.textContent = `The images could not be loaded: ${error.message}`;
    } finally {
      if (asking === this.asking) this.element.removeAttribute("aria-busy");
    }
  }

  draw() {
    const asked = asksFor(this.query);
    this.cards.replaceChildren(...this.images.map((image) => el("li", {}, card(image, asked))));
    const last = this.offset + this.images.length;
    const range = this.total > PAGE ? `Images ${this.offset + 1} to ${last} of ` : "";
    this.count.textContent = this.total
      ? `${range}${count(this.total, "image")}${this.total < this.source.total ? `, from a data set of ${count(this.source.total, "image")}` : ""}`
      : "No image fits: give fewer conditions.";
    this.drawPages();
  }

  drawPages() {
    const end = Math.max(0, Math.ceil(this.total / PAGE) - 1) * PAGE;
    const button = (page, name, offset) => el("button", {
      type: "button", "data-page": page, disabled: offset === this.offset || offset < 0 || offset > end,
      on: { click: () => this.turn(offset) },
    }, name);
    this.pages.hidden = end === 0;
    this.pages.replaceChildren(
      button("first", "First", 0), button("previous", "Previous", this.offset - PAGE),
      el("span", {}, `Page ${this.offset / PAGE + 1} of ${end / PAGE + 1}`),
      button("next", "Next", this.offset + PAGE), button("last", "Last", end));
  }

  // Arrow keys move between the links of the cards, by the rows in which they are drawn.
  arrow(event) {
    if (!event.target.classList.contains("gallery-open")) return;
    const links = [...this.cards.querySelectorAll(".gallery-open")];
    const tops = [...this.cards.children].map((item) => item.offsetTop);
    const columns = Math.max(1, tops.filter((top) => top === tops[0]).length);
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const to = by && links[links.indexOf(event.target) + by];
    if (!to) return;
    event.preventDefault();
    to.focus();
  }

  // --- the dialog and the address -----------------------------------------------------------

  // Opens what the address names.
  async follow() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const id = asked.get("image");
    if (!id) {
      this.viewer.close();
      return;
    }
    let image = this.images.find((one) => one.id === id);
    try {
      image ??= await this.source.image?.(id);
    } catch (error) {
      this.count.textContent = `The image could not be loaded: ${error.message}`;
      return;
    }
    if (!image) {
      this.count.textContent = `The image ${id.slice(0, 40)} is not among the ${count(this.source.total, "image")} here.`;
      this.viewer.close();
      return;
    }
    const at = this.images.findIndex((one) => one.id === id);
    this.viewer.show(image, asked.get("region") || "", {
      first: at < 0 || (at === 0 && this.offset === 0),
      last: at < 0 || this.offset + at + 1 >= this.total,
    });
  }

  go(image, region = "") {
    const address = `#image=${encodeURIComponent(image)}${region ? `&region=${encodeURIComponent(region)}` : ""}`;
    if (this.viewer.dialog.open) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    return this.follow();
  }

  // Goes to the image before or after the open one, also on another page.
  async step(by) {
    const at = this.images.findIndex((one) => one.id === this.viewer.image?.id);
    if (at < 0) return;
    if (this.images[at + by]) {
      await this.go(this.images[at + by].id);
      return;
    }
    const offset = this.offset + by * PAGE;
    if (offset < 0 || offset >= this.total) return;
    this.offset = offset;
    await this.load();
    if (this.images.length) await this.go(this.images.at(by > 0 ? 0 : -1).id);
  }

  // The address keeps no image that is closed. The focus returns to its card.
  closed() {
    if (new URLSearchParams(location.hash.slice(1)).has("image")) {
      history.replaceState(null, "", this.element.id ? `#${this.element.id}` : location.pathname + location.search);
    }
    const id = this.viewer.image?.id;
    const open = [...this.cards.querySelectorAll(".gallery-card")].find((one) => one.dataset.image === id);
    open?.querySelector(".gallery-open").focus();
  }
}
