/* The REST interface in Redoc, in the colours of this page. */
(() => {
  const place = document.getElementById("redoc");

  // The logo of Redoc's maker, which its menu would fetch from elsewhere.
  const image = HTMLImageElement.prototype;
  const source = Object.getOwnPropertyDescriptor(image, "src");
  const isOurs = (address) => new URL(address, document.baseURI).origin === location.origin;
  Object.defineProperty(image, "src", {
    ...source,
    set(address) {
      if (isOurs(address)) {
        source.set.call(this, address);
      }
    },
  });
  image.setAttribute = function setAttribute(name, value) {
    if (name !== "src" || isOurs(value)) {
      Element.prototype.setAttribute.call(this, name, value);
    }
  };

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    place.replaceChildren();
    const inside = place.appendChild(document.createElement("div"));
    Redoc.init(place.dataset.schema, {
      nonce: place.dataset.nonce,
      // It would run in a worker made of text, which the policy for content does not let it do.
      disableSearch: true,
      hideDownloadButton: true,
      sideNavStyle: "path-only",
      schemaDefinitionsTagName: "",
      scrollYOffset: 0,
      theme: {
        colors: {
          primary: { main: colour("link") },
          text: { primary: colour("ink"), secondary: colour("ink-2") },
          border: { dark: colour("line-strong"), light: colour("line") },
          gray: { 50: colour("sunk"), 100: colour("line") },
          responses: {
            success: { color: colour("green-fg"), backgroundColor: colour("green-bg") },
            error: { color: colour("red-fg"), backgroundColor: colour("red-bg") },
            redirect: { color: colour("amber-fg"), backgroundColor: colour("amber-bg") },
          },
        },
        schema: { nestedBackground: colour("sunk"), linesColor: colour("line-strong"), typeNameColor: colour("ink-2") },
        sidebar: { backgroundColor: colour("surface"), textColor: colour("ink") },
        rightPanel: { backgroundColor: "#1b242c" },
        typography: {
          fontFamily: colour("font"),
          headings: { fontFamily: colour("font") },
          code: { fontFamily: colour("mono"), color: colour("red-fg"), backgroundColor: colour("sunk") },
          links: { color: colour("link") },
        },
      },
    }, inside);
  }

  let theme = "";
  function followTheme() {
    if (theme !== document.documentElement.dataset.theme) {
      theme = document.documentElement.dataset.theme;
      draw();
    }
  }

  document.addEventListener("themechange", followTheme);
  followTheme();
})();
