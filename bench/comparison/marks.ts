import { markedCell } from "./cells.ts";
import { contenderNames, isAside, isOurs, type ContenderName } from "./contender.ts";
import type { Figures, Measure } from "./figures.ts";

/** What the project wants to reach, as ratios inside one run, for each layout. */
export interface Verdict {
  readonly mark: string;
  readonly name: ContenderName;
  /** What was found, or why there is nothing to judge. */
  readonly found: string;
  readonly holds: boolean | undefined;
  /** What Node alone came to in the same cell (`bare-node-main.ts`): a mark beyond that is beyond Node. */
  readonly bare: string;
  /** The same with Posthorn's queue and journal (`bare-stores.ts`): a mark beyond that is beyond a server that keeps mail in them. */
  readonly stores: string;
}

interface Mark {
  readonly text: string;
  readonly part: string;
  readonly cell: string;
  readonly measure: Measure;
  /** Ours ÷ theirs, or our figure itself. */
  readonly against: "Postfix" | "best peer" | undefined;
  readonly least?: number;
  readonly most?: number;
}

const peers = contenderNames.filter((name) => !isOurs(name) && !isAside(name));

/** @param deferred, idle the cells' names in their parts */
export function marksFor(
  deferred: { part: string; cell: string },
  idle: { part: string; cell: string },
): readonly Mark[] {
  const oneEach = markedCell("accept", ({ keepsSession }) => !keepsSession);
  const manyEach = markedCell("accept", ({ keepsSession }) => keepsSession);
  const relay = markedCell("relay", () => true);
  const handshakes = markedCell("tls", ({ tls }) => tls === "full");
  return [
    {
      text: "50 sessions, one message each: rate ≥ 2.5 × Postfix",
      part: "accept",
      cell: oneEach,
      measure: "rate",
      against: "Postfix",
      least: 2.5,
    },
    {
      text: "50 sessions, one message each: CPU ≤ ¼ of Postfix",
      part: "accept",
      cell: oneEach,
      measure: "cpu",
      against: "Postfix",
      most: 0.25,
    },
    {
      text: "50 sessions, many each: rate ≥ 3.5 × Postfix",
      part: "accept",
      cell: manyEach,
      measure: "rate",
      against: "Postfix",
      least: 3.5,
    },
    {
      text: "50 sessions, many each: CPU ≤ ⅓ of the best peer",
      part: "accept",
      cell: manyEach,
      measure: "cpu",
      against: "best peer",
      most: 1 / 3,
    },
    {
      text: "relay: rate ≥ 4 × the best peer",
      part: "relay",
      cell: relay,
      measure: "rate",
      against: "best peer",
      least: 4,
    },
    {
      text: "full TLS handshake and a message: rate ≥ the best peer",
      part: "tls",
      cell: handshakes,
      measure: "rate",
      against: "best peer",
      least: 1,
    },
    { text: `${deferred.cell} deferred: list < 2 s`, ...deferred, measure: "list", against: undefined, most: 2 },
    { text: `${deferred.cell} deferred: restart < 3 s`, ...deferred, measure: "restart", against: undefined, most: 3 },
    { text: "1,000 idle TLS sessions: ≤ 100 KB each", ...idle, measure: "session", against: undefined, most: 100 },
  ];
}

/** One for each mark of these parts and each layout; a figure that is not there is said to be missing, never taken as holding. */
export function verdictsOf(marks: readonly Mark[], figures: Figures, parts: readonly string[]): readonly Verdict[] {
  const wanted = marks.filter((mark) => parts.includes(mark.part));
  return wanted.flatMap((mark) => {
    const boundOf = (name: ContenderName): string => {
      const { ratio } = judged(name, mark, figures);
      return ratio === undefined ? "" : `${ratio.toFixed(2)} ×`;
    };
    const bounds = { bare: boundOf("Node, bare"), stores: boundOf("Node, stores") };
    return contenderNames.filter(isOurs).map((name) => ({
      mark: mark.text,
      name,
      ...judged(name, mark, figures),
      ...bounds,
    }));
  });
}

/** How somebody's figure stands to a mark; `ratio` where the mark is one. */
function judged(
  name: ContenderName,
  mark: Mark,
  figures: Figures,
): Pick<Verdict, "found" | "holds"> & { readonly ratio?: number } {
  const { part, cell, measure, against, least, most } = mark;
  const own = figures.of(part, cell, measure, name);
  if (own === undefined) return { found: "not measured", holds: undefined };
  if (against === undefined) return { found: plain(own), holds: within(own, least, most) };
  const other = against === "Postfix" ? named("Postfix", mark, figures) : bestOf(mark, figures);
  if (other === undefined) return { found: `${plain(own)}; no peer measured`, holds: undefined };
  const ratio = own / other.value;
  const found = `${ratio.toFixed(2)} × (${plain(own)} beside ${other.name}'s ${plain(other.value)})`;
  return { found, holds: within(ratio, least, most), ratio };
}

export function verdictTable(verdicts: readonly Verdict[]): string {
  return [
    "| mark | layout | found | holds | Node, bare | with our stores |",
    "|---|---|---|---|---|---|",
    ...verdicts.map(
      ({ mark, name, found, holds, bare, stores }) =>
        `| ${mark} | ${name.split(", ")[1] ?? name} | ${found} | ${holds === undefined ? "not shown" : holds ? "yes" : "**no**"} | ${bare} | ${stores} |`,
    ),
  ].join("\n");
}

interface Found {
  readonly name: ContenderName;
  readonly value: number;
}

function named(name: ContenderName, { part, cell, measure }: Mark, figures: Figures): Found | undefined {
  const value = figures.of(part, cell, measure, name);
  return value === undefined ? undefined : { name, value };
}

function bestOf(mark: Mark, figures: Figures): Found | undefined {
  const all = peers.map((name) => named(name, mark, figures)).filter((found) => found !== undefined);
  return all.toSorted((a, b) => (mark.measure === "rate" ? b.value - a.value : a.value - b.value))[0];
}

function within(value: number, least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY): boolean {
  return value >= least && value <= most;
}

function plain(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
