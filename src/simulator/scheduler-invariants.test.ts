import assert from "node:assert/strict";
import { test } from "node:test";
import type { SchedulerState } from "../mail/scheduler/state.ts";
import { scenarioOf } from "./scenario.ts";
import { assertSchedulerInvariants } from "./scheduler-invariants.ts";
import { simulate } from "./simulation.ts";

/** A state in the middle of things: something waits, is ready, is being tried. */
function busy(): SchedulerState {
  const { state } = simulate(
    scenarioOf({
      until: "9m",
      world: {
        hosts: { slow: { slow: { command: "20s" } }, refusing: { storms: [{ at: "RCPT" }] } },
        domains: { slow: { mx: [{ host: "slow" }] }, refusing: { mx: [{ host: "refusing" }] } },
      },
      workloads: { slow: { mails: 200, to: "slow" }, refused: { mails: 20, to: "refusing" } },
    }),
    { checkEvery: 100 },
  );
  return state;
}

test("books that do not agree are found", () => {
  const ways: Readonly<Record<string, (s: SchedulerState) => void>> = {
    "a connection is counted that is not there": (s) => void s.total.used++,
    "an envelope is counted twice": (s) => void s.counts.ready++,
    "a message is forgotten": (s) => void s.messageCount--,
    "an envelope thinks that it is being tried": (s) => {
      const ticket = [...s.tickets.values()].find(({ place }) => place === "waiting");
      assert.ok(ticket !== undefined);
      ticket.place = "active";
    },
    "an envelope is in two sessions": (s) => {
      const sessions = [...s.sessions.values()];
      const from = sessions.find(({ tickets }) => tickets.length > 0);
      const to = sessions.find((session) => session !== from);
      assert.ok(from !== undefined && to !== undefined);
      to.tickets = from.tickets;
    },
    "nothing will wake an envelope that waits": (s) => {
      const ticket = [...s.tickets.values()].find(({ place }) => place === "waiting");
      assert.ok(ticket !== undefined);
      ticket.heapAt = -1;
    },
    "a relay counts more than it has": (s) => {
      const relay = [...s.relays.values()].find(({ readyCount }) => readyCount > 0);
      assert.ok(relay !== undefined);
      relay.readyCount++;
    },
    "a limit is exceeded": (s) => {
      s.settings = {
        ...s.settings,
        route: { ...s.settings.route, limits: { ...s.settings.route.limits, total: 1 } },
      };
    },
  };
  assertSchedulerInvariants(busy());
  for (const [what, breakIt] of Object.entries(ways)) {
    const state = busy();
    breakIt(state);
    assert.throws(() => assertSchedulerInvariants(state), /books do not agree/, what);
  }
});
