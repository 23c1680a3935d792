// The parts of the dialog: facts of the image, tables of its annotations, commands to paste.

import { copyable, count, cut, data, el, nameOf, number, shellQuoted, verdict, visible } from "./dom.js";

export function facts(image) {
  const sources = image.sources.map((source) => el("li", {},
    !source.uri.startsWith(source.source) && [data(source.source), ": "], data(source.uri)));
  const more = image.left_out.sources || 0;
  return el("dl", { class: "gallery-list" },
    fact("Image id", el("code", {}, visible(image.id))),
    image.split && fact("Split", data(image.split)),
    fact("Licence", image.licence ? data(image.licence) : "not given"),
    image.strata.length > 0 && fact("Chosen for", data(image.strata.join(" · "))),
    fact("Sources", el("ul", {}, sources, more > 0 && el("li", { class: "gallery-note" }, `${more} more`))),
    image.unreadable && fact("Cannot be read", el("span", { class: "gallery-bad" }, data(image.unreadable))));
}

function fact(name, value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}

// What one region is, and the commands that say more about it or about the whole image.
export function commands(image, region, dataset) {
  const command = ["engine", "why", "-d", dataset, image.id, ...(region ? [region.id] : [])];
  const quoted = (text) => `'${text.replaceAll("'", "''")}'`;
  const and = region ? ` AND annotation_id = ${quoted(region.id)}` : "";
  const sql = `SELECT * FROM regions WHERE image_id = ${quoted(image.id)}${and}`;
  const texts = region ? image.region_texts.filter((text) => text.region === region.id) : [];
  const changes = region ? image.changes.filter((change) => change.old === region.id || change.new === region.id) : [];
  return [
    el("h3", {}, region ? data(nameOf(region, 80)) : "The whole image"),
    region && el("p", {}, data(`${region.id} · ${verdict(region)}`)),
    ...texts.map((text) => el("p", {}, data(text.text), " ", el("span", { class: "gallery-about" }, visible(`${text.granularity} · ${text.producer} · ${verdict(text)}`)))),
    ...changes.map((change) => el("p", {}, data(`Round ${change.round}: ${changeWords(change)}`))),
    copyable(command.map(shellQuoted).join(" ")),
    copyable(sql),
  ].filter(Boolean);
}

function changeWords({ rule, old_label: before, new_label: after }) {
  const words = cut(rule.replaceAll("_", " "), 60);
  if (before === after || !before || !after) return `${words} (${cut(after || before, 120)})`;
  return `${words}, from ${cut(before, 120)} to ${cut(after, 120)}`;
}

// Three tables: kept regions, dropped ones, merged ones. `select(id)` is called for the region of a row.
export function regionTables(image, links, select) {
  const merged = image.regions.filter((region) => region.merged_into);
  const dropped = image.regions.filter((region) => !region.merged_into && region.kept === false);
  const kept = image.regions.filter((region) => !region.merged_into && region.kept !== false);
  const left = image.left_out.regions || 0;
  return [
    regionTable("Regions kept or not judged yet", kept, links, select, true),
    regionTable("Dropped regions", dropped, links, select, kept.length === 0),
    regionTable("Regions merged into others", merged, links, select, false),
    left > 0 && el("p", { class: "gallery-note" }, `${count(left, "more region")} left out, those with the lowest scores.`),
  ];
}

function regionTable(title, regions, links, select, open) {
  if (!regions.length) return null;
  const rows = regions.map((region) => {
    const button = el("button", { type: "button", class: "gallery-row", on: { click: () => select(region.id) } }, data(nameOf(region, 60)));
    const score = region.score === null ? "" : `${number(region.score)} ${region.score_kind}`;
    const made = [...new Set([...region.support, ...region.parents])].join(", ");
    const cells = [region.kind, score || region.score_kind, region.producer, String(region.round), verdict(region), made];
    const row = el("tr", { "data-region": region.id }, el("th", { scope: "row" }, button), cells.map((cell) => el("td", {}, data(cell))));
    links.join(row, [region.id]);
    return row;
  });
  return folded(title, ["Region", "Kind", "Score", "Producer", "Round", "Verdict", "Made of"], rows, open);
}

export function otherTables(image) {
  const rows = (items, ...fields) => items.map((item) => el("tr", {}, fields.map((field, n) =>
    el(n ? "td" : "th", n ? {} : { scope: "row" }, data(field(item))))));
  const judged = [(item) => item.producer, (item) => verdict(item)];
  const left = (name) => (image.left_out[name] ? ` (${image.left_out[name]} more left out)` : "");
  return [
    folded(`Tags${left("tags")}`, ["Tag", "Score", "Producer", "Verdict"],
      rows(image.tags, (item) => item.label, (item) => number(item.score), ...judged), false),
    folded(`Texts of regions${left("region_texts")}`, ["Text", "Region", "Kind", "Producer", "Verdict"],
      rows(image.region_texts, (item) => item.text, (item) => item.region, (item) => item.granularity, ...judged), false),
    folded(`Measurements${left("scores")}`, ["Name", "Value", "Result", "Producer"],
      rows(image.scores, (item) => item.name, (item) => number(item.value, 4), (item) => item.code, (item) => item.producer), false),
    folded(`Changes by rounds${left("changes")}`, ["Change", "Round", "Before", "After", "Old id", "New id"],
      rows(image.changes, (item) => item.rule, (item) => String(item.round), (item) => item.old_label, (item) => item.new_label,
        (item) => item.old, (item) => item.new), true),
    folded(`Failures${left("failures")}`, ["Node", "Component", "Reason", "Error"],
      rows(image.failures, (item) => item.node, (item) => item.component, (item) => item.reason, (item) => item.error), true),
  ];
}

function folded(title, columns, rows, open) {
  if (!rows.length) return null;
  const name = `${title}: ${rows.length}`;
  return el("details", { open },
    el("summary", {}, name),
    el("div", { class: "gallery-scroll", tabindex: 0, role: "region", "aria-label": name },
      el("table", {},
        el("caption", { class: "gallery-hidden" }, title),
        el("thead", {}, el("tr", {}, columns.map((column) => el("th", { scope: "col" }, column)))),
        el("tbody", {}, rows))));
}
