/** The list of runs and the page of agents: drawn by the server, again whenever the journal has news. */

import { everySecond } from "./clock.js";
import { follow } from "./live.js";
import { refresher } from "./parts.js";

const HEARTBEAT_SECONDS = 5;

const refresh = refresher(location.href, { pause: 1000 });
const cursor = Number(document.querySelector("[data-cursor]").dataset.cursor);
follow("/ws/live/", cursor, { events: refresh, snapshot: refresh });

// Heartbeats and the exit buffer's rate are no news of the journal.
let seconds = 0;
everySecond(() => {
  if (seconds++ % HEARTBEAT_SECONDS === HEARTBEAT_SECONDS - 1) refresh();
});
