// Draws the charts, sorts tables, copies SQL and switches the theme. Text from data is only ever set as text content.
const root = document.documentElement;
const specs = JSON.parse(document.getElementById("charts").textContent);
const media = matchMedia("(prefers-color-scheme: dark)");

// --- theme: system, light or dark ---
const THEMES = ["system", "light", "dark"];
function stored() {
  try { return localStorage.getItem("engine-report-theme") || "system"; } catch { return "system"; }
}
let theme = THEMES.includes(stored()) ? stored() : "system";
function applyTheme() {
  root.dataset.theme = theme === "system" ? (media.matches ? "dark" : "light") : theme;
  document.getElementById("theme").textContent = `Theme: ${theme}`;
  redraw();
}
document.getElementById("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  try { localStorage.setItem("engine-report-theme", theme); } catch { /* a page from a file may have no storage */ }
  applyTheme();
});
media.addEventListener("change", applyTheme);

// --- charts: drawn when they come into view, and again when the theme changes ---
function config(width) {
  const style = getComputedStyle(root);
  const colour = (name) => style.getPropertyValue(name).trim();
  const text = { labelColor: colour("--ink"), titleColor: colour("--ink"), labelFontSize: 12, titleFontSize: 12 };
  const dark = root.dataset.theme === "dark";
  return {
    background: "transparent", font: "system-ui, sans-serif", view: { stroke: "transparent" },
    axis: { ...text, gridColor: colour("--line"), domainColor: colour("--faint"), tickColor: colour("--faint"), labelLimit: 200 },
    // Titles stand level above the axis and end at its right end: they are never longer than the chart is wide.
    axisX: { titleAnchor: "end", titleLimit: width - 16, tickCount: Math.max(3, Math.round(width / 120)) },
    axisY: { titleAngle: 0, titleAlign: "left", titleAnchor: "end", titleBaseline: "bottom", titleX: 0, titleY: -6, titleLimit: width - 60 },
    legend: { ...text, orient: "top", offset: 28, labelLimit: 240, columns: width < 500 ? 1 : 4 },
    header: { ...text, labelPadding: 22 }, // above the title of the vertical axis
    title: { color: colour("--ink") },
    text: { color: colour("--ink"), limit: width / 7 }, rule: { color: colour("--faint") },
    mark: { color: dark ? "#6fb1f2" : "#1f6fbf" },
    range: {
      category: { scheme: dark ? "set2" : "tableau10" },
      heatmap: { scheme: dark ? "darkblue" : "blues" }, ramp: { scheme: dark ? "darkblue" : "blues" },
    },
  };
}
const drawn = new Map(); // element of a chart: its Vega view, or null while it is being drawn
async function draw(element) {
  const old = drawn.get(element);
  if (old) old.finalize();
  drawn.set(element, null);
  const options = {
    ast: true, renderer: "svg", actions: false, defaultStyle: false, config: config(element.clientWidth),
    tooltip: { disableDefaultStyle: true },
  };
  const { view } = await window.vegaEmbed(element, specs[element.dataset.chart], options);
  drawn.set(element, view);
  if (element.scrollWidth > element.clientWidth) { // a chart that scrolls must be reachable with the keyboard
    element.tabIndex = 0;
    element.setAttribute("role", "region");
    element.setAttribute("aria-labelledby", element.closest("[aria-labelledby]").getAttribute("aria-labelledby"));
  }
  element.dataset.drawn = root.dataset.theme;
}
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting && !drawn.has(entry.target)) draw(entry.target);
  }
}, { rootMargin: "400px" });
function redraw() {
  for (const element of drawn.keys()) draw(element);
}
for (const element of document.querySelectorAll("[data-chart]")) seen.observe(element);
addEventListener("beforeprint", () => {
  for (const element of document.querySelectorAll("[data-chart]")) if (!drawn.has(element)) draw(element);
});

// --- tables ---
function compare(a, b, numeric) {
  if (a === "" || b === "") return (a === "") - (b === ""); // rows without a value come last
  return numeric ? Number(a) - Number(b) : a.localeCompare(b);
}
function sort(header) {
  const table = header.closest("table");
  const column = [...header.parentElement.children].indexOf(header);
  const numeric = header.classList.contains("number");
  const descending = header.getAttribute("aria-sort") ? header.getAttribute("aria-sort") === "ascending" : numeric;
  const value = (row) => row.children[column].dataset.value;
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => {
    const order = compare(value(a), value(b), numeric);
    return descending && value(a) !== "" && value(b) !== "" ? -order : order;
  });
  for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  table.tBodies[0].append(...rows);
}
for (const header of document.querySelectorAll(".sortable th")) {
  header.querySelector("button").addEventListener("click", () => sort(header));
}

// --- SQL ---
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("pre code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch { // without permission: select it, so that Ctrl-C copies it
      getSelection().selectAllChildren(code);
      button.textContent = "Selected: press Ctrl-C";
    }
  });
}

// --- a link to a figure opens its table ---
function openTarget() {
  let name = "";
  try { name = decodeURIComponent(location.hash.slice(1)); } catch { /* a malformed address names no figure */ }
  const rows = document.getElementById(name)?.querySelector(":scope > details.rows");
  if (rows) rows.open = true;
}
addEventListener("hashchange", openTarget);
openTarget();
applyTheme();
root.dataset.ready = "yes";
