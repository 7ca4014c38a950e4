/**
 * The live feed: one WebSocket that comes back by itself, with the position it has reached.
 *
 * Every frame says up to which position of the journal the page has now been told everything. The server sends a ping
 * every 5 s; after 10 s of silence what the page shows counts as old, it says so, and the connection is made anew.
 */

import { adjust, everySecond, lasting } from "./clock.js";

const SILENT_AFTER = 10_000;
const RETRY_FIRST = 500;
const RETRY_MOST = 8_000;
const GIVE_UP = new Set([4400, 4401, 4403, 4404]);

/**
 * @param {string} path of the WebSocket, with a query or without
 * @param {number} cursor the position the page was made at
 * @param {{events?: (events: object[]) => void, snapshot?: (content: object) => void}} page what to do with news; frames of
 *   any other type go to the function that is called like it
 * @returns {() => void} asks for a snapshot, where events do not tell enough
 */
export function follow(path, cursor, page) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  let socket;
  let retry = RETRY_FIRST;
  let timer;
  let heard = Date.now();
  let waitsFor = "";
  let refused = "";

  function connect() {
    clearTimeout(timer);
    const address = new URL(`${scheme}//${location.host}${path}`);
    address.searchParams.set("cursor", cursor ?? "");
    socket = new WebSocket(address);
    socket.addEventListener("open", () => {
      heard = Date.now();
      look();
    });
    socket.addEventListener("message", (message) => {
      // What still comes while a line is being closed comes again on the next.
      if (message.target.readyState === WebSocket.OPEN) receive(JSON.parse(message.data));
    });
    socket.addEventListener("close", (event) => {
      if (GIVE_UP.has(event.code)) refused = event.reason;
      if (refused) return look();
      timer = setTimeout(connect, retry * (0.5 + Math.random()));
      retry = Math.min(retry * 2, RETRY_MOST);
    });
  }

  function receive(frame) {
    const seen = cursor;
    cursor = frame.position;
    heard = Date.now();
    retry = RETRY_FIRST;
    if (frame.type === "ping") {
      adjust(frame.now);
      waitsFor = frame.waits_for;
    } else if (frame.type === "snapshot") {
      page.snapshot(frame.content);
    } else if (frame.type === "events") {
      const fresh = frame.events.filter((event) => seen === null || event.position > seen);
      if (fresh.length) page.events(fresh);
    } else {
      page[frame.type](frame);
    }
    look();
  }

  function look() {
    const silence = Date.now() - heard;
    if (refused) {
      show("lost", refused);
    } else if (silence > SILENT_AFTER) {
      show("lost", `No news for ${lasting(silence)}, trying again`);
      // A line that is dead without knowing it never closes by itself.
      if (socket.readyState === WebSocket.OPEN) socket.close();
    } else if (waitsFor) {
      show("late", `Late: ${waitsFor}`);
    } else {
      const open = socket.readyState === WebSocket.OPEN;
      show(open ? "live" : "late", open ? "Live" : "Connecting");
    }
  }

  connect();
  everySecond(look);
  const comeBack = () => {
    if (!document.hidden && socket.readyState === WebSocket.CLOSED && !refused) connect();
  };
  document.addEventListener("visibilitychange", comeBack);
  window.addEventListener("online", comeBack);
  return () => {
    cursor = null;
    retry = RETRY_FIRST;
    socket.close();
  };
}

function show(state, words) {
  const line = document.querySelector("[data-live]");
  const text = line.querySelector("[data-live-words]");
  line.dataset.state = state;
  if (text.textContent === words) return;
  text.textContent = words;
  line.title = words;
}
