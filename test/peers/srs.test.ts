/** Return addresses of Posthorn and of Debian's postsrsd (libsrs2) are understood by each other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeSrs, encodeSrs, type SrsOptions } from "../../src/protocol/address/srs.ts";
import { startPostsrsd } from "./postsrsd.ts";
import { hasPeer } from "./running.ts";

const SENDERS = [
  "alice@example.org",
  "Alice.B+tag@Sub.Example.ORG",
  "a=b@example.org",
  "x-y_z@example.org",
  "bounces+bob=example.net@list.example",
  "o'brien@example.org",
];
const secret = "a secret that both have";

for (const { separator, hashLength } of [
  { separator: "=", hashLength: 4 },
  { separator: "+", hashLength: 8 },
  { separator: "-", hashLength: 4 },
] as const)
  test(`each side makes what the other makes, and undoes it (${separator}, ${hashLength})`, async (t) => {
    if (!hasPeer("postsrsd", t)) return;
    const options: SrsOptions = {
      secrets: [secret],
      separator,
      hash: "sha1",
      hashLength,
      leastHashLength: 4,
      maxAgeDays: 21,
    };
    await using theirs = await startPostsrsd({ secrets: [secret], domain: "fwd.example", separator, hashLength });
    for (const sender of SENDERS) {
      const ours = encodeSrs(sender, "fwd.example", Date.now(), options);
      const made = await theirs.forward(sender);
      // They keep the case of a domain, which means nothing.
      assert.equal(made?.toLowerCase(), ours.toLowerCase());
      assert.equal((await theirs.reverse(ours))?.toLowerCase(), sender.toLowerCase());
      const decoded = decodeSrs(made, Date.now(), options);
      assert.equal(decoded.kind === "address" && decoded.address.toLowerCase(), sender.toLowerCase());
      // Lower case on the way, as some hosts do.
      assert.equal((await theirs.reverse(ours.toLowerCase()))?.toLowerCase(), sender.toLowerCase());
    }
  });

test("what the other has rewritten already becomes SRS1 on both sides alike, and leads back to it", async (t) => {
  if (!hasPeer("postsrsd", t)) return;
  const options: SrsOptions = {
    secrets: [secret],
    separator: "=",
    hash: "sha1",
    hashLength: 4,
    leastHashLength: 4,
    maxAgeDays: 21,
  };
  await using first = await startPostsrsd({ secrets: ["another secret of theirs"], domain: "one.example" });
  await using second = await startPostsrsd({ secrets: [secret], domain: "two.example" });
  const once = await first.forward("alice@example.org");
  assert.ok(once !== undefined);
  const ours = encodeSrs(once, "two.example", Date.now(), options);
  assert.equal(await second.forward(once), ours);
  assert.match(ours, /^SRS1=/);
  assert.equal(await second.reverse(ours), once);
  assert.deepEqual(decodeSrs(ours, Date.now(), options), { kind: "address", address: once });
  // A third forwarder keeps the first one's host.
  const again = encodeSrs(ours, "three.example", Date.now(), { ...options, secrets: ["third"] });
  assert.deepEqual(decodeSrs(again, Date.now(), { ...options, secrets: ["third"] }), {
    kind: "address",
    address: once,
  });
  assert.equal(await first.reverse(once), "alice@example.org");
});

test("neither takes what the other's secret has not signed; a second secret still verifies", async (t) => {
  if (!hasPeer("postsrsd", t)) return;
  const options: SrsOptions = {
    secrets: ["new", "old"],
    separator: "=",
    hash: "sha1",
    hashLength: 4,
    leastHashLength: 4,
    maxAgeDays: 21,
  };
  await using theirs = await startPostsrsd({ secrets: ["new", "old"], domain: "fwd.example" });
  const forged = encodeSrs("alice@example.org", "fwd.example", Date.now(), { ...options, secrets: ["other"] });
  assert.equal(await theirs.reverse(forged), undefined);
  assert.equal(decodeSrs(forged, Date.now(), options).kind, "refused");
  const old = encodeSrs("alice@example.org", "fwd.example", Date.now(), { ...options, secrets: ["old"] });
  assert.equal(await theirs.reverse(old), "alice@example.org");
  assert.equal(decodeSrs(old, Date.now(), options).kind, "address");
  const expired = encodeSrs("alice@example.org", "fwd.example", Date.now() - 30 * 86_400_000, options);
  assert.equal(await theirs.reverse(expired), undefined);
  assert.deepEqual(decodeSrs(expired, Date.now(), options), { kind: "refused", reason: "expired" });
});
