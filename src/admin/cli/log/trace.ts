import { harmlessJson } from "../../../foundation/escape.ts";
import { TRACE_TOPICS, type TraceTopic } from "../../../foundation/line-trace.ts";
import type { TopicShown, TraceShown } from "../../control/admin.ts";
import { usage, withServer, type CliCommand, type Given } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { recordJson, recordLine } from "./record-line.ts";
import { durationOf } from "../selector.ts";
import { counted, instantText, roughDuration } from "../text.ts";
import { textTable } from "../text-table.ts";
import { traceTls } from "./trace-tls.ts";
import type { World } from "../world.ts";

const TEN_MINUTES_MS = 600_000;
const A_DAY_MS = 86_400_000;
const TOPICS = [...TRACE_TOPICS, "tls"] as const;

function topicOf(command: CliCommand, word: string | undefined): TraceTopic | "tls" {
  const topic = TOPICS.find((known) => known === word);
  if (topic === undefined) throw usage(command, `expected ${TOPICS.join(", ")}, got ${JSON.stringify(word)}`);
  return topic;
}

export const traceOn: CliCommand = {
  name: "trace on",
  operands: TOPICS.join("|"),
  leastOperands: 1,
  mostOperands: 1,
  says: "Shows what the server does, line by line, for a time, whatever -d and -v said.",
  explains:
    "scheduler: each event and what was decided. mta: the dialogues of sending sessions. smtp: the dialogues of receiving sessions. dns: questions, answers, their servers and times. filter: the dialogues with filters. AUTH is hidden, content only counted; dialogues are shown from their beginning. " +
    "The lines are written here until the time is over or an interrupt, which ends the trace; and to the server's log, in the background as mail.debug. With --detach it only goes to the log and lasts for its time. " +
    "tls takes what `trace tls` takes: --peer, --listener or --relay, and --level.",
  options: {
    for: { says: "How long; 10m, if nothing is said, and a day at most.", value: "TIME" },
    filter: { says: "Only lines with this in them: a host, a relay, a session, an address.", value: "TEXT" },
    detach: { says: "Only to the server's log, and return at once." },
    level: { says: "With tls: 0 to 4; 2, if nothing is said.", value: "LEVEL" },
    peer: { says: "With tls: connections with this peer.", value: "PEER" },
    listener: { says: "With tls: connections to this listener.", value: "NAME" },
    relay: { says: "With tls: connections for this relay.", value: "RELAY" },
    json: { says: "One JSON object a line." },
  },
  async run(given, world) {
    const topic = topicOf(traceOn, given.operands[0]);
    if (topic === "tls") return traceTls.run({ ...given, operands: [given.text("level") ?? "2"] }, world);
    for (const option of ["level", "peer", "listener", "relay"])
      if (given.has(option)) throw usage(traceOn, `--${option} goes with tls; --filter with the others`);
    const forMs = durationOf(traceOn, given, "for") ?? TEN_MINUTES_MS;
    if (forMs < 1000 || forMs > A_DAY_MS) throw usage(traceOn, "--for: expected between 1s and 1d");
    const wish = { topic, filter: given.text("filter"), forMs };
    if (!given.has("detach")) return follow(wish, given, world);
    const shown = await withServer(given, world, "change", (server) => server.call("trace.on", wish));
    const until = instantText(shown.untilAt, world.offsetMinutes);
    world.stdout.write(
      given.has("json")
        ? `${harmlessJson(shown)}\n`
        : `${topic} is traced until ${until}; posthorn trace off ends it\n`,
    );
    return exitCodes.ok;
  },
};

async function follow(wish: object, given: Given, world: World): Promise<number> {
  await withServer(given, world, "change", async (server) => {
    world.interrupted.addEventListener("abort", () => server[Symbol.dispose](), { once: true });
    try {
      for await (const item of server.stream("trace", wish)) {
        if ("missed" in item) {
          world.stderr.write(`(${item.missed} lines were left out: this reader is too slow)\n`);
          continue;
        }
        const line = given.has("json") ? recordJson(item.record) : recordLine(item.record, world);
        if (line !== undefined) world.stdout.write(`${line}\n`);
      }
    } catch (thrown) {
      if (!world.interrupted.aborted) throw thrown;
    }
  });
  return exitCodes.ok;
}

export const traceOff: CliCommand = {
  name: "trace off",
  operands: `[${TOPICS.join("|")}]`,
  leastOperands: 0,
  mostOperands: 1,
  says: "Ends traces, of one kind or all.",
  explains: "Exits with 1 when there was none. `trace tls off --peer PEER` ends one of several of TLS.",
  options: {},
  async run(given, world) {
    const topic = given.operands[0] === undefined ? undefined : topicOf(traceOff, given.operands[0]);
    const removed = await withServer(given, world, "change", async (server) => {
      const ofTopics =
        topic === "tls" ? 0 : (await server.call("trace.off", topic === undefined ? {} : { topic })).removed;
      const ofTls = topic === undefined || topic === "tls" ? (await server.call("trace.tls-off", {})).removed : 0;
      return ofTopics + ofTls;
    });
    world.stdout.write(`${counted(removed, "trace")} ended\n`);
    return removed > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

export const traceList: CliCommand = {
  name: "trace",
  operands: `[${TRACE_TOPICS.join("|")}]`,
  leastOperands: 0,
  mostOperands: 1,
  says: "Lists what is being traced, TLS among it, and for how long. With a topic it is `trace on`.",
  explains: "The options are for a topic, but for --json. Exits with 1 when nothing is traced.",
  options: traceOn.options,
  async run(given, world) {
    if (given.operands.length > 0) return traceOn.run(given, world);
    const [misplaced] = Object.keys(traceOn.options).filter((option) => option !== "json" && given.has(option));
    if (misplaced !== undefined) throw usage(traceList, `--${misplaced} goes with what is to be traced`);
    const { topics, tls } = await withServer(given, world, "query", async (server) => ({
      topics: await server.call("trace.topics"),
      tls: await server.call("trace.list"),
    }));
    if (given.has("json")) for (const one of [...topics, ...tls]) world.stdout.write(`${harmlessJson(one)}\n`);
    else if (topics.length + tls.length === 0) world.stdout.write("nothing is traced beyond what the settings say\n");
    else world.stdout.write(tracesText(topics, tls, world.now()));
    return topics.length + tls.length > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

function tracesText(topics: readonly TopicShown[], tls: readonly TraceShown[], now: number): string {
  return textTable(
    [{ title: "TRACE" }, { title: "OF" }, { title: "FOR" }],
    [
      ...topics.map(({ topic, filter, untilAt }) => [topic, filter ?? "all", forText(untilAt, now)]),
      ...tls.map(({ target, level, untilAt }) => [
        "tls",
        `${target.by} ${target.value}, level ${level}`,
        forText(untilAt, now),
      ]),
    ],
  );
}

function forText(untilAt: number, now: number): string {
  return roughDuration(Math.max(0, untilAt - now));
}
