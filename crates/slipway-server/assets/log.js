// The log viewer. The page already holds the last lines; this follows what comes, fetches what is above, and searches.
// Lines are rendered by the server (escaped, ANSI colours as classes), here they are only put in their place.

const viewer = document.querySelector(".logview[data-stream]");
if (viewer) start(viewer);

function start(viewer) {
  const body = viewer.querySelector(".log-body");
  const list = body.querySelector("ol");
  const count = viewer.querySelector("[data-lines]");
  const say = (text) => { document.getElementById("live").textContent = text; };
  const following = () => viewer.classList.contains("is-follow");
  const toEnd = () => { body.scrollTop = body.scrollHeight; };
  const numberOf = (line) => Number(line.id.slice(1));
  const firstShown = () => (list.firstElementChild ? numberOf(list.firstElementChild) : 1);
  const lastShown = () => (list.lastElementChild ? numberOf(list.lastElementChild) : 0);

  const toItems = (html) => {
    const holder = document.createElement("template");
    holder.innerHTML = html;
    return [...holder.content.children];
  };

  // A line that is there already is replaced: the last one may have been unfinished.
  const put = (items) => {
    for (const item of items) {
      const old = document.getElementById(item.id);
      if (old) old.replaceWith(item);
      else if (numberOf(item) > lastShown()) list.append(item);
    }
  };

  // Toggles: <button data-log="follow|wrap|times">
  viewer.addEventListener("click", (event) => {
    const button = event.target.closest("[data-log]");
    if (!button) return;
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    viewer.classList.toggle(`is-${button.dataset.log}`, on);
    if (button.dataset.log === "follow" && on) toEnd();
  });
  const pause = () => {
    viewer.classList.remove("is-follow");
    viewer.querySelector('[data-log="follow"]')?.setAttribute("aria-pressed", "false");
  };
  // Scrolling up is reading: stop following.
  body.addEventListener("wheel", (event) => { if (event.deltaY < 0) pause(); }, { passive: true });
  body.addEventListener("keydown", (event) => { if (["ArrowUp", "PageUp", "Home"].includes(event.key)) pause(); });

  const fetchLines = async (query) => {
    const answer = await fetch(`${viewer.dataset.more}?${new URLSearchParams(query)}`);
    if (!answer.ok) throw new Error(String(answer.status));
    return toItems(await answer.text());
  };

  const more = viewer.querySelector(".log-more");
  const earlier = async () => {
    const height = body.scrollHeight;
    list.prepend(...await fetchLines({ before: firstShown() }));
    body.scrollTop += body.scrollHeight - height;
    if (firstShown() <= 1) more?.remove();
  };
  more?.addEventListener("click", (event) => { event.preventDefault(); pause(); earlier().catch(() => say("Could not load earlier lines")); });

  // #L123: a permalink, also to a line that is not on the page.
  const toLine = async () => {
    const number = Number(/^#L(\d+)$/.exec(location.hash)?.[1]);
    if (!number) return;
    pause();
    if (!document.getElementById(`L${number}`)) list.replaceChildren(...await fetchLines({ around: number }));
    document.getElementById(`L${number}`)?.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", () => toLine().catch(() => say("Could not load that line")));

  // Search: marks the lines that hold the words, and goes to the first; lines that are not on the page are looked up at the server.
  let searches = 0;
  viewer.addEventListener("input", (event) => { if (event.target.matches("[data-log-search]")) search(event.target.value.trim()); });
  viewer.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches("[data-log-search]")) return;
    event.preventDefault();
    const hits = [...list.querySelectorAll(".is-hit")];
    const at = hits.findIndex((line) => line.classList.contains("is-at"));
    hits[at]?.classList.remove("is-at");
    const next = hits[(at + (event.shiftKey ? hits.length - 1 : 1)) % (hits.length || 1)];
    next?.classList.add("is-at");
    next?.scrollIntoView({ block: "center" });
  });
  async function search(words) {
    const mine = ++searches;
    pause();
    const hits = mark(words);
    hits[0]?.scrollIntoView({ block: "center" });
    say(words ? `${hits.length} lines` : "");
    if (!words || hits.length || firstShown() <= 1) return;
    const found = await fetchLines({ find: words }).catch(() => []);
    if (mine !== searches || !found.length) return;
    list.replaceChildren(...found);
    mark(words)[0]?.scrollIntoView({ block: "center" });
  }
  function mark(words) {
    const wanted = words.toLowerCase();
    return [...list.children].filter((line) => {
      const hit = wanted !== "" && line.querySelector(".s").textContent.toLowerCase().includes(wanted);
      line.classList.toggle("is-hit", hit);
      line.classList.remove("is-at");
      return hit;
    });
  }

  // The stream goes on after the last line on the page; the browser resumes it with Last-Event-ID by itself.
  if (viewer.dataset.stream) {
    const source = new EventSource(`${viewer.dataset.stream}?after=${Math.max(lastShown() - 1, 0)}`);
    const lost = (yes) => viewer.classList.toggle("is-lost", yes);
    source.addEventListener("open", () => lost(false));
    source.addEventListener("error", () => lost(true));
    source.addEventListener("lines", (event) => {
      put(toItems(event.data));
      // Memory stays bounded while following: what scrolled far away can be fetched again.
      if (following()) while (list.children.length > 5000) list.firstElementChild.remove();
      if (count) count.textContent = lastShown().toLocaleString("en");
      if (following()) toEnd();
    });
    source.addEventListener("over", () => { source.close(); viewer.classList.remove("is-live"); lost(false); });
  }
  if (location.hash) toLine().catch(() => {});
  else if (following()) toEnd();
}
