/**
 * The map: one column of cells per STF, one cell per stage, wrapped into as many lines as the width needs.
 *
 * Drawn on a canvas, so that 5,000 STFs are as quick as 5. Shape tells as much as colour: a full cell is done, a small one
 * under way, a crossed one failed. The pointer or the arrow keys choose an STF, which is then put into words.
 */

import { DONE, ELSEWHERE, FAILED, NOT_YET, UNDER_WAY } from "./run-model.js";

const SIZES = [20, 16, 13, 11, 9, 7, 6, 5, 4, 3];
const MOST_HEIGHT = 380;
const GUTTER_OF_LABELS = 84;
const WIDTH_OF_LETTER = 7.5;
const GUTTER_OF_NUMBERS = 40;
const LABELS_FROM = 11;
const AXIS = 18;
const WORDS = {
  [NOT_YET]: "not yet", [UNDER_WAY]: "under way", [DONE]: "done", [FAILED]: "failed", [ELSEWHERE]: "not given to it",
};

export class StfMap {
  constructor(box, model) {
    this.box = box;
    this.model = model;
    this.canvas = box.querySelector("canvas");
    this.tip = box.querySelector(".tip");
    this.chosen = null;
    this.asked = false;
    new ResizeObserver(() => this.draw()).observe(box);
    document.addEventListener("themechange", () => this.draw());
    box.addEventListener("pointermove", (event) => this.choose(this.at(event)));
    box.addEventListener("pointerleave", () => this.choose(null));
    box.addEventListener("keydown", (event) => this.move(event));
    box.addEventListener("focus", () => box.matches(":focus-visible") && this.choose(this.chosen ?? this.model.first));
    box.addEventListener("blur", () => this.choose(null));
  }

  /** Draw once before the next frame, however often it is asked. */
  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.paint();
    });
  }

  /** How many STFs to leave room for. */
  get count() {
    const { first, last, expected } = this.model;
    return Math.max(1, last - first + 1, Math.min(expected ?? 0, 5000));
  }

  layOut(width) {
    const stages = this.model.stages.length;
    const longest = Math.max(...this.model.stages.map((stage) => stage.label.length));
    for (const size of SIZES) {
      const gap = size > 5 ? 2 : size > 3 ? 1 : 0;
      const labelled = size >= LABELS_FROM;
      const gutter = labelled ? Math.max(GUTTER_OF_LABELS, longest * WIDTH_OF_LETTER) : GUTTER_OF_NUMBERS;
      const perLine = Math.max(1, Math.floor((width - gutter) / (size + gap)));
      const lines = Math.ceil(this.count / perLine);
      const top = labelled ? AXIS : 2;
      const lineHeight = top + stages * (size + gap) + 6;
      this.layout = { size, gap, gutter, top, labelled, perLine, lines, lineHeight, height: lines * lineHeight };
      if (this.layout.height <= MOST_HEIGHT) return;
    }
  }

  paint() {
    const width = this.box.clientWidth;
    if (!width) return;
    this.layOut(width);
    const { size, lines, lineHeight, height } = this.layout;
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    this.canvas.style.height = `${height}px`;
    const pen = this.canvas.getContext("2d");
    const style = getComputedStyle(this.box);
    const colour = (name) => style.getPropertyValue(name).trim();
    this.ink = {
      [NOT_YET]: colour("--cell-empty"), [UNDER_WAY]: colour("--blue"), [DONE]: colour("--green"),
      [FAILED]: colour("--red"), surface: colour("--surface"), text: colour("--ink-2"), chosen: colour("--ink"),
    };
    pen.scale(scale, scale);
    pen.font = `${Math.min(13, Math.max(11, size))}px ${style.fontFamily}`;
    pen.textBaseline = "middle";
    this.paintLabels(pen, lines, lineHeight);
    const end = this.model.first + this.count;
    for (let sequence = this.model.first; sequence < end; sequence++) this.paintStf(pen, sequence);
    if (this.chosen !== null) this.paintChosen(pen);
  }

  /** Names of the stages and every tenth sequence where there is room, otherwise the first sequence of each line. */
  paintLabels(pen, lines, lineHeight) {
    const { size, gap, top, labelled, perLine } = this.layout;
    pen.fillStyle = this.ink.text;
    if (labelled) {
      const end = this.model.first + this.count;
      for (let sequence = this.model.first; sequence < end; sequence++) {
        const [x, y] = this.place(sequence);
        const begins = (sequence - this.model.first) % perLine === 0;
        if (sequence % 10 === 0) pen.fillText(String(sequence), x, y - AXIS / 2);
        if (!begins) continue;
        this.model.stages.forEach((stage, nth) => pen.fillText(stage.label, 0, y + nth * (size + gap) + size / 2));
      }
      return;
    }
    const step = Math.max(1, Math.ceil(16 / lineHeight));
    for (let line = 0; line < lines; line += step) {
      pen.fillText(String(this.model.first + line * perLine), 0, line * lineHeight + top + 7);
    }
  }

  paintStf(pen, sequence) {
    const [x, top] = this.place(sequence);
    const { size, gap } = this.layout;
    const letters = this.model.letters(sequence);
    for (let nth = 0; nth < this.model.stages.length; nth++) {
      this.paintCell(pen, x, top + nth * (size + gap), letters ? letters[nth] : NOT_YET);
    }
  }

  paintCell(pen, x, y, letter) {
    const { size } = this.layout;
    if (letter === ELSEWHERE) {
      pen.fillStyle = this.ink[NOT_YET];
      pen.fillRect(x, y + Math.floor(size / 2), size, Math.max(1, Math.round(size / 8)));
      return;
    }
    if (letter === UNDER_WAY) {
      const inset = Math.max(1, Math.round(size / 4));
      pen.fillStyle = this.ink[NOT_YET];
      pen.fillRect(x, y, size, size);
      pen.fillStyle = this.ink[UNDER_WAY];
      pen.fillRect(x + inset, y + inset, size - 2 * inset, size - 2 * inset);
      return;
    }
    pen.fillStyle = this.ink[letter];
    pen.fillRect(x, y, size, size);
    if (letter === FAILED && size >= 5) {
      pen.strokeStyle = this.ink.surface;
      pen.lineWidth = Math.max(1, size / 8);
      pen.beginPath();
      pen.moveTo(x + size * 0.25, y + size * 0.25);
      pen.lineTo(x + size * 0.75, y + size * 0.75);
      pen.moveTo(x + size * 0.75, y + size * 0.25);
      pen.lineTo(x + size * 0.25, y + size * 0.75);
      pen.stroke();
    }
  }

  paintChosen(pen) {
    const [x, y] = this.place(this.chosen);
    const { size, gap } = this.layout;
    pen.strokeStyle = this.ink.chosen;
    pen.lineWidth = 1.5;
    pen.strokeRect(x - 1.5, y - 1.5, size + 3, this.model.stages.length * (size + gap) - gap + 3);
  }

  /** Left and top of an STF's column. */
  place(sequence) {
    const { size, gap, gutter, top, perLine, lineHeight } = this.layout;
    const nth = sequence - this.model.first;
    return [gutter + (nth % perLine) * (size + gap), Math.floor(nth / perLine) * lineHeight + top];
  }

  /** The STF under the pointer, or null. */
  at(event) {
    const { size, gap, gutter, perLine, lineHeight } = this.layout;
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - gutter) / (size + gap));
    const line = Math.floor((event.clientY - box.top) / lineHeight);
    const nth = line * perLine + column;
    return column >= 0 && column < perLine && nth >= 0 && nth < this.count ? this.model.first + nth : null;
  }

  move(event) {
    const { perLine } = this.layout;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -perLine, ArrowDown: perLine, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const { first } = this.model;
    const next = (this.chosen ?? first) + steps[event.key];
    this.choose(Math.min(Math.max(next, first), first + this.count - 1));
  }

  choose(sequence) {
    if (sequence === this.chosen) return;
    this.chosen = sequence;
    this.tip.hidden = sequence === null;
    if (sequence !== null) {
      this.tip.textContent = this.inWords(sequence);
      const [x, y] = this.place(sequence);
      const below = y + this.layout.lineHeight;
      const left = Math.min(x, this.box.clientWidth - this.tip.offsetWidth);
      this.tip.style.transform = `translate(${Math.max(0, left)}px, ${below}px)`;
    }
    this.draw();
  }

  inWords(sequence) {
    const letters = this.model.letters(sequence);
    if (!letters) return `STF ${sequence}: not made yet`;
    const stages = this.model.stages.map((stage, nth) => `${stage.label}: ${WORDS[letters[nth]]}`);
    const reason = this.model.reasons.get(sequence);
    return [`STF ${sequence}`, ...stages, ...(reason ? [reason] : [])].join("\n");
  }
}
