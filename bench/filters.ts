/**
 * What filters cost: `node bench/filters.ts [--messages 2000] [--rounds 5]`. Messages a second, and milliseconds of the
 * processor each, of whole servers beside each other: without filters, with a hook that sees every mail and says nothing, with
 * one at every stage, and with the first in a thread. Rounds alternate between them, so that what else the machine does falls on all alike; what is told
 * is the median of the rounds.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpuSecondsOf } from "../test/processes.ts";
import { startServer, type TestServer } from "../test/server.ts";
import { smtpSource } from "./smtp-source.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

const { values } = scriptArguments({
  options: { messages: { type: "string", default: "2000" }, rounds: { type: "string", default: "5" } },
});
const messages = Number(values.messages);
const rounds = Number(values.rounds);

const EVERY = `import { defineHooks } from "posthorn";
const nothing = () => undefined;
export default defineHooks({
  onConnect: nothing, onHelo: nothing, onAuth: nothing, onMail: nothing, onRcpt: nothing, onData: nothing, onMessage: nothing,
});
`;

const folder = mkdtempSync(join(tmpdir(), "posthorn-bench-hooks-"));
chmodSync(folder, 0o755);
const file = join(folder, "hooks.ts");
const every = join(folder, "every.ts");
writeFileSync(
  file,
  `import { defineHooks } from "posthorn";\nexport default defineHooks({ onMessage: () => undefined });\n`,
);
writeFileSync(every, EVERY);

const COMMON = `
local: { domains: [bench.test], users: [joe] }
actions: { drop: { deliver: discard } }
rules: [{ match: { for: local }, action: drop }]
`;
const VARIANTS: Readonly<Record<string, string>> = {
  "no filter": "",
  "an empty hook": `filters: { own: { module: "${file}" } }\nfiltered-by: [own]\n`,
  "a hook at every stage": `filters: { own: { module: "${every}" } }\nfiltered-by: [own]\n`,
  "an empty hook in a thread": `filters: { own: { module: { file: "${file}", worker: true } } }\nfiltered-by: [own]\n`,
};

interface Round {
  readonly perSecond: number;
  readonly cpuMs: number;
}

async function round(server: TestServer): Promise<Round> {
  const { pid } = server.process;
  if (pid === undefined) throw new Error("the server has no process");
  const before = cpuSecondsOf(pid);
  const tookS = await smtpSource({
    port: server.ports.smtp,
    sessions: 10,
    messages,
    bytes: 4096,
    keepsSession: true,
    recipient: "joe@bench.test",
  });
  return { perSecond: messages / tookS, cpuMs: ((cpuSecondsOf(pid) - before) * 1000) / messages };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

const servers: (readonly [what: string, server: TestServer])[] = [];
try {
  for (const [what, settings] of Object.entries(VARIANTS))
    servers.push([what, await startServer({ settings: `${COMMON}${settings}`, readyWithinMs: 90_000 })]);
  const results = new Map<string, Round[]>(servers.map(([what]) => [what, []]));
  for (const [, server] of servers) await round(server);
  for (let at = 0; at < rounds; at++)
    for (const [what, server] of servers) results.get(what)?.push(await round(server));
  const [none = []] = results.values();
  for (const [what, all] of results) {
    const perSecond = median(all.map((one) => one.perSecond));
    const cpuMs = median(all.map((one) => one.cpuMs));
    // Of the same round each, so that a busy minute of the machine is in both.
    const share = median(all.map((one, at) => one.perSecond / (none[at]?.perSecond ?? one.perSecond)));
    const cpuShare = median(all.map((one, at) => one.cpuMs / (none[at]?.cpuMs ?? one.cpuMs)));
    console.log(
      `${what.padEnd(28)} ${perSecond.toFixed(0).padStart(6)} /s (${((share - 1) * 100).toFixed(1).padStart(6)} %)` +
        `  ${cpuMs.toFixed(3).padStart(7)} ms of CPU each (${((cpuShare - 1) * 100).toFixed(1).padStart(6)} %)`,
    );
  }
} finally {
  for (const [, server] of servers) await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}
