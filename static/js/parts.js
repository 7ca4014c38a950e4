/**
 * Parts of a page that the server draws: fetched anew and swapped where they differ.
 *
 * So there is one place that puts runs into HTML, the templates, and what is swapped in is always right as a whole.
 */

/**
 * @param {string} url of a page that holds the same `data-part`s
 * @param {{pause: number}} options least milliseconds between two fetches
 * @returns {() => void} asks for a refresh: at once if the last is long ago, otherwise as soon as the pause is over
 */
export function refresher(url, { pause }) {
  let last = 0;
  let timer = null;
  let running = false;
  let again = false;

  async function refresh() {
    timer = null;
    if (running) {
      again = true;
      return;
    }
    running = true;
    last = Date.now();
    try {
      const response = await fetch(url, { headers: { Accept: "text/html" } });
      if (response.ok) swapIn(new DOMParser().parseFromString(await response.text(), "text/html"));
    } catch {
      // The server is away. The live feed says so, and asks for a refresh when it is back.
    } finally {
      running = false;
      if (again) {
        again = false;
        ask();
      }
    }
  }

  function ask() {
    timer ??= setTimeout(refresh, Math.max(0, last + pause - Date.now()));
  }
  return ask;
}

/** Swap what differs from the parts of this document. */
export function swapIn(fresh) {
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
    if (next && differs(part, next)) replace(part, next);
  }
}

/** Forms carry a token that is new every time: a part with a version is compared by that. */
function differs(part, next) {
  if (next.dataset.version !== undefined) return next.dataset.version !== part.dataset.version;
  return comparable(part) !== comparable(next);
}

/** The part's HTML without what ticks by itself. */
function comparable(part) {
  const copy = part.cloneNode(true);
  for (const time of copy.querySelectorAll("time[data-ticks]")) time.textContent = "";
  return copy.innerHTML;
}

function replace(part, next) {
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  const scrolled = part.querySelector("ol")?.scrollTop ?? 0;
  part.replaceWith(next);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  if (scrolled) next.querySelector("ol").scrollTop = scrolled;
}
