import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { HandedClients } from "./handed-clients.ts";
import type { WorkerProcess } from "./worker-process.ts";

/** Only what is asked here; the rest of a process has nothing to do with it. */
function ingress(name: string, took: string[], isThere = true): WorkerProcess {
  const hand: WorkerProcess["hand"] = (message) => {
    if (isThere && message.kind === "local-client") took.push(`${name} ${message.client}`);
    return isThere;
  };
  return { name, role: "ingress", hand } as unknown as WorkerProcess;
}

test("connections go to each in turn, past who is away, and each end is told once, by whatever it came", () => {
  const took: string[] = [];
  const ended: string[] = [];
  const workers = [ingress("a", took), ingress("b", took, false), ingress("c", took)];
  const clients = new HandedClients();
  const socket = new Socket();
  const known = {} as Parameters<HandedClients["hand"]>[2];
  for (const who of ["one", "two", "three"])
    assert.ok(clients.hand(workers, socket, known, () => void ended.push(who)));
  assert.deepEqual(took, ["a 1", "c 3", "a 4"]);
  clients.end("c", 3);
  clients.end("c", 3);
  assert.deepEqual(ended, ["two"]);
  clients.endAll("a");
  clients.endAll("a");
  assert.deepEqual(ended, ["two", "one", "three"]);
  assert.equal(
    clients.hand([ingress("b", took, false)], socket, known, () => void ended.push("nobody")),
    false,
  );
  assert.equal(
    clients.hand([], socket, known, () => {}),
    false,
  );
  clients.endAll("b");
  assert.equal(ended.length, 3);
});
