/* Light or dark: the system's wish, or the reader's. Runs before the page is drawn, hence no module. Key and values are
   those of Django's admin, so that one choice holds everywhere. */
(() => {
  const NEXT = { auto: "light", light: "dark", dark: "auto" };
  const WORDS = { auto: "Auto", light: "Light", dark: "Dark" };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let wish = localStorage.getItem("theme") ?? "auto";

  function show() {
    const theme = wish === "auto" ? (dark.matches ? "dark" : "light") : wish;
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
        wish = NEXT[wish];
        localStorage.setItem("theme", wish);
        show();
      });
    }
  });
})();
