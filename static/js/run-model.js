/**
 * The STFs of a run, stage by stage, as the server's `RunState` has them and the journal's events move them.
 *
 * Applying an event twice changes nothing: an STF has, per stage, one letter (see run_state.py), and counts are counts of
 * letters.
 */

export const NOT_YET = ".";
export const UNDER_WAY = "w";
export const DONE = "d";
export const FAILED = "f";
export const ELSEWHERE = "-";
export const PROCESSED = "stf_processed";

const RATE_SECONDS = 60;
const OF_PROCESSING = new Set([PROCESSED, "processing_failed", "processing_moved"]);
const isGiven = (letter) => letter !== NOT_YET && letter !== ELSEWHERE;
const LOST = new Set(["not sent", "registered but gone"]);

export class RunModel {
  constructor(state) {
    this.load(state);
  }

  /** Start from a state of the server's. */
  load(state) {
    this.stages = state.stages;
    this.expected = state.expected;
    this.reasons = new Map(Object.entries(state.reasons).map(([sequence, reason]) => [Number(sequence), reason]));
    this.done = state.stages.map((stage) => state.unlisted[stage.key]);
    this.failed = state.stages.map((stage) => state.unlisted_failed[stage.key] ?? 0);
    this.given = state.stages.map((stage, nth) => this.done[nth] + this.failed[nth] + (state.unlisted_open[stage.key] ?? 0));
    this.unsure = false;
    this.behind = false;
    this.stfs = new Map();
    this.first = state.stfs.length ? state.stfs[0][0] : 1;
    this.last = 0;
    for (const [sequence, letters] of state.stfs) {
      [...letters].forEach((letter, nth) => this.set(sequence, nth, letter));
    }
    const second = Math.floor(Date.parse(state.now) / 1000);
    this.arrivals = state.stages.map(
      (stage) => new Map(state.recent[stage.key].map((count, age) => [second - age, count])),
    );
  }

  letters(sequence) {
    return this.stfs.get(sequence);
  }

  /** Arrivals in a stage, per second, oldest first, for the minute before `time` (milliseconds). */
  minute(nth, time) {
    const second = Math.floor(time / 1000);
    return Array.from({ length: RATE_SECONDS }, (_, age) => this.arrivals[nth].get(second - RATE_SECONDS + 1 + age) ?? 0);
  }

  /** Take in one event of the journal. */
  apply(event) {
    const { sequence, reason = "", site = "" } = event.data;
    const rse = event.kind === PROCESSED ? site : (event.data.rse ?? "");
    if (event.kind === "end_run") this.expected = event.data.total_stf_files;
    if (event.kind === "run_closed") this.lack(event.data.missing ?? []);
    if (sequence === undefined) return;
    if (OF_PROCESSING.has(event.kind) && !this.stfs.has(sequence)) {
      this.behind = true; // of an STF that is only counted
      return;
    }
    if (sequence < this.first) return;
    const reached = this.stages.findIndex((stage) => stage.kind === event.kind && stage.rse === rse);
    if (reached >= 0) {
      if (this.letters(sequence)?.[reached] !== DONE) this.arrive(reached, Date.parse(event.at));
      // Processed where it was not waited for: where it was, no event tells.
      if (this.letters(sequence)?.[reached] === ELSEWHERE) this.unsure = true;
      this.set(sequence, reached, DONE);
      this.prepare(sequence, event.kind);
      if (event.kind === "stf_ready") this.give(sequence, site.split(","));
    } else if (event.kind === "stf_failed") {
      this.fail(sequence, this.stages.findIndex((stage) => stage.kind === "stf_ready"), reason);
    } else if (event.kind === "stf_replica_failed") {
      this.fail(sequence, this.stages.findIndex((stage) => stage.rse === rse), `${rse}: ${reason}`);
    } else if (event.kind === "processing_failed") {
      this.fail(sequence, this.processedAt(site), `processing at ${site}: ${reason}`);
    } else if (event.kind === "processing_moved") {
      this.give(sequence, [site], [event.data.before]);
    }
  }

  processedAt(site) {
    return this.stages.findIndex((stage) => stage.kind === PROCESSED && stage.rse === site);
  }

  /** An STF is to be processed at these sites, and not at those others: all, unless they are named. */
  give(sequence, sites, others = null) {
    this.stages.forEach((stage, nth) => {
      if (stage.kind !== PROCESSED || this.letters(sequence)?.[nth] === DONE) return;
      if (sites.includes(stage.rse)) this.set(sequence, nth, UNDER_WAY);
      else if (!others || others.includes(stage.rse)) this.set(sequence, nth, ELSEWHERE);
    });
  }

  /** What an event means for the stages around the one it names. */
  prepare(sequence, kind) {
    const next = { stf_gen: "stf_ready", stf_ready: "stf_replicated" }[kind];
    this.stages.forEach((stage, nth) => {
      if (stage.kind === next && this.letters(sequence)[nth] === NOT_YET) this.set(sequence, nth, UNDER_WAY);
    });
    if (kind === "stf_ready") this.set(sequence, 0, DONE);
    if (!this.letters(sequence).includes(FAILED)) this.reasons.delete(sequence);
  }

  fail(sequence, nth, reason) {
    if (nth < 0) return;
    if (this.letters(sequence)?.[nth] === DONE) return;
    this.set(sequence, nth, FAILED);
    this.reasons.set(sequence, reason);
  }

  /** The closeout has given up waiting: what an STF lacks is the first stage it is not through. */
  lack(missing) {
    for (const { sequence, kind, reason } of missing) {
      if (!LOST.has(kind)) continue;
      const letters = this.letters(sequence) ?? [];
      if (letters.includes(FAILED)) continue;
      const nth = letters.findIndex((letter) => letter !== DONE && letter !== ELSEWHERE);
      this.fail(sequence, Math.max(nth, 0), `${kind}: ${reason}`);
    }
  }

  set(sequence, nth, letter) {
    let letters = this.stfs.get(sequence);
    if (!letters) {
      letters = this.stages.map(() => NOT_YET);
      this.stfs.set(sequence, letters);
      this.last = Math.max(this.last, sequence);
    }
    this.done[nth] += (letter === DONE) - (letters[nth] === DONE);
    this.failed[nth] += (letter === FAILED) - (letters[nth] === FAILED);
    this.given[nth] += isGiven(letter) - isGiven(letters[nth]);
    letters[nth] = letter;
  }

  arrive(nth, time) {
    const second = Math.floor(time / 1000);
    const arrivals = this.arrivals[nth];
    arrivals.set(second, (arrivals.get(second) ?? 0) + 1);
    for (const old of arrivals.keys()) {
      if (old >= second - 2 * RATE_SECONDS) break;
      arrivals.delete(old);
    }
  }
}
