import { execFileSync } from "node:child_process";
import { cpus, loadavg, release, totalmem } from "node:os";
import { ROOT } from "../../test/server.ts";
import type { Field } from "./contenders.ts";

/** What a reader must know before the figures: the machine, the versions, and how each server was set. */
export function headline(field: Field, rounds: number, loads: readonly number[], isQuick: boolean): string {
  const model = cpus()[0]?.model ?? "unknown";
  const day = new Date().toISOString().slice(0, 10);
  const versions = [...field.versions].map(([name, version]) => `${name} ${version}`).join(", ");
  const low = Math.min(...loads).toFixed(1);
  const high = Math.max(...loads).toFixed(1);
  return [
    `# ${day}: Posthorn${commitOf()} beside the servers people run`,
    "",
    `${versions}. ${cpus().length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}; Node ${process.version}.`,
    `Medians of ${rounds} ${rounds === 1 ? "round" : "rounds"} [smallest–largest], servers taking turns${isQuick ? "; `--quick`: few messages, coarse figures" : ""}. Load average during the run, its own`,
    `load included: ${low} to ${high}. Load from the same machine: Debian's smtp-source, with TLS our own client.`,
    "",
    "How each is set, beyond what it is told to do with the mail:",
    "",
    "- Posthorn: emitted JavaScript, default checks and durability (synced before the 250), log and journal on; split: its workers as another user, as many that receive as there are cores, half as many that send.",
    "- Postfix: Debian's, default durability (synced before the 250), log to a file, process limit 1,100. Kept mail is deferred (`defer_transports`); “held” has it in the hold queue (`HOLD`), where its scheduler never sees it.",
    "- Exim: Debian's, default durability (synced before the 250); limits of sessions, of waiting connections and of messages a session lifted (`smtp_accept_max`, `smtp_connect_backlog`, `smtp_accept_max_per_connection`, `smtp_accept_queue_per_connection`). Kept mail is queued (`queue_only`). It waits 200 ms after QUIT before it says 221 (compiled in), which bounds its rate with few sessions of one message each, not its CPU; our TLS client does not wait for 221.",
    "- OpenSMTPD: Debian's, default durability: it syncs nothing before the 250. Its queue of waiting connections is five long (compiled in), so it listens on twenty ports and the load is spread; names of clients come from /etc/hosts, not from DNS; no delays between connections to the next host (`mta limit`), and more than a hundred messages a session (`smtp limit`). Kept mail is queued, outgoing mail paused.",
    "- Haraka: from npm, two workers, no plugins but TLS and one of ours, which names client and next host; default durability (it syncs each queue file before the 250, not the folder). Kept mail is queued, outgoing mail disabled.",
    "- “Node, bare” is no server: the least program in Node that speaks the same SMTP, keeps each message in one file, synced before the 250 (one sync for all that wait), and sends it on over kept connections (`comparison/bare-node-main.ts`). It checks nothing, and has no queue, routes, retries, limits or log: a bound for what Node can come to under this load.",
    "- “Node, stores” is the same program, but keeps mail in Posthorn's queue and tells Posthorn's journal, for each message one event, one more when it is sent on, and what a scheduler would be told (`comparison/bare-stores.ts`): a bound for what a server with these stores can come to.",
    ...[...field.absent].map(([name, why]) => `- **${name} is left out**: ${why}`),
  ].join("\n");
}

/** The load of the last minute, every few seconds, until it is stopped. */
export function watchLoad(): { readonly loads: readonly number[]; stop(): void } {
  const loads = [loadavg()[0] ?? 0];
  const timer = setInterval(() => loads.push(loadavg()[0] ?? 0), 5000);
  timer.unref();
  return { loads, stop: () => clearInterval(timer) };
}

function commitOf(): string {
  try {
    return ` (${execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: ROOT, encoding: "utf8" }).trim()})`;
  } catch {
    return "";
  }
}
