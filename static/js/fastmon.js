/**
 * The page of fast monitoring: plots of what the server has counted, drawn anew with every frame of the live feed.
 *
 * A frame holds all there is to show, so one that was missed is missed by nothing. Numbers in words are drawn by the server
 * and swapped, as on the other pages.
 */

import { follow } from "./live.js";
import { swapIn } from "./parts.js";
import { clock, Plot } from "./plot.js";

const root = document.querySelector("[data-fastmon]");
const { run, cursor } = root.dataset;
const told = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");
const compared = told("fastmon-reference");
const query = new URLSearchParams({ group: root.dataset.group, window: root.dataset.window });

const thin = (text) => text.replaceAll(",", "\u202f");
const grouped = (number) => thin(Math.round(number).toLocaleString("en"));
const exact = (number) => (number === null ? "none" : thin(number.toLocaleString("en", { maximumSignificantDigits: 4 })));

const HISTOGRAMS = {
  occupancy: { x: "channel", unit: "" },
  adc: { x: "ADC counts", unit: " ADC counts" },
  time: { x: "ns", unit: " ns" },
};
const STRIPS = { hits_per_tf: "hits per TF", mean_adc: "mean ADC" };

const plots = new Map();

function plotOf(figure) {
  if (!plots.has(figure)) plots.set(figure, new Plot(figure, described(figure.dataset.plot)));
  return plots.get(figure);
}

function described(key) {
  if (key in HISTOGRAMS) return { x: HISTOGRAMS[key].x, columns: ["from", "to", "hits", "reference"] };
  if (key in STRIPS) return { x: "UTC", time: true, columns: ["window from", STRIPS[key]] };
  return { x: "UTC", time: true, points: true, columns: ["STF", "closed at", "seconds"] };
}

/** A histogram of a detector; that of the reference run is scaled to as many TFs. */
function histogram(detector, key, content) {
  const { upper, counts } = detector.histograms[key];
  const others = compared?.detectors.find((other) => other.name === detector.name)?.histograms[key].counts;
  const scale = compared?.tf_count ? content.tf_count / compared.tf_count : 0;
  const width = upper / counts.length;
  const edges = Array.from({ length: counts.length + 1 }, (_, nth) => nth * width);
  // The last bin is drawn to its end.
  const closed = (values) => [...values, values.at(-1)];
  const scaled = others?.map((count) => count * scale);
  const mean = detector.means[key];
  const unit = HISTOGRAMS[key].unit;
  return {
    columns: [edges, closed(counts), ...(scaled ? [closed(scaled)] : [])],
    rows: counts.map((count, nth) => [
      grouped(edges[nth]), grouped(edges[nth + 1]), grouped(count), ...(scaled ? [exact(scaled[nth])] : []),
    ]),
    words: mean === null ? "no hits" : `mean ${exact(mean)}${unit}`,
    label: `${detector.name}: ${grouped(detector.hits)} hits${mean === null ? "" : `, mean ${exact(mean)}${unit}`}`,
  };
}

function strip(detector, key, content) {
  const values = detector.strip[key];
  const last = values.at(-1) ?? null;
  return {
    columns: [content.times, values],
    rows: content.times.map((time, nth) => [clock(time), exact(values[nth])]),
    words: last === null ? "none" : `last ${exact(last)}`,
    label: `${detector.name}: ${STRIPS[key]} in ${values.length} windows of time, last ${exact(last)}`,
  };
}

function latency({ latency: { sequences, times, seconds } }) {
  const last = seconds.at(-1);
  return {
    columns: [times, seconds],
    rows: sequences.map((sequence, nth) => [String(sequence), clock(times[nth]), seconds[nth].toFixed(3)]),
    words: last === undefined ? "none" : `last ${last.toFixed(2)} s`,
    label: `Seconds from the end of an STF to its histograms, of ${seconds.length} STFs`,
  };
}

function draw(content) {
  root.toggleAttribute("data-nothing", content.summary.sampled === 0);
  for (const detector of content.detectors) {
    const box = root.querySelector(`[data-detector="${CSS.escape(detector.name)}"]`);
    const words = `${grouped(detector.hits)} hits, ${exact(detector.hits_per_tf)} per TF`;
    box.querySelector("[data-hits]").textContent = words;
    for (const figure of box.querySelectorAll("[data-plot]")) {
      const key = figure.dataset.plot;
      plotOf(figure).show(key in HISTOGRAMS ? histogram(detector, key, content) : strip(detector, key, content));
    }
  }
  plotOf(root.querySelector('[data-plot="latency"]')).show(latency(content));
}

draw(told("fastmon-content"));
follow(`/ws/fastmon/runs/${run}/?${query}`, Number(cursor), {
  fastmon({ content, parts }) {
    draw(content);
    swapIn(new DOMParser().parseFromString(parts, "text/html"));
  },
});

// A choice holds as soon as it is made; the button is for those without scripts.
for (const choice of root.querySelectorAll("[data-choices] select")) {
  choice.addEventListener("change", () => choice.form.requestSubmit());
}
