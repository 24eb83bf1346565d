import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { envelopeIdOf, messageIdOf } from "../../../foundation/ids.ts";
import { coreSettings } from "../../../simulator/scheduling.ts";
import { assertSchedulerInvariants } from "../../../simulator/scheduler-invariants.ts";
import { joinRelay, leaveQueue, takeBatch } from "./ready-queues.ts";
import { senderOf } from "./sender-turns.ts";
import { newRelayQueue, newScheduler, type SchedulerState, type RelayQueue, type Ticket } from "../state.ts";
import { admit, forget, move } from "../ticket.ts";

/** Before a line is long its senders have no turns. */
const SHORT = 16;

/** One relay with one line, and hands to put mail into it and to take it out. */
function oneLine() {
  const s: SchedulerState = newScheduler(coreSettings(), 1);
  const plan = s.settings.plans["relay"];
  assert.ok(plan?.kind === "relay");
  const relay: RelayQueue = newRelayQueue("example.org", plan, "example.org");
  s.relays.set(relay.key, relay);
  // Hosts are being looked up: nobody has to be awake.
  relay.isResolving = true;
  let messages = 0;
  return {
    s,
    send(sender: string, recipients = 1): readonly Ticket[] {
      const message = messageIdOf(++messages);
      const tickets = admit(
        s,
        Array.from({ length: recipients }, (_, n) => ({
          id: envelopeIdOf(message, n + 1),
          message,
          recipient: `user${n}@example.org`,
          sender,
          action: "relay",
          sizeBytes: 1,
          receivedAt: 0,
          progress: { state: "queued" as const, dueAt: 0, expiresAt: 1e9, attempts: 0 },
          wantsDelayNotice: false,
        })),
      );
      for (const ticket of tickets) {
        move(s, ticket, "ready");
        joinRelay(s, relay, ticket);
      }
      return tickets;
    },
    take(most: number): readonly Ticket[] {
      const there = relay.lines.get("example.org");
      const taken = there === undefined ? [] : takeBatch(s, there, most);
      for (const ticket of taken) forget(s, ticket);
      return taken;
    },
    remove(ticket: Ticket): void {
      leaveQueue(s, ticket);
      forget(s, ticket);
    },
  };
}

test("a single mail waits for one transaction of each other sender, however many messages they have there", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          sender: fc.nat(7),
          count: fc.integer({ min: 1, max: 60 }),
          recipients: fc.integer({ min: 1, max: 4 }),
        }),
        { maxLength: 12 },
      ),
      fc.array(fc.nat(7), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 3 }),
      (before, meanwhile, most) => {
        const line = oneLine();
        for (const { sender, count, recipients } of before)
          for (let n = 0; n < count; n++) line.send(`busy${sender}@lists.example`, recipients);
        const senders = new Set(before.map(({ sender }) => sender)).size;
        const [single] = line.send("jane@example.net");
        assert.ok(single !== undefined);
        for (let takes = 1; !line.take(most).includes(single); takes++) {
          assert.ok(takes <= SHORT + senders, `${takes} transactions went before it`);
          for (const sender of meanwhile) line.send(`busy${sender}@lists.example`);
        }
        assertSchedulerInvariants(line.s);
      },
    ),
  );
});

test("whatever comes, goes and is taken out, everything is served once", () => {
  const action = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constant("send" as const), n: fc.nat(3), of: fc.integer({ min: 1, max: 3 }) }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("take" as const), n: fc.nat(3), of: fc.constant(0) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("remove" as const), n: fc.nat(999), of: fc.constant(0) }) },
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 150, size: "max" }), (actions) => {
      const line = oneLine();
      const there: Ticket[] = [];
      const served: Ticket[] = [];
      const serve = (most: number): boolean => {
        const taken = line.take(most);
        served.push(...taken);
        for (const ticket of taken) there.splice(there.indexOf(ticket), 1);
        return taken.length > 0;
      };
      for (const { do: what, n, of } of actions) {
        if (what === "send") there.push(...line.send(`s${n}@example.net`, of));
        else if (what === "take") serve(n + 1);
        else {
          const [ticket] = there.splice(n % Math.max(1, there.length), 1);
          if (ticket !== undefined) line.remove(ticket);
        }
        assertSchedulerInvariants(line.s);
      }
      while (serve(2)) continue;
      assert.deepEqual(there, []);
      assert.equal(new Set(served).size, served.length);
      assert.equal(line.s.tickets.size, 0);
    }),
  );
});

test("addresses of one list are one sender, whoever they were made for", () => {
  assert.equal(senderOf("list+jane=example.org@Lists.example"), "list@lists.example");
  assert.equal(senderOf("news-4711@lists.example"), "news@lists.example");
  assert.equal(senderOf("SRS0=hash=tt=example.org=jane@forwarder.example"), "srs0@forwarder.example");
  assert.equal(senderOf("Jane.Doe@example.org"), "jane.doe@example.org");
  assert.equal(senderOf("+@example.org"), "+@example.org");
  assert.equal(senderOf(""), "");
  assert.equal(senderOf("jane@my-host.example"), "jane@my-host.example");
});
