// The picture of an image with its regions drawn over it, all in one SVG in pixels of the upright image.

import { cut, hueOf, nameOf, stateOf, svg, verdict, visible } from "./dom.js";

const LABEL = 12; // height of a region's label on the screen, in pixels
const FEW = 8; // kept regions of a picture that are labelled without being lit
const MANY = 16; // with more kept regions, their outlines are thin

// `drawn`: the regions to draw. `links`: hovering a region lights what belongs to it.
export function picture(image, drawn, links) {
  const { width, height } = image;
  const kept = drawn.filter((region) => region.kept !== false && !region.merged_into);
  const root = svg("svg", {
    class: `gallery-picture ${kept.length <= FEW ? "has-few" : kept.length > MANY ? "has-many" : ""}`, viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": described(image, drawn),
  });
  root.append(image.src
    ? svg("image", { href: image.large || image.src, width, height, preserveAspectRatio: "none" })
    : placeholder(image));
  const bySize = [...drawn].sort((a, b) => areaOf(b) - areaOf(a)); // small ones on top, so that each can be reached
  root.append(...bySize.map((region) => regionShape(region, image, links)));
  watchSize(root, image);
  return root;
}

function described(image, drawn) {
  const names = new Map();
  for (const region of drawn) {
    if (region.merged_into) continue;
    const name = `${region.label || region.words || region.kind}${region.kept === false ? " (dropped)" : ""}`;
    names.set(name, (names.get(name) || 0) + 1);
  }
  const listed = [...names].map(([name, number]) => (number > 1 ? `${number} × ${name}` : name));
  const what = image.src ? `Picture ${image.name}` : `${image.name} cannot be read: ${image.unreadable}`;
  return visible(cut(`${what}. Regions: ${listed.join(", ") || "none"}.`, 600));
}

function placeholder(image) {
  const { width, height } = image;
  const size = Math.max(Math.min(width / 24, height / 5), 1);
  const line = (text, y) => svg("text", { x: width / 2, y, "font-size": size, "text-anchor": "middle" }, visible(text));
  const reason = Array.from(image.unreadable || "no picture");
  const lines = [];
  for (let start = 0; start < Math.min(reason.length, 120); start += 40) lines.push(reason.slice(start, start + 40).join(""));
  return svg("g", { class: "gallery-placeholder" },
    svg("rect", { width, height }),
    line("This image cannot be read", height / 2 - size),
    lines.map((text, n) => line(text, height / 2 + size * (0.5 + 1.3 * n))));
}

function areaOf(region) {
  const [x1, y1, x2, y2] = region.box;
  return (x2 - x1) * (y2 - y1);
}

function regionShape(region, image, links) {
  const group = svg("g", {
    class: `gallery-region ${stateOf(region)} ${hueOf(region.label || region.kind)}${region.kind === "text" ? " is-printed" : ""}`,
    "data-region": region.id,
  });
  const path = outlineOf(region);
  if (region.mask) group.append(svg("path", { class: "gallery-mask", d: region.mask, "fill-rule": "evenodd" }));
  group.append(svg("path", { class: "gallery-halo", d: path }), svg("path", { class: "gallery-outline", d: path }));
  group.append(label(region, image), svg("title", {}, visible(`${nameOf(region, 200)} — ${region.producer}, ${verdict(region)}`)));
  links.join(group, [region.id]);
  return group;
}

function outlineOf(region) {
  const [x1, y1, x2, y2] = region.box;
  const corners = region.quad.length === 8 ? region.quad : [x1, y1, x2, y1, x2, y2, x1, y2];
  const points = [0, 2, 4, 6].map((n) => `${corners[n]},${corners[n + 1]}`);
  return `M${points.join(" ")}Z`;
}

// At the top left of the region, or at its right edge where the picture ends soon; below the edge at the very top.
function label(region, image) {
  const [x1, y1, x2] = region.box;
  const atEnd = x1 > image.width * 0.7;
  const rule = region.kept === false && !region.merged_into ? ` · ${region.rule}` : "";
  return svg("text", {
    class: "gallery-label", x: atEnd ? Math.min(x2, image.width) : Math.max(x1, 0), y: Math.max(y1, 0),
    dx: atEnd ? "-0.15em" : "0.15em", dy: y1 < image.height * 0.08 ? "1em" : "-0.3em", "text-anchor": atEnd ? "end" : "start",
  }, visible(nameOf(region, 24) + rule));
}

// Labels keep their height on the screen, whatever the scale of the picture.
function watchSize(root, image) {
  new ResizeObserver(([entry]) => {
    const { width, height } = entry.contentRect;
    const scale = Math.min(width / image.width, height / image.height);
    if (scale > 0) root.setAttribute("font-size", LABEL / scale);
  }).observe(root);
}
