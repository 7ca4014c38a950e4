/**
 * One plot and what belongs to it: a drawing by uPlot with axes in physical units, its numbers as a table, its image.
 *
 * The template has made the figure; here it is filled. What cannot be seen is not drawn: neither a plot that is scrolled
 * out of sight nor a table that is closed. Both catch up when they come into sight.
 */

const HEIGHT = 148;
const FONT = "11px Plex, system-ui, sans-serif";
const SIZE_OF_NUMBERS = 44;
const HEADROOM = 1.06;

let ink = {};

/** The colours of the page as it is now. uPlot draws on a canvas, which knows no style sheet. */
function readInk() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  ink = {
    line: colour("--blue"), fill: colour("--plot-fill"), reference: colour("--amber"), text: colour("--ink-2"),
    title: colour("--ink"), grid: colour("--line"), surface: colour("--surface"),
  };
}

readInk();
document.addEventListener("themechange", readInk);

export class Plot {
  /**
   * @param {HTMLElement} figure
   * @param {{x: string, time?: boolean, points?: boolean, columns: string[]}} what the words on its x axis, whether that is
   *   time, whether single values are dots, and the heads of the table's columns
   */
  constructor(figure, what) {
    this.figure = figure;
    this.what = what;
    this.box = figure.querySelector("[data-drawing]");
    this.said = figure.querySelector("[data-said]");
    this.details = figure.querySelector("details");
    this.seen = false;
    this.stale = false;
    new IntersectionObserver((entries) => this.see(entries.at(-1).isIntersecting), { rootMargin: "200px" }).observe(figure);
    new ResizeObserver(() => this.chart?.setSize({ width: this.box.clientWidth, height: HEIGHT })).observe(this.box);
    document.addEventListener("themechange", () => this.chart?.redraw(false));
    this.details.addEventListener("toggle", () => this.fillTable());
    figure.querySelector("[data-image]").addEventListener("click", () => this.save());
  }

  /**
   * @param {{columns: (number|null)[][], rows: string[][], words: string, label: string}} content what is drawn (x, values,
   *   values of the reference), the rows of the table, what is said under the title, and what the drawing shows in words
   */
  show(content) {
    this.content = content;
    this.say(content.words);
    this.box.setAttribute("aria-label", content.label);
    this.stale = true;
    this.draw();
    this.fillTable();
  }

  see(seen) {
    this.seen = seen;
    this.draw();
  }

  draw() {
    if (!this.seen || !this.stale || !this.box.clientWidth) return;
    this.stale = false;
    const { columns } = this.content;
    if (this.chart?.series.length !== columns.length) this.make(columns.length);
    this.chart.setData(columns);
  }

  make(columns) {
    this.chart?.destroy();
    this.chart = new uPlot(this.options(columns), null, this.box);
    // Nothing in it can be used without a pointer; the table says the same.
    this.chart.root.setAttribute("aria-hidden", "true");
  }

  options(columns) {
    const { x, time = false, points = false } = this.what;
    const paths = points || time ? undefined : uPlot.paths.stepped({ align: 1 });
    const dots = { show: points || time, size: points ? 6 : 4, width: 1, fill: () => ink.line, stroke: () => ink.line };
    const axis = { font: FONT, labelFont: FONT, stroke: () => ink.text, ticks: { show: false }, gap: 3 };
    const series = [
      {},
      { stroke: () => (points ? "transparent" : ink.line), fill: () => (points || time ? null : ink.fill), width: 1.25, paths, points: dots },
      { stroke: () => ink.reference, width: 1.5, dash: [4, 3], paths, points: { show: false } },
    ];
    return {
      width: this.box.clientWidth,
      height: HEIGHT,
      padding: [6, time ? 26 : 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      // Times are UTC on all pages.
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { x: { time }, y: { range: (_, low, high) => [0, (high || 1) * HEADROOM] } },
      axes: [
        {
          ...axis, label: x, labelSize: 14, labelGap: 0, size: 20, space: time ? 72 : 46, grid: { show: false },
          values: time ? (_, at) => at.map(clock) : (_, at) => at.map(short),
        },
        { ...axis, size: SIZE_OF_NUMBERS, space: 32, grid: { stroke: () => ink.grid, width: 1 }, values: (_, at) => at.map(short) },
      ],
      series: series.slice(0, columns),
      hooks: { setCursor: [(chart) => this.point(chart.cursor.idx)] },
    };
  }

  /** Say what is under the pointer. */
  point(nth) {
    const row = nth === null || nth === undefined ? null : this.content.rows[nth];
    const words = row?.map((cell, column) => `${this.what.columns[column]} ${cell}`).join(", ");
    this.say(words ?? this.content.words);
  }

  say(words) {
    if (this.said.textContent !== words) this.said.textContent = words;
  }

  fillTable() {
    if (!this.details.open || !this.content) return;
    const { rows } = this.content;
    const table = this.details.querySelector("table");
    const heads = this.what.columns.slice(0, rows[0]?.length ?? this.what.columns.length);
    fill(table.tHead.rows[0], heads.map((words) => cell("th", words, "col")));
    const body = table.tBodies[0];
    while (body.rows.length > rows.length) body.deleteRow(-1);
    rows.forEach((row, nth) => {
      const line = body.rows[nth] ?? body.insertRow();
      if (line.cells.length !== row.length) fill(line, row.map((words, column) => (column ? cell("td", words) : cell("th", words, "row"))));
      row.forEach((words, column) => {
        if (line.cells[column].textContent !== words) line.cells[column].textContent = words;
      });
    });
  }

  /** Save the plot as it is seen, with its title, as a PNG. */
  save() {
    const drawn = this.box.querySelector("canvas");
    if (!drawn) return;
    const scale = window.devicePixelRatio || 1;
    const top = 24 * scale;
    const image = document.createElement("canvas");
    image.width = drawn.width;
    image.height = drawn.height + top;
    const pen = image.getContext("2d");
    pen.fillStyle = ink.surface;
    pen.fillRect(0, 0, image.width, image.height);
    pen.fillStyle = ink.title;
    pen.font = `600 ${12 * scale}px Plex, system-ui, sans-serif`;
    pen.fillText(this.figure.dataset.title, 8 * scale, 16 * scale, image.width - 16 * scale);
    pen.drawImage(drawn, 0, top);
    image.toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${this.figure.dataset.title.replaceAll(/[^A-Za-z0-9]+/g, "-")}.png`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }
}

function cell(name, words, scope) {
  const element = document.createElement(name);
  element.textContent = words;
  if (scope) element.scope = scope;
  element.className = "number";
  return element;
}

function fill(line, cells) {
  line.replaceChildren(...cells);
}

/** Hours, minutes and seconds of a time in seconds, UTC. */
export const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 19);

const UNITS = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];

/** A number on an axis, in four characters or so. */
function short(number) {
  if (number === null) return "";
  const [unit, letter] = UNITS.find(([least]) => Math.abs(number) >= least) ?? [1, ""];
  return `${Number((number / unit).toPrecision(3))}${letter}`;
}
