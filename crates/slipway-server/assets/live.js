// Live pages, level-triggered like the server: an event only says "look again", and what is shown is always what the
// server renders. A lost event therefore costs a moment, never a wrong page.
//
//   <body data-live="/events/…">   an event stream whose messages mean "something changed"
//   <div data-part="name">          replaced by the part of the same name in the page as it is now
//   <div data-load="/fragment">     loaded once the page stands (what a provider must be asked for)

const parts = () => document.querySelectorAll("[data-part]");

async function lookAgain() {
  const address = new URL(location.href);
  address.searchParams.set("parts", "1"); // the server may leave out what is no part, as the log
  const answer = await fetch(address, { headers: { accept: "text/html" } });
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of parts()) {
    const now = fresh.querySelector(`[data-part="${CSS.escape(old.dataset.part)}"]`);
    // What a person is just using stays; the next event brings it up to date.
    if (!now || old.contains(document.activeElement) && old.querySelector(":focus-visible")) continue;
    keepOpen(old, now);
    if (old.innerHTML !== now.innerHTML) old.replaceChildren(...now.childNodes);
  }
}

// A disclosure that the reader opened or closed stays so.
function keepOpen(old, now) {
  for (const details of old.querySelectorAll("details[id]")) {
    const same = now.querySelector(`#${CSS.escape(details.id)}`);
    if (same && same.dataset.state === details.dataset.state) same.open = details.open;
  }
}

// At most one question under way and one waiting: a burst of events is one look.
let asking = false;
let again = false;
async function changed() {
  if (asking) { again = true; return; }
  asking = true;
  try { await lookAgain(); lost(false); } catch { lost(true); } finally {
    asking = false;
    if (again) { again = false; setTimeout(changed, 250); }
  }
}

const lost = (yes) => document.body.classList.toggle("is-lost", yes);

const stream = document.body.dataset.live;
if (stream) {
  const source = new EventSource(stream);
  let opened = false;
  source.addEventListener("open", () => { if (opened) changed(); opened = true; lost(false); });
  source.addEventListener("changed", changed);
  source.addEventListener("over", () => { source.close(); changed(); });
  source.addEventListener("error", () => lost(true));
}

async function load(place) {
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(place.dataset.load, { headers: { accept: "text/html" } });
    if (!answer.ok) throw new Error(String(answer.status));
    place.innerHTML = await answer.text();
  } catch {
    const line = document.createElement("p");
    line.className = "row";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn sm";
    button.textContent = "Try again";
    button.addEventListener("click", () => load(place));
    line.append("This part could not be loaded.", button);
    place.replaceChildren(line);
  } finally {
    place.removeAttribute("aria-busy");
  }
}

document.querySelectorAll("[data-load]").forEach(load);

// <form data-preview="/…/preview" data-into="id">: sends the form as it stands, a moment after the last key, and shows the answer.
for (const form of document.querySelectorAll("form[data-preview]")) {
  let timer = 0;
  let asked = 0;
  const show = async () => {
    const mine = ++asked;
    const into = document.getElementById(form.dataset.into);
    const body = new URLSearchParams(new FormData(form));
    for (const name of ["var_value", "password"]) body.delete(name);
    into.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(form.dataset.preview, { method: "POST", body });
      if (answer.ok && mine === asked) into.innerHTML = await answer.text();
    } finally { into.removeAttribute("aria-busy"); }
  };
  const soon = () => { clearTimeout(timer); timer = setTimeout(show, 300); };
  form.addEventListener("input", soon);
  form.addEventListener("change", soon);
  show().catch(() => {});
}

// <input data-search="/…/sources" data-into="id">: searches at the provider while one types.
for (const input of document.querySelectorAll("[data-search]")) {
  let timer = 0;
  const form = input.form;
  const find = () => {
    const into = document.getElementById(input.dataset.into);
    into.dataset.load = `${input.dataset.search}?${new URLSearchParams({
      forge: form.elements.forge?.value ?? "", owner: form.elements.owner?.value ?? "", q: input.value,
    })}`;
    load(into);
  };
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(find, 300); });
  for (const name of ["forge", "owner"]) form.elements[name]?.addEventListener("change", find);
}
