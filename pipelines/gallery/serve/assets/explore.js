// The page of `engine explore`: asks the server for images and shows them with the gallery of gallery.js.
//
// Conditions are kept in the address (?label=cat&where=...), so that a reload or a copied link shows the same images.
// All addresses are relative: the first part of the path is the token of the server.

const { mount, complete } = globalThis.engineGallery;
const find = (id) => document.getElementById(id);
const conditions = find("conditions");
const OWN = ["where", "seed"];
const FILTERS = ["stratum", "label", "rule", "producer", "kept", "text"];

function report(sentence) {
  find("problem").textContent = sentence;
  find("problem").hidden = sentence === "";
}

// The JSON at an address. An error of the server is one sentence.
async function asked(address) {
  const answer = await fetch(address);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

function own() {
  return Object.fromEntries(OWN.map((name) => [name, conditions.elements[name].value.trim()]));
}

function remember(query) {
  const address = new URL(location.href);
  for (const name of [...FILTERS, ...OWN]) {
    if (query[name]) address.searchParams.set(name, query[name]);
    else address.searchParams.delete(name);
  }
  if (address.href !== location.href) history.replaceState(null, "", address);
}

// A source of gallery.js (see source.js), with the conditions of this page.
function sourceOf(facts) {
  async function page(query) {
    const conditions = query.image ? query : { ...query, ...own() };
    if (!query.image) remember(conditions);
    const given = Object.entries(conditions).filter(([, value]) => value !== "" && value !== undefined);
    try {
      const { total, images } = await asked(`images?${new URLSearchParams(given)}`);
      report("");
      return { total, images: images.map(complete) };
    } catch (error) {
      report(error.message);
      throw error;
    }
  }
  return { ...facts, page };
}

function describe(facts) {
  const name = facts.dataset.split("/").filter(Boolean).pop() || facts.dataset;
  document.title = `Explore ${name}`;
  find("title").textContent = `Explore ${name}`;
  const parts = [facts.dataset, facts.of, `${facts.total.toLocaleString("en")} images`];
  if (facts.all_labels > facts.labels.length) {
    parts.push(`the filter lists ${facts.labels.length.toLocaleString("en")} of ${facts.all_labels.toLocaleString("en")} labels`);
  }
  find("about").textContent = `${parts.filter(Boolean).join(" · ")}. Reload this page to see what a run has added.`;
}

// Fills the controls of a form with the conditions of an address. Returns whether there were any.
function restore(form, names, given) {
  const found = names.filter((name) => form.elements[name] && given.get(name));
  for (const name of found) form.elements[name].value = given.get(name);
  return found.length > 0;
}

async function start() {
  const facts = await asked("facts");
  describe(facts);
  const given = new URLSearchParams(location.search); // before the gallery asks for images and it is changed
  find("more").open = restore(conditions, OWN, given);
  const shown = mount(find("gallery"), sourceOf(facts));
  const filters = find("gallery").querySelector(".gallery-filters");
  if (restore(filters, FILTERS, given)) filters.dispatchEvent(new Event("input", { bubbles: true }));
  const again = () => shown.ask(shown.query);
  conditions.addEventListener("submit", (event) => {
    event.preventDefault();
    again();
  });
  conditions.addEventListener("reset", () => setTimeout(again, 0));
  find("shuffle").addEventListener("click", () => {
    conditions.elements.seed.value = String(Math.floor(Math.random() * 1e9));
    again();
  });
}

start().catch((error) => report(error.message));
