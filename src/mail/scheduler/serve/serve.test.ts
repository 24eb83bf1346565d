import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../foundation/random.ts";
import { createZone } from "../../../simulator/zone.ts";
import { resolveHosts, type HostFinder } from "../../delivery/resolve-hosts.ts";
import { relayByMx } from "../../route/relay.ts";
import { resolveRequestOf } from "./serve.ts";

test("mail for an address in brackets goes to that address, and to none of ours", async () => {
  const finder: HostFinder = {
    resolver: createZone({}),
    random: seededRandom(1),
    now: () => 0,
    ownNames: new Set(),
    isOwn: (address) => address === "192.0.2.1" || address === "2001:db8::1",
    families: "any",
  };
  const resolved = (domain: string) =>
    resolveHosts(resolveRequestOf({ relay: relayByMx, verify: false, text: "mx" }, domain), finder);
  for (const [domain, ip] of [
    ["[192.0.2.2]", "192.0.2.2"],
    ["[ipv6:2001:db8::2]", "2001:db8::2"],
  ] as const) {
    const there = await resolved(domain);
    assert.ok(there.ok);
    assert.deepEqual(there.hosts, [{ name: ip, address: { ip, port: 25 }, preference: 0 }]);
  }
  for (const domain of ["[192.0.2.1]", "[ipv6:2001:db8::1]", "[ipv6:::ffff:192.0.2.1]"]) {
    const loop = await resolved(domain);
    assert.ok(!loop.ok && loop.failure.cause.kind === "mx-loop", domain);
  }
});
