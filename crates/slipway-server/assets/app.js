// What every page needs: theme, copy, dialogs, toasts. Loaded in <head> without defer, so that the theme is set
// before the first paint. Pages work without it; only copying and the theme button do not.
(() => {
  const root = document.documentElement;
  const remembered = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const apply = (theme) => { if (theme === "light" || theme === "dark") root.dataset.theme = theme; };
  apply(remembered());
  root.classList.add("has-script");
  const isDark = () => root.dataset.theme === "dark"
    || (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);

  // Says something to screen readers.
  const say = (text) => { const live = document.getElementById("live"); if (live) live.textContent = text; };

  const acts = {
    // <button data-act="theme">
    theme() {
      const theme = isDark() ? "light" : "dark";
      apply(theme);
      try { localStorage.setItem("theme", theme); } catch { /* private mode: for this page only */ }
      say(`Theme: ${theme}`);
    },
    // <button data-act="copy" data-copy="text">
    async copy(button) {
      try { await navigator.clipboard.writeText(button.dataset.copy); } catch { return say("Could not copy"); }
      button.classList.add("is-done");
      say("Copied");
      setTimeout(() => button.classList.remove("is-done"), 1600);
    },
    // <a data-act="open" data-target="id" href="#id">: without script, `dialog:target` shows it.
    open(button, event) {
      const dialog = document.getElementById(button.dataset.target);
      if (!dialog) return;
      event.preventDefault();
      dialog.showModal();
    },
    // <button data-act="close">, <button data-act="dismiss">
    close(button, event) {
      const dialog = button.closest("dialog");
      if (!dialog?.open) return;
      event.preventDefault();
      dialog.close();
    },
    dismiss(button) { button.closest(".toast")?.remove(); },
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (button) acts[button.dataset.act]?.(button, event);
  });

  // <form data-now>: on its way already; without script, its button does it.
  document.addEventListener("DOMContentLoaded", () => document.querySelector("form[data-now]")?.requestSubmit());

  // The address says what was done (?done=…); once said, a reload need not say it again.
  document.addEventListener("DOMContentLoaded", () => {
    const address = new URL(location.href);
    if (!address.searchParams.has("done")) return;
    address.searchParams.delete("done");
    history.replaceState(null, "", address);
  });
})();
