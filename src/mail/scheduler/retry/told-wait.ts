import type { Reply } from "../../../protocol/smtp/reply.ts";

/**
 * The wait that a reply names, in milliseconds, or undefined when it names none: "try again in 300 seconds", "Greylisted
 * for 5 minutes", "please come back in 00:05:00", "wait 4 min 30 s", "in one hour". Between a second and a day.
 *
 * Text that nobody specified, so the reading is strict: a duration counts only behind a word that asks to wait or to come
 * back, in the same sentence, with nothing but filling words between. Ids, addresses, codes, and the period of a
 * rate ("5 messages in 60 seconds") are none. One pass over the words; what is longer than a reply may be is cut.
 */
export function toldWaitMs(reply: Reply | undefined): number | undefined {
  if (reply === undefined || reply.code < 400 || reply.code > 499) return undefined;
  const text = reply.lines.join(" ").slice(0, MOST_CHARACTERS).toLowerCase();
  // Most refusals name no time at all.
  if (!A_NUMBER.test(text)) return undefined;
  const words = text.match(WORDS) ?? [];
  // What the words before allow: nothing, a preposition that still has to come, or a duration right here.
  let allows: "nothing" | "preposition" | "duration" = "nothing";
  let distance = 0;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    if (allows === "duration") {
      const read = readDuration(words, at);
      if (read !== undefined) {
        if (words[read.next] !== "ago") return bounded(read.ms);
        allows = "nothing";
        at = read.next;
        continue;
      }
    }
    const cue = CUES.get(word);
    if (cue !== undefined) {
      allows = cue;
      distance = 0;
    } else if (allows !== "nothing" && PREPOSITIONS.has(word)) allows = "duration";
    else if (allows !== "nothing" && FILLING.has(word)) continue;
    // Behind the preposition only a duration may stand; before it, a few words that are not a sentence's end.
    else if (allows === "duration" || STOPS.test(word) || ++distance > MOST_WORDS_BETWEEN) allows = "nothing";
  }
  return undefined;
}

/**
 * When to come back: a second more, for clocks that count in whole ones, and a twentieth at most, a minute at most, by which
 * those who were told the same are spread.
 */
export function afterToldMs(toldMs: number, random: number): number {
  return Math.round(toldMs + 1000 + Math.min(toldMs / 20, 60_000) * random);
}

/** A host that names short waits again and again is believed for so many attempts, or failures, in a row. */
export const TOLD_BELIEVED = 5;

const MOST_CHARACTERS = 2000;
const MOST_WORDS_BETWEEN = 6;
const LEAST_MS = 1000;
const MOST_MS = 86_400_000;

/** Words, numbers with what belongs to them (`192.0.2.1`, `00:05:00`), and single signs. */
const WORDS = /[a-z]+|\d+(?:[.:]\d+)*|[^\sa-z\d]/g;

/** Words that ask to come back, and those that a duration may follow at once. */
const CUES: ReadonlyMap<string, "preposition" | "duration"> = new Map([
  ["again", "preposition"],
  ["retry", "preposition"],
  ["retrying", "preposition"],
  ["resend", "preposition"],
  ["reconnect", "preposition"],
  ["back", "preposition"],
  ["return", "preposition"],
  ["greylisted", "preposition"],
  ["graylisted", "preposition"],
  ["greylisting", "preposition"],
  ["graylisting", "preposition"],
  ["greylist", "preposition"],
  ["graylist", "preposition"],
  ["listed", "preposition"],
  ["deferred", "preposition"],
  ["delayed", "preposition"],
  ["postponed", "preposition"],
  ["suspended", "preposition"],
  ["wait", "duration"],
  ["waiting", "duration"],
]);

const PREPOSITIONS: ReadonlySet<string> = new Set(["in", "for", "after"]);
/** What may stand between the word that asks and the duration: "wait time is about 5 minutes". */
const FILLING: ReadonlySet<string> = new Set([
  "is",
  "time",
  "period",
  "about",
  "approximately",
  "approx",
  "around",
  "another",
  "at",
  "least",
  "exactly",
  "further",
  "more",
  "than",
  "~",
  ":",
  "=",
]);
/** A sentence ends, or a number stands where none belongs: what follows is about something else. */
const STOPS = /^[\d.;!?()[\]{}<>/@"]/;

const UNITS: ReadonlyMap<string, number> = new Map(
  Object.entries({
    s: 1000,
    sec: 1000,
    secs: 1000,
    second: 1000,
    seconds: 1000,
    m: 60_000,
    mn: 60_000,
    min: 60_000,
    mins: 60_000,
    minute: 60_000,
    minutes: 60_000,
    h: 3_600_000,
    hr: 3_600_000,
    hrs: 3_600_000,
    hour: 3_600_000,
    hours: 3_600_000,
    d: 86_400_000,
    day: 86_400_000,
    days: 86_400_000,
  }),
);
const NUMBERS: ReadonlyMap<string, number> = new Map([
  ...["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"].map(
    (word, n) => [word, n] as const,
  ),
  ["a", 1],
  ["an", 1],
  ["fifteen", 15],
  ["twenty", 20],
  ["thirty", 30],
  ["sixty", 60],
]);

/** Every duration begins with one of these, as a word of its own. */
const A_NUMBER = new RegExp(String.raw`\d|(?<![a-z])(?:half|${[...NUMBERS.keys()].join("|")})(?![a-z])`);

interface Read {
  readonly ms: number;
  /** The first word behind it. */
  readonly next: number;
}

/** `300 seconds`, `4 min 30 s`, `1 hour and 5 minutes`, `5-10 minutes` (the longer), `half an hour`, `00:05:00`. */
function readDuration(words: readonly string[], start: number): Read | undefined {
  const clock = readClock(words[start] ?? "");
  if (clock !== undefined) return { ms: clock, next: start + 1 };
  if (words[start] === "half") {
    const article = words[start + 1] === "an" || words[start + 1] === "a" ? 1 : 0;
    const unit = UNITS.get(words[start + 1 + article] ?? "");
    return unit === undefined ? undefined : { ms: unit / 2, next: start + 2 + article };
  }
  let ms = 0;
  let next = start;
  let smallest = Infinity;
  for (;;) {
    const part = readPart(words, next);
    // Each part is of a smaller unit than the one before: 4 min 30 s.
    if (part === undefined || part.unit >= smallest) break;
    ms += part.count * part.unit;
    smallest = part.unit;
    next = part.next;
    while ((words[next] === "and" || words[next] === ",") && readPart(words, next + 1) !== undefined) next++;
  }
  return next === start ? undefined : { ms, next };
}

function readPart(words: readonly string[], at: number): { count: number; unit: number; next: number } | undefined {
  const first = numberOf(words[at]);
  if (first === undefined) return undefined;
  let count = first;
  let next = at + 1;
  const joined = words[next] === "-" || words[next] === "to" ? numberOf(words[next + 1]) : undefined;
  if (joined !== undefined) {
    count = Math.max(first, joined);
    next += 2;
  }
  const unit = UNITS.get(words[next] ?? "");
  return unit === undefined ? undefined : { count, unit, next: next + 1 };
}

function numberOf(word: string | undefined): number | undefined {
  if (word === undefined) return undefined;
  if (/^\d{1,9}(\.\d{1,9})?$/.test(word)) return Number(word);
  return NUMBERS.get(word);
}

/** `00:05:00` is hours, minutes and seconds; `05:00` minutes and seconds. */
function readClock(word: string): number | undefined {
  const [, hours, minutes, seconds] = /^(?:(\d{1,3}):)?(\d{1,2}):(\d{2})$/.exec(word) ?? [];
  if (minutes === undefined || seconds === undefined) return undefined;
  return (Number(hours ?? 0) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000;
}

function bounded(ms: number): number {
  return Math.min(Math.max(Math.round(ms), LEAST_MS), MOST_MS);
}
