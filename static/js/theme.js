/* Light or dark: the system's wish, or the reader's. Runs before the page is drawn, hence no module. */
(() => {
  const NEXT = { system: "light", light: "dark", dark: "system" };
  const WORDS = { system: "Auto", light: "Light", dark: "Dark" };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let wish = localStorage.getItem("theme") ?? "system";

  function show() {
    const theme = wish === "system" ? (dark.matches ? "dark" : "light") : wish;
    document.documentElement.dataset.theme = theme;
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      button.hidden = false;
      button.querySelector("span").textContent = WORDS[wish];
      button.setAttribute("aria-label", `Colours: ${WORDS[wish]}`);
    }
    document.dispatchEvent(new Event("themechange"));
  }

  show();
  dark.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", () => {
    show();
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      button.addEventListener("click", () => {
        wish = NEXT[wish] ?? "system";
        localStorage.setItem("theme", wish);
        show();
      });
    }
  });
})();
