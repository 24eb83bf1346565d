import assert from "node:assert/strict";
import { test } from "node:test";

import { runPosthorn } from "../posthorn.ts";
import type { ProbeOutcome, ProbeTrial } from "./tls-probe-plan.ts";
import type { World } from "../world.ts";

const usual: ProbeTrial = { name: "the usual handshake", about: "usual", terms: { minVersion: "TLSv1.2" } };

/** A probe of a host that takes TLS 1.1 at most, where a server with this answer runs. */
async function probed(answer: object): Promise<{ code: number; json: Record<string, unknown>; tried: string[] }> {
  const tried: string[] = [];
  let out = "";
  const outcome = (trial: ProbeTrial, host: string): ProbeOutcome => {
    tried.push(`${host} ${JSON.stringify(trial.terms)}`);
    if (trial.terms.minVersion === "TLSv1.2") return { trial, tookMs: 1, ok: false, stage: "handshake", text: "no" };
    return {
      trial,
      tookMs: 1,
      ok: true,
      facts: {
        role: "client",
        version: "TLSv1.1",
        cipher: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        bits: 128,
        isResumed: false,
        handshakeMs: 1,
        verdict: { result: "OK", by: "authorities" },
      },
      closing: { peer: "close_notify", we: "close_notify+fin" },
    };
  };
  const client = {
    call: () => Promise.resolve(answer),
    [Symbol.dispose]: () => {},
  };
  // All that this command asks of the world.
  const world = {
    stdout: {
      isTerminal: false,
      write: (text: string) => (out += text),
      room: () => Promise.resolve(),
      flushed: () => Promise.resolve(),
      lost: new AbortController().signal,
    },
    stderr: { isTerminal: false, write: (text: string) => assert.fail(text) },
    env: {},
    hostname: "here.example",
    interrupted: new AbortController().signal,
    locate: () => Promise.resolve({ controlPaths: { query: "query", change: "change" } }),
    connectControl: () => Promise.resolve(client),
    probeTls: (target, _tell, _interrupted, planned = [usual]) =>
      Promise.resolve({
        target,
        address: "192.0.2.1",
        chain: [],
        authorities: "",
        trials: planned.map((trial) => outcome(trial, target.host)),
      }),
  } satisfies Partial<Record<keyof World, unknown>> & Pick<World, "probeTls"> as unknown as World;
  const code = await runPosthorn(["tls", "probe", "--json", "mx.example"], world);
  return { code, json: JSON.parse(out) as Record<string, unknown>, tried };
}

const found = { kind: "found", key: "mx.example", where: "posthorn.yaml:3:5", keysTried: [] } as const;

test("the handshake of the policy is tried at the address that was met, and decides", async () => {
  const terms = { minVersion: "TLSv1", maxVersion: "TLSv1.1" };
  const { code, json, tried } = await probed({ ...found, policy: { level: "encrypt" }, terms });
  assert.deepEqual(tried, [
    'mx.example {"minVersion":"TLSv1.2"}',
    '192.0.2.1 {"minVersion":"TLSv1","maxVersion":"TLSv1.1"}',
  ]);
  assert.deepEqual(json["policy"], {
    rule: "encrypt, by posthorn.yaml:3:5 (key mx.example)",
    outcome: "mail would go encrypted",
    wouldGo: true,
  });
  assert.equal(code, 0);
});

test("where the policy has no handshake of its own the usual one decides", async () => {
  const { code, json, tried } = await probed({
    ...found,
    policy: { level: "encrypt" },
    terms: { minVersion: "TLSv1.2" },
  });
  assert.equal(tried.length, 1);
  assert.deepEqual((json["policy"] as Record<string, unknown>)["wouldGo"], false);
  assert.equal(code, 1);
});
