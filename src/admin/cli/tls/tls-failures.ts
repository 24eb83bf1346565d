import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import type { NextCounts } from "../../../mail/log/tls-clusters.ts";
import { WITHIN_MS } from "../../../mail/log/tls-returns.ts";
import { tlsIdText } from "../../../mail/log/tls-journal.ts";
import type { FailuresAnswer, FoundCluster } from "../../../mail/log/tls-questions.ts";
import type { CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { counted, instantText, roughDuration } from "../text.ts";
import { askTls, factLines, selectionOf, selectionOptions } from "./tls-ask.ts";
import type { World } from "../world.ts";

export const tlsFailures: CliCommand = {
  name: "tls failures",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows why TLS failed: causes with their cure, when they began, and what changed just then.",
  explains:
    "Failures are grouped by cause, listener or relay, certificate in use and client software (JA4). `afterwards` tells what the same peers did within a minute. Exits with 1 when there are none.",
  options: selectionOptions,
  async run(given, world) {
    const selection = selectionOf(tlsFailures, given, world);
    const answer = await askTls({ ask: "failures", ...selection }, given, world);
    if (given.has("json")) {
      for (const { newest, counterpart, ...cluster } of answer.clusters) {
        const ids = { newest: newest.map(tlsIdText), counterpart: counterpart && tlsIdText(counterpart) };
        world.stdout.write(`${harmlessJson({ ...cluster, ...ids })}\n`);
      }
    } else world.stdout.write(textOf(answer, selection.sinceAt, world));
    return answer.clusters.length === 0 ? exitCodes.nothing : exitCodes.ok;
  },
};

function textOf(answer: FailuresAnswer, sinceAt: number, world: World): string {
  const { clusters, omitted, workedCount, isCut } = answer;
  const since = `since ${instantText(sinceAt, world.offsetMinutes)}`;
  const worked = `${counted(workedCount, "session")} worked`;
  if (clusters.length === 0) return `no failures ${since}; ${worked}\n`;
  const total = clusters.reduce((sum, { count }) => sum + count, 0);
  const kinds = clusters.length + omitted === 1 ? "1 kind" : `${clusters.length + omitted} kinds`;
  const head = `${counted(total, "failure")} of ${kinds} ${since}; ${worked}`;
  const rest = [
    ...(omitted === 0 ? [] : [`${omitted} more kinds are not shown: --peer and --place narrow`]),
    ...(isCut ? ["there are older failures than were looked at"] : []),
  ];
  return [head, ...clusters.map((cluster) => blockOf(cluster, world)), ...rest].join("\n\n") + "\n";
}

function blockOf(cluster: FoundCluster, world: World): string {
  const instant = (at: number): string => instantText(at, world.offsetMinutes);
  const { direction, beganAt, lastAt, lastWorked, earlierRuns } = cluster;
  const ago = (at: number): string => `${roughDuration(world.now() - at)} ago`;
  const one = cluster.count === 1 && earlierRuns === 0;
  const began =
    `${cluster.mayHaveBegunEarlier ? "before " : ""}${instant(beganAt)} (${ago(beganAt)})` +
    (earlierRuns === 0 ? "" : `, after a long silence: it had happened before`);
  const shown = cluster.peers.map(({ peer, count }) => `${peer} ${count}x`);
  const more = cluster.peerCount - cluster.peers.length;
  const [newest] = cluster.newest;
  const facts = factLines([
    ["fault", FAULTS[cluster.fault] ?? cluster.fault],
    ["usual cure", cluster.cure === "" ? undefined : cluster.cure],
    [one ? "at" : "began", began],
    ["last", one ? undefined : `${instant(lastAt)} (${ago(lastAt)})`],
    ...(cluster.justThen.length === 0
      ? [["just then", "nothing changed on our side in the ten minutes before"] as const]
      : cluster.justThen.map(({ at, text }) => ["just then", `${instant(at)} ${text}`] as const)),
    [
      "before",
      lastWorked === undefined
        ? "none of these peers had a session that worked, as far as the journal reaches"
        : `it worked: ${instant(lastWorked.at)}, ${lastWorked.peer}`,
    ],
    [direction === "in" ? "clients" : "hosts", `${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`],
    ["software", cluster.ja4 === undefined ? undefined : `${cluster.ja4} (JA4)`],
    ["certificate", cluster.certificate?.slice(0, 16)],
    ["afterwards", afterwards(cluster.next, direction, world.now() - cluster.lastAt < WITHIN_MS)],
    [
      "look",
      newest === undefined
        ? undefined
        : `posthorn tls show ${tlsIdText(newest)}` +
          (cluster.counterpart === undefined
            ? ""
            : `; posthorn tls diff ${tlsIdText(newest)} ${tlsIdText(cluster.counterpart)}`),
    ],
  ]).map((line) => `      ${escapeControls(line)}`);
  const where = direction === "in" ? `clients of ${cluster.place}` : `sending by ${cluster.place}`;
  return [
    `${String(cluster.count).padStart(4)}  ${cluster.reason}, ${escapeControls(where)}`,
    `      ${escapeControls(cluster.sentence)}`,
    ...facts,
  ].join("\n");
}

const FAULTS: Readonly<Record<string, string>> = {
  ours: "ours: something here must change",
  peer: "the peer's: something there must change",
  both: "both sides have a part in it",
  network: "the network between us",
  nobody: "nobody's: nothing has to change",
  unknown: "not known whose",
};

/** What the peers did within a minute of their failures. */
function afterwards(next: NextCounts, direction: "in" | "out", isEarly: boolean): string | undefined {
  const left = Object.entries(next.leftAfter).map(([after, count]) => `${count} left after ${after}`);
  const parts = [
    next.tls > 0 ? `${next.tls} ${direction === "in" ? "came back and TLS worked" : "tried again and TLS worked"}` : "",
    next.plaintext > 0
      ? `${next.plaintext} ${direction === "in" ? "came back" : "went on"} in plaintext${left.length === 0 ? "" : ` (${left.join(", ")})`}`
      : "",
    next.withMail > 0 ? `${next.withMail} of them ${direction === "in" ? "brought" : "took"} mail` : "",
    next.failedAgain > 0 ? `${next.failedAgain} failed again` : "",
    next.none > 0 ? `${next.none} did not come back ${isEarly ? "so far" : "within a minute"}` : "",
  ];
  return parts.filter((part) => part !== "").join(", ") || undefined;
}
