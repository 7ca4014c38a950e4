/** The pipeline strip: how many STFs are through each stage, how fast they come, and a minute of it as a line. */

import { now } from "./clock.js";
import { PROCESSED } from "./run-model.js";

const WIDTH = 120;
const HEIGHT = 24;

/** Draw the model's numbers into the strips. */
export function drawPipeline(page, model) {
  const minutes = model.stages.map((_, nth) => model.minute(nth, now()));
  for (const strip of page.querySelectorAll(".pipeline")) strip.classList.toggle("idle", !minutes.some(sum));
  model.stages.forEach((stage, nth) => {
    const box = page.querySelector(`[data-stage="${CSS.escape(stage.key)}"]`);
    const done = model.done[nth];
    const minute = minutes[nth];
    const of = stage.kind === PROCESSED ? model.given[nth] : model.expected;
    const lacking = nth === 0 ? "missing" : "failed";
    say(box, "[data-done]", grouped(done));
    say(box, "[data-of]", of === null ? "" : `of ${grouped(of)}`);
    say(box, "[data-failed]", model.failed[nth] ? `${grouped(model.failed[nth])} ${lacking}` : "");
    say(box, '[data-rate="10"]', `${rate(minute.slice(-10))}/s`);
    say(box, '[data-rate="60"]', `${rate(minute)}/s`);
    const bar = box.querySelector("progress");
    bar.max = of || done || 1;
    bar.value = done;
    bar.classList.toggle("done", Boolean(of) && done >= of);
    box.querySelector("[data-spark]").setAttribute("d", area(minute));
  });
}

const sum = (counts) => counts.reduce((total, count) => total + count, 0);
const rate = (counts) => (sum(counts) / counts.length).toFixed(1);
const grouped = (number) => number.toLocaleString("en").replaceAll(",", "\u202f");

/** A line under which the area is filled, over the width of the drawing. */
function area(counts) {
  const most = Math.max(...counts);
  if (!most) return "";
  const points = counts.map((count, nth) => {
    const x = (nth / (counts.length - 1)) * WIDTH;
    const y = HEIGHT - 1 - (count / most) * (HEIGHT - 3);
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  return `M0 ${HEIGHT} L${points.join(" L")} L${WIDTH} ${HEIGHT}`;
}

function say(box, selector, text) {
  const element = box.querySelector(selector);
  if (element.textContent !== text) element.textContent = text;
}
