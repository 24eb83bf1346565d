import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectRequest, NetworkDelivery, TransactRequest } from "../../mail/delivery/delivery.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { egressPool, type EgressMember } from "./egress-pool.ts";

function member(): EgressMember & { readonly calls: string[] } {
  const calls: string[] = [];
  const port: NetworkDelivery = {
    resolve: async () => ({ ok: true, hosts: [], freshUntilAt: 0 }),
    connect: async ({ session }) => {
      calls.push(`connect ${session}`);
      return { ok: true, session, facts: { host: "h", extensions: [] }, tookMs: 0 };
    },
    transact: async ({ session }) => {
      calls.push(`transact ${session}`);
      return { outcomes: [], isUsable: true };
    },
    leave: async (session) => {
      calls.push(`leave ${session}`);
    },
    tryRecipient: async () => ({ kind: "failed", text: "" }),
    tryTls: async () => ({ result: "not-tried", text: "" }),
    tlsPolicy: async () => ({ kind: "none", byMx: "may", keysTried: [] }),
  };
  return { port, calls };
}

// Only the session is looked at by the pool; the rest is the member's matter.
const connectRequest = (session: string): ConnectRequest => ({ session }) as ConnectRequest;
const transactRequest = (session: string): TransactRequest => ({ session }) as TransactRequest;

test("sessions spread over the processes and stay where they were opened", async () => {
  const pool = egressPool({ clock: virtualClock(0), patienceMs: 1000, version: 1 });
  const [a, b] = [member(), member()];
  pool.add(a, 1);
  pool.add(b, 1);
  await pool.connect(connectRequest("s1"));
  await pool.connect(connectRequest("s2"));
  await pool.transact(transactRequest("s1"));
  await pool.transact(transactRequest("s2"));
  await pool.leave("s1");
  assert.deepEqual(a.calls, ["connect s1", "transact s1", "leave s1"]);
  assert.deepEqual(b.calls, ["connect s2", "transact s2"]);
});

test("a process that is leaving keeps its sessions and gets no new one", async () => {
  const pool = egressPool({ clock: virtualClock(0), patienceMs: 1000, version: 1 });
  const [old, fresh] = [member(), member()];
  pool.add(old, 1);
  await pool.connect(connectRequest("s1"));
  pool.retire(old);
  pool.add(fresh, 1);
  await pool.connect(connectRequest("s2"));
  await pool.transact(transactRequest("s1"));
  assert.deepEqual(old.calls, ["connect s1", "transact s1"]);
  assert.deepEqual(fresh.calls, ["connect s2"]);
});

test("with nobody there a call waits for a process, but not for ever", async () => {
  const clock = virtualClock(0);
  const pool = egressPool({ clock, patienceMs: 1000, version: 1 });
  const tooLong = assert.rejects(pool.connect(connectRequest("s1")), { code: "ROLE_UNAVAILABLE" });
  await clock.advance(1000);
  await tooLong;
  const inTime = pool.connect(connectRequest("s2"));
  await clock.advance(500);
  pool.add(member(), 1);
  assert.equal((await inTime).ok, true);
});

test("a session whose process is gone is refused at once", async () => {
  const pool = egressPool({ clock: virtualClock(0), patienceMs: 1000, version: 1 });
  const lost = member();
  pool.add(lost, 1);
  await pool.connect(connectRequest("s1"));
  pool.remove(lost);
  await assert.rejects(pool.transact(transactRequest("s1")), { code: "ROLE_UNAVAILABLE" });
});

test("new sessions are for members of the version that is served; the others keep theirs and stand by", async () => {
  const pool = egressPool({ clock: virtualClock(0), patienceMs: 1000, version: 1 });
  const [old, ahead] = [member(), member()];
  pool.add(old, 1);
  pool.add(ahead, 2);
  await pool.connect(connectRequest("s1"));
  await pool.connect(connectRequest("s2"));
  pool.serve(2);
  await pool.connect(connectRequest("s3"));
  await pool.transact(transactRequest("s1"));
  // Refused: those before are still there.
  pool.serve(1);
  await pool.connect(connectRequest("s4"));
  await pool.transact(transactRequest("s3"));
  assert.deepEqual(old.calls, ["connect s1", "connect s2", "transact s1", "connect s4"]);
  assert.deepEqual(ahead.calls, ["connect s3", "transact s3"]);
});

test("what waits for a process of its version is not sent by those of another", async () => {
  const clock = virtualClock(0);
  const pool = egressPool({ clock, patienceMs: 1000, version: 1 });
  const other = member();
  const early = assert.rejects(pool.connect(connectRequest("s1")), { code: "ROLE_UNAVAILABLE" });
  pool.add(other, 2);
  await clock.advance(10);
  pool.serve(2);
  await early;
  await pool.connect(connectRequest("s2"));
  assert.deepEqual(other.calls, ["connect s2"]);
});
