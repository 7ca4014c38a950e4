/** The server's clock, and the times on the page that tick by it. */

let ahead = Date.parse(document.documentElement.dataset.now) - Date.now();

/** Milliseconds since 1970 by the server's clock. */
export const now = () => Date.now() + ahead;

/** The server has said what time it is. */
export function adjust(iso) {
  ahead = Date.parse(iso) - Date.now();
}

/** A length of time in two units at most, in the words of the server's pages. */
export function lasting(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

/** Call `tick` now and every second while the page is looked at. */
export function everySecond(tick) {
  tick();
  setInterval(() => document.hidden || tick(), 1000);
}

function tickTimes() {
  for (const time of document.querySelectorAll("time[data-ticks]")) {
    const text = lasting(now() - Date.parse(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
}

everySecond(tickTimes);
