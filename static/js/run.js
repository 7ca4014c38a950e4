/** The page of a run: numbers and map move with every event, the rest is drawn by the server when it has changed. */

import { everySecond } from "./clock.js";
import { follow } from "./live.js";
import { refresher } from "./parts.js";
import { drawPipeline } from "./pipeline.js";
import { RunModel } from "./run-model.js";
import { StfMap } from "./stf-map.js";

const root = document.querySelector("[data-run]");
const model = new RunModel(JSON.parse(document.getElementById("run-state").textContent));
const map = new StfMap(document.querySelector("[data-map]"), model);
const ofEveryStf = new Set([...model.stages.map((stage) => stage.kind), "output_registered"]);

const parts = `/runs/${root.dataset.run}/parts/`;
const soon = refresher(parts, { pause: 300 });
const later = refresher(parts, { pause: 2500 });

// These change cells without naming them.
const CALL_FOR_SNAPSHOT = new Set(["stf_retried", "run_retried", "task_command", "policy_changed"]);

// How far jobs are is no news of the journal, and old STFs are counted by the server.
const JOBS_SECONDS = 5;

function draw() {
  drawPipeline(root, model);
  map.draw();
}

const stagesOf = (state) => state.stages.map((stage) => stage.key).join();

const resync = follow(`/ws/live/runs/${root.dataset.run}/`, Number(root.dataset.cursor), {
  events(events) {
    for (const event of events) model.apply(event);
    draw();
    if (model.unsure || events.some((event) => CALL_FOR_SNAPSHOT.has(event.kind))) resync();
    if (events.some((event) => !ofEveryStf.has(event.kind))) soon();
    else later();
  },
  snapshot(content) {
    // Another policy may name other sites, which the strip and the map have no place for.
    if (stagesOf(content) !== stagesOf(model)) return location.reload();
    model.load(content);
    draw();
    soon();
  },
});
map.draw();
let seconds = 0;
everySecond(() => {
  drawPipeline(root, model);
  if (seconds++ % JOBS_SECONDS !== JOBS_SECONDS - 1) return;
  if (model.behind) resync();
  else if (document.querySelector("[data-unprocessed]")) later();
});
