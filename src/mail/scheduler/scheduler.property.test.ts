import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { reply } from "../../protocol/smtp/reply.ts";
import { unreachable, type SimulatedHost } from "../../simulator/deliveries.ts";
import { simulatedScheduling, type SimulatedScheduling } from "../../simulator/scheduling.ts";
import { assertSchedulerInvariants } from "../../testing/scheduler-invariants.ts";
import type { Failure } from "../envelope/failure.ts";
import { routeSettings } from "../route/settings.ts";
import type { Selector } from "./admin/admin.ts";
import { replay } from "./replay/replay.ts";
import { snapshot } from "./replay/snapshot.ts";
import { SUSPENSION_LEVELS, type SuspensionLevel } from "./suspension/suspension.ts";

const RUNS = Number(process.env["POSTHORN_RUNS"] ?? 30);

const failure = (lasting: Failure["lasting"], during: string): Failure => ({
  lasting,
  status: lasting === "temporary" ? "4.2.0" : "5.1.1",
  cause: { kind: "reply", during },
  reply: reply(lasting === "temporary" ? 450 : 550, undefined, "no"),
});
const said = (during: string, code: number, status: string, text: string): Failure => ({
  lasting: "temporary",
  status,
  cause: { kind: "reply", during },
  reply: reply(code, status, text),
});
const refusals: { readonly [name in Mood]?: Failure } = {
  defers: failure("temporary", "RCPT"),
  refuses: failure("permanent", "RCPT"),
  "is-told": said("RCPT", 451, "4.7.1", "greylisted, try again in 90 seconds"),
  "is-full": said("RCPT", 452, "4.5.3", "too many recipients"),
  "blocks-us": said("RCPT", 450, "4.7.1", "client host blocked"),
  "dislikes-senders": said("MAIL", 450, "4.1.8", "sender's domain not found"),
};
const lost = (during: string): Failure => ({
  lasting: "temporary",
  status: "4.4.2",
  cause: { kind: "lost", reason: "closed", during },
});

/** What a host does, drawn anew for each thing it is asked. */
const moods = [
  "fine",
  "defers",
  "refuses",
  "down",
  "down",
  "down",
  "closes",
  "cuts",
  "dies",
  "shuts-out",
  "not-ours",
  "greylists",
  "is-told",
  "is-full",
  "blocks-us",
  "dislikes-senders",
  "says-goodbye",
  "one-domain",
] as const;
type Mood = (typeof moods)[number];

const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      to: fc.array(fc.nat(11), { minLength: 1, maxLength: 12 }),
      isNull: fc.boolean(),
      isLocal: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("pass" as const),
      ms: fc.constantFrom(0, 1, 7, 40, 400, 5000, 60_000, 900_000, 20_000_000),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("mood" as const), host: fc.nat(5), mood: fc.constantFrom(...moods) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "hold" as const,
        "release" as const,
        "retryNow" as const,
        "remove" as const,
        "bounce" as const,
      ),
      by: fc.nat(4),
      n: fc.nat(11),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom("pause" as const, "resume" as const), local: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("suspend" as const),
      what: fc.nat(9),
      n: fc.nat(11),
      forMs: fc.constantFrom(undefined, 1000, 600_000, 90_000_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("unsuspend" as const), what: fc.nat(9), n: fc.nat(11) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("exchange" as const),
      domain: fc.nat(11),
      by: fc.nat(5),
      isOwn: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reload" as const), total: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("shape" as const), as: fc.nat(3) }) },
);

/** Shaping and source addresses, for reloads. */
const shapes: readonly object[] = [
  {},
  { shaping: { "*.example": { connections: 1, rate: "3/s" }, "mx:mx1": { connections: 2, connectionRate: "1/10s" } } },
  { sources: ["198.51.100.1", "198.51.100.2"], shaping: { "mx:*": { rate: "20/min", mailsPerConnection: 2 } } },
  {
    sources: [
      { address: "198.51.100.1", weight: 4, connections: 2 },
      { address: "198.51.100.2", rate: "30/min" },
    ],
    pools: { other: ["198.51.100.3", "198.51.100.4"] },
    shaping: {
      "*": { together: { connections: 3, rate: "100/min" }, recipientsPerMail: 1 },
      "d3.example": { sources: "pool:other", connections: 3 },
      "mx:mx2": { connections: 1, together: { rate: "1/s" } },
    },
  },
];

type Scene = typeof action extends fc.Arbitrary<infer Value> ? Value : never;

/**
 * Six hosts; domain n is served by hosts n and n+1, so that relays share routes, and the first six domains share each its
 * relay with one of the others. Gives a function that sets the hosts of a domain.
 */
function world(simulation: SimulatedScheduling, moodOf: Mood[]): (domain: number, by: number) => void {
  const firstAt = new Map<string, number>();
  const greylister = (triplet: string): Failure | undefined => {
    const now = simulation.clock.now();
    const since = firstAt.get(triplet) ?? now;
    firstAt.set(triplet, since);
    return now - since >= 300_000 ? undefined : said("RCPT", 450, "4.2.0", "greylisted");
  };
  const hosts = Array.from({ length: 6 }, (_, n): SimulatedHost => {
    const mood = (): Mood => moodOf[n] ?? "fine";
    return {
      name: `mx${n}`,
      ip: `192.0.2.${n}`,
      preference: n % 2 === 0 ? 10 : 20,
      // One hangs before it answers.
      connectMs: n === 1 ? 5000 : 30,
      transactMs: 20,
      facts: n === 3 ? { mostRecipients: 2, mostTransactions: 2 } : {},
      onConnect: ({ sourceAddress = "none" }) => {
        const isFirst = sourceAddress.endsWith(".1") || sourceAddress.endsWith(".3");
        if (mood() === "down") return unreachable(`192.0.2.${n}`);
        if (mood() === "shuts-out" && isFirst) return failure("temporary", "greeting");
        if (mood() === "not-ours" && isFirst)
          return { ...lost("connect"), cause: { kind: "connect", reason: "source", text: "not ours" } };
        return undefined;
      },
      failureScope: n === 4 ? "relay" : n === 5 ? "host" : "address",
      onEnvelope: (id, recipient, { envelopes }) => {
        const current = mood();
        const domainOf = (address: string | undefined): string => address?.slice(address.indexOf("@")) ?? "";
        if (current === "one-domain" && domainOf(recipient) !== domainOf(envelopes[0]?.recipient))
          return said("RCPT", 451, "4.3.0", "multiple destination domains per transaction is unsupported");
        if (current === "greylists") return greylister(`${n} ${recipient}`);
        // Whoever stands behind the first one of a message does not fit.
        if (current === "is-full" && id.endsWith(".1")) return undefined;
        // Each answer is an object of its own, as the answers of deliveries are.
        return structuredClone(refusals[current]);
      },
      onTransaction: () => {
        if (mood() === "dies") throw new Error("the worker died");
        if (mood() === "says-goodbye") return { failure: said("RCPT", 421, "4.3.2", "going down") };
        return mood() === "closes"
          ? { failure: lost("MAIL") }
          : mood() === "cuts"
            ? { failure: lost("end of DATA") }
            : undefined;
      },
    };
  });
  const exchange = (domain: number, by: number): void => {
    const serving = [hosts[by % 6], hosts[(by + 1) % 6]].filter((host) => host !== undefined);
    if (domain !== 11) simulation.world.setDomain(`d${domain}.example`, serving);
  };
  for (let n = 0; n < 12; n++) exchange(n, n);
  return exchange;
}

function selectorOf(by: number, n: number, ids: readonly string[]): Selector {
  const id = ids[n % Math.max(1, ids.length)] ?? "00000000000";
  switch (by) {
    case 0:
      return { by: "envelope", id: `${id}.1` };
    case 1:
      return { by: "message", id };
    case 2:
      return { by: "domain", domain: `d${n}.example` };
    case 3:
      return { by: "route", route: `192.0.2.${n % 6}` };
    default:
      return { by: "all" };
  }
}

function suspendedOf(what: number, n: number, ids: readonly string[]): readonly [SuspensionLevel, string] {
  const id = ids[n % Math.max(1, ids.length)] ?? "00000000000";
  const all: readonly (readonly [SuspensionLevel, string])[] = [
    ["envelope", `${id}.1`],
    ["message", id],
    ["sender", n % 2 === 0 ? "s@mail.example" : "<>"],
    ["sender", "@mail.example"],
    ["domain", `d${n}.example`],
    ["relay", `mx${n % 6}`],
    ["host", `192.0.2.${n % 6}`],
    ["route", `* > mx${n % 6}[192.0.2.${n % 6}]:25`],
    ["tenant", "t1"],
    ["all", "*"],
  ];
  return all[what] ?? ["all", "*"];
}

async function play(scenes: readonly Scene[], seed: number): Promise<SimulatedScheduling> {
  const simulation = simulatedScheduling({
    seed,
    route: {
      limits: {
        host: 3,
        route: 2,
        source: 4,
        relay: 3,
        domain: 2,
        total: 5,
        hanging: 2,
        mailsPerSession: 4,
        recipientsPerMail: 3,
      },
    },
    scheduler: { local: { atOnce: 3, perRecipient: 2 }, expireAfter: "1d" },
    wantsStart: (recorded) => recorded % 50 === 0,
  });
  const { clock, scheduler, settings } = simulation;
  const moodOf: Mood[] = ["fine", "down", "fine", "fine", "down", "closes"];
  const exchange = world(simulation, moodOf);
  const ids: string[] = [];
  const look = (): void => assertSchedulerInvariants(scheduler.state);
  for (const scene of scenes) {
    switch (scene.do) {
      case "send": {
        const to = scene.to.map((n, at) => `u${at}@d${n}.example`);
        const action = scene.isLocal ? "deliver" : "relay";
        const tenant = scene.to.length % 2 === 0 ? { tenant: "t1" } : {};
        const message = {
          ...tenant,
          priority: (scene.to[0] ?? 0) % 3 === 0 ? ((scene.to[0] ?? 0) % 2 === 0 ? 4 : -4) : 0,
        };
        ids.push(await simulation.send({ from: scene.isNull ? "" : "s@mail.example", to, action, message }));
        break;
      }
      case "pass":
        for (let left = scene.ms; left > 0;) {
          const next = clock.nextAt();
          const step = next === undefined ? left : Math.min(left, Math.max(0, next - clock.now()));
          await clock.advance(step);
          left -= Math.max(1, step);
          look();
        }
        break;
      case "suspend": {
        const [level, key] = suspendedOf(scene.what, scene.n, ids);
        const untilAt = scene.forMs === undefined ? undefined : clock.now() + scene.forMs;
        void scheduler.suspend({ level, key, because: "a test", by: "test", setAt: clock.now(), untilAt });
        break;
      }
      case "unsuspend":
        void scheduler.unsuspend(...suspendedOf(scene.what, scene.n, ids), "test");
        break;
      case "exchange": {
        exchange(scene.domain, scene.by);
        const { unshared } = simulation.world;
        if (scene.isOwn) unshared.add(`d${scene.domain}.example`);
        else unshared.delete(`d${scene.domain}.example`);
        break;
      }
      case "mood":
        moodOf[scene.host] = scene.mood;
        break;
      case "pause":
        scheduler.pause(scene.local ? "local" : "out", "a test");
        break;
      case "resume":
        scheduler.resume(scene.local ? "local" : "out");
        break;
      case "shape": {
        const shape = routeSettings.parse({ limits: settings.route.limits, ...shapes[scene.as] });
        scheduler.reload({ ...settings, route: { ...settings.route, ...shape } });
        break;
      }
      case "reload": {
        const limits = { ...settings.route.limits, total: scene.total };
        scheduler.reload({ ...settings, route: { ...settings.route, limits } });
        // A limit that fell below what is used holds for what comes.
        while (scheduler.state.total.used > scene.total && (await clock.advanceToNext())) continue;
        break;
      }
      case "hold":
      case "release":
      case "retryNow":
      case "remove":
      case "bounce": {
        const selector = selectorOf(scene.by, scene.n, ids);
        const because = "a test";
        void scheduler.command(
          scene.do === "release" || scene.do === "retryNow"
            ? { do: scene.do, selector }
            : { do: scene.do, selector, because },
        );
      }
    }
    await clock.advance(0);
    look();
  }
  // In the end everybody is well and nothing is held: then everything has to come to its end.
  moodOf.length = 0;
  scheduler.resume("out");
  scheduler.resume("local");
  await clock.advance(1000);
  await scheduler.command({ do: "release", selector: { by: "all" } });
  for (const level of SUSPENSION_LEVELS)
    for (const key of scheduler.state.suspensions[level].keys()) await scheduler.unsuspend(level, key, "test");
  for (let n = 0; n < 60; n++) {
    await clock.advance(3_600_000);
    look();
  }
  return simulation;
}

test("whatever happens, no envelope is forgotten or in two places, and no limit is exceeded", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 60, size: "max" }), fc.integer(), async (scenes, seed) => {
      const simulation = await play(scenes, seed);
      const { state } = simulation.scheduler;
      const left = await simulation.store.list({});
      assert.deepEqual(
        left.filter((row) => row.state !== "dead"),
        [],
        "everything came to its end",
      );
      assert.equal(state.tickets.size, left.length, "store and scheduler agree");
      for (const [, times] of simulation.world.delivered) assert.equal(times, 1, "nothing is delivered twice");
      await simulation.scheduler.stop(0);
    }),
    { numRuns: RUNS },
  );
});

/** Inputs are recorded as JSON, which does not tell a property that is undefined from one that is not there. */
function stateText(state: object): string {
  return snapshot(state).replaceAll(/"\w+",\{"u":0\},?/g, "");
}

test("a replay of the recorded inputs gives the same events and the same state, from any start", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { minLength: 5, maxLength: 30, size: "max" }),
      fc.integer(),
      async (scenes, seed) => {
        const simulation = await play(scenes, seed);
        const starts = simulation.inputs.flatMap(({ isStart }, at) => (isStart ? [at] : []));
        for (const start of [starts[0] ?? 0, starts[starts.length >> 1] ?? 0]) {
          // Later starts are passed over: the replay runs through on its own.
          const inputs = simulation.inputs.filter(({ isStart }, at) => at === start || (at > start && !isStart));
          let last;
          const told: string[] = [];
          for (const replayed of replay(inputs)) {
            last = replayed.state;
            for (const one of replayed.actions)
              if (one.do === "tell") told.push(JSON.stringify([replayed.at, one.event.name, one.fields]));
          }
          if (last === undefined) continue;
          assert.equal(stateText(last), stateText(simulation.scheduler.state));
          const names = new Set(["queue.active", "queue.removed", "delivery.smtp", "delivery.local", "route.rests"]);
          const since = simulation.inputs[start]?.at ?? 0;
          const original = simulation.emitted.filter((one) => one.at > since && names.has(one.name));
          const again = told
            .map((one) => JSON.parse(one) as [number, string])
            .filter(([at, name]) => at > since && names.has(name));
          assert.deepEqual(
            again.map(([at, name]) => [at, name]),
            original.map((one) => [one.at, one.name]),
          );
        }
        await simulation.scheduler.stop(0);
      },
    ),
    { numRuns: Math.ceil(RUNS / 3) },
  );
});
