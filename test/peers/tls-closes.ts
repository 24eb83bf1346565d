/**
 * Who closes TLS how: every peer that we can get hold of, both ways, STARTTLS and implicit TLS, TLS 1.2 and 1.3; each hands
 * a mail over and goes. `node test/peers/tls-closes.ts --write` writes the table of docs/manual/tls-peers.md from what was
 * seen; without `--write` it is printed. `tls-closes.test.ts` fails when the manual says anything else.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../server.ts";
import { clientRuns } from "./tls-clients.ts";
import { serverRuns } from "./tls-servers.ts";
import type { SeenSession } from "./tls-watch.ts";

/** One run of one peer. */
export interface TlsRun {
  readonly peer: string;
  /** What the peer is: we are the other. */
  readonly role: "client" | "server";
  readonly way: "STARTTLS" | "implicit";
  /** The version that the peer (or, towards servers, we) was told to speak; undefined: it cannot be told. */
  readonly version: "TLSv1.2" | "TLSv1.3" | undefined;
  /** What was seen; undefined: the handshake fails, and that is the peer's fault. */
  readonly seen: SeenSession | undefined;
  /** A mail went over and arrived, or the peer cannot carry one. */
  readonly hasMail: boolean;
  /** What was wrong, on either side: all of it. */
  readonly complaints: readonly string[];
}

const MANUAL = join(ROOT, "docs", "manual", "tls-peers.md");
const BEGIN = "<!-- What follows is written by `node test/peers/tls-closes.ts --write`. -->";
/** Far above what any of them takes (some milliseconds), for machines that are busy. */
const AT_ONCE_MS = 1500;

/**
 * Who closes TCP without a close_notify ends in a FIN, or in a reset where something of ours was still unread in its
 * kernel: the same program on another day. The log tells which; here it is one thing.
 */
const ENDS: Readonly<Record<string, string>> = {
  close_notify: "close_notify",
  truncated: "none: FIN or reset",
  reset: "none: FIN or reset",
  "no-answer": "none at all",
};

/** A row for each peer, role and end: versions and ways that ended the same share one. Rows in the order given. */
export function tableOf(runs: readonly TlsRun[]): string {
  const rows = new Map<string, { ways: Map<string, string[]>; make: (versions: string) => string }>();
  for (const run of runs) {
    const { peer, role, seen } = run;
    const [theirs, ours, answer] =
      seen === undefined
        ? ["no handshake: its own key is out of its reach", "plaintext, where that is allowed", "–"]
        : [ENDS[seen.peerEnd] ?? seen.peerEnd, oursOf(seen), answerOf(seen)];
    const key = [peer, role, theirs, ours, answer].join("|");
    const row = rows.get(key) ?? {
      ways: new Map<string, string[]>(),
      make: (versions: string) => `| ${peer} | ${role} | ${versions} | ${theirs} | ${ours} | ${answer} |`,
    };
    rows.set(key, row);
    const versions = row.ways.get(run.way) ?? [];
    row.ways.set(run.way, [...versions, seen?.version.replace("TLSv", "") ?? "any"]);
  }
  return [
    "| peer | as | TLS | its end | our end | its answer comes |",
    "|---|---|---|---|---|---|",
    ...[...rows.values()].map(({ ways, make }) => {
      const all = [...ways].map(([way, versions]) => ({ way, versions: [...new Set(versions)].sort().join(", ") }));
      const same = all.length > 1 && all.every(({ versions }) => versions === all[0]?.versions);
      const text = same
        ? `${all[0]?.versions ?? ""}, both ways`
        : all.map(({ way, versions }) => `${versions} ${way === "implicit" ? "implicit" : "by STARTTLS"}`).join("; ");
      return make(text);
    }),
  ].join("\n");
}

/** Whoever leaves like that may be gone before ours is on its way; towards a reset nothing can be sent. */
function oursOf({ ourEnd, peerEnd }: SeenSession): string {
  if (peerEnd === "truncated" || peerEnd === "reset") return "close_notify, where it is not gone yet";
  return ourEnd === "close_notify+fin" ? "close_notify, then FIN" : ourEnd;
}

function answerOf({ peerEnd, tookMs }: SeenSession): string {
  if (peerEnd === "no-answer") return "never; cut after 3 s";
  if (tookMs === undefined) return "not seen";
  return tookMs < AT_ONCE_MS ? "at once" : "within 3 s";
}

/** All of it; a minute or two. */
export async function allRuns(): Promise<readonly TlsRun[]> {
  return [...(await clientRuns()), ...(await serverRuns())];
}

export function tableInManual(): string {
  const text = readFileSync(MANUAL, "utf8");
  return text.slice(text.indexOf(BEGIN) + BEGIN.length).trim();
}

if (import.meta.main) {
  const runs = await allRuns();
  for (const { peer, role, way, version, seen, hasMail, complaints } of runs) {
    const told = seen === undefined ? "no handshake" : Object.values(seen).join(" ");
    process.stderr.write(`${peer} ${role} ${way} ${version ?? "any"}: ${told}${hasMail ? "" : "; NO MAIL"}\n`);
    for (const complaint of complaints) process.stderr.write(`  ${complaint}\n`);
  }
  const table = tableOf(runs);
  if (process.argv.includes("--write")) {
    const text = readFileSync(MANUAL, "utf8");
    writeFileSync(MANUAL, `${text.slice(0, text.indexOf(BEGIN) + BEGIN.length)}\n\n${table}\n`);
  } else process.stdout.write(`${table}\n`);
}
