// What belongs together: regions in the picture, phrases that name them, rows about them, labels in the legend.
// Hovering or focusing one lights all. `pin` keeps it so until the next pin, or until nothing is pinned.

export class Links {
  constructor() {
    this.root = null; // the element that gets the class has-lit
    this.members = new Map(); // region id -> elements
    this.pinned = [];
  }

  // The element lights these regions, and is lit with any of them.
  join(element, ids) {
    for (const id of ids) {
      if (!this.members.has(id)) this.members.set(id, []);
      this.members.get(id).push(element);
    }
    element.addEventListener("pointerenter", () => this.light(ids));
    element.addEventListener("pointerleave", () => this.light(this.pinned));
    element.addEventListener("focusin", () => this.light(ids));
    element.addEventListener("focusout", () => this.light(this.pinned));
  }

  light(ids) {
    for (const elements of this.members.values()) for (const one of elements) one.classList.remove("is-lit");
    const lit = ids.flatMap((id) => this.members.get(id) || []);
    for (const one of lit) one.classList.add("is-lit");
    this.root?.classList.toggle("has-lit", lit.length > 0);
  }

  pin(ids) {
    this.pinned = ids;
    this.light(ids);
  }

  // Pins these regions, or unpins them if they are pinned.
  toggle(ids) {
    this.pin(ids.length > 0 && ids.every((id) => this.pinned.includes(id)) ? [] : ids);
  }
}
