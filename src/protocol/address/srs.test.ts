import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatLocal, parseMailbox, splitAddress } from "./mailbox.ts";
import { decodeSrs, encodeSrs, isSrs, type SrsOptions } from "./srs.ts";

const DAY_MS = 86_400_000;
const now = Date.UTC(2026, 10, 21, 12);
const options: SrsOptions = {
  secrets: ["tops3cr3t"],
  separator: "=",
  hash: "sha1",
  hashLength: 4,
  leastHashLength: 4,
  maxAgeDays: 21,
};

test("a sender is packed into an address of the forwarder, and a bounce to that one finds him", () => {
  const address = encodeSrs("Alice@example.org", "fwd.example", now, options);
  assert.match(address, /^SRS0=[A-Za-z0-9+/]{4}=[A-Z2-7]{2}=example\.org=Alice@fwd\.example$/);
  assert.deepEqual(decodeSrs(address, now, options), { kind: "address", address: "Alice@example.org" });
});

test("the same addresses as Debian's postsrsd 1.10 makes of the same secret and day", () => {
  const expected = {
    "alice@example.org": "SRS0=B+xg=JK=example.org=alice@fwd.example",
    "SRS0=abcd=zz=example.org=alice@one.example": "SRS1=hB9w=one.example==abcd=zz=example.org=alice@fwd.example",
    "SRS1=abcd=one.example==efgh=ZZ=example.org=alice@two.example":
      "SRS1=iPqR=one.example==efgh=ZZ=example.org=alice@fwd.example",
  };
  for (const [sender, address] of Object.entries(expected))
    assert.equal(encodeSrs(sender, "fwd.example", now, options), address);
});

test("what only begins like a forwarder's address is packed as any other, and a bounce to it finds its way", () => {
  for (const local of ["SRS0=", "SRS0+", "SRS1=abcd=one.example=x", "SRS1=abcd=one.example=", "SRS1="]) {
    const address = encodeSrs(`${local}@two.example`, "fwd.example", now, options);
    assert.deepEqual(decodeSrs(address, now, options), { kind: "address", address: `${local}@two.example` }, address);
  }
});

test("the counter of days begins anew after 1024", () => {
  const address = encodeSrs("alice@example.org", "fwd.example", 0, options);
  assert.match(address, /^SRS0=....=AA=example\.org=alice@fwd\.example$/);
  assert.equal(address, encodeSrs("alice@example.org", "fwd.example", 1024 * DAY_MS, options));
});

test("hosts on the way may change the case of letters", () => {
  const address = encodeSrs("alice@example.org", "fwd.example", now, options);
  for (const changed of [address.toLowerCase(), address.toUpperCase()]) {
    const decoded = decodeSrs(changed, now, options);
    assert.equal(decoded.kind === "address" && decoded.address.toLowerCase(), "alice@example.org");
  }
});

test("what another forwarder made is kept as SRS1, and a bounce goes to that forwarder", () => {
  const first = encodeSrs("alice@example.org", "one.example", now, { ...options, secrets: ["another"] });
  const second = encodeSrs(first, "two.example", now, options);
  assert.match(second, /^SRS1=....=one\.example==....=..=example\.org=alice@two\.example$/);
  assert.deepEqual(decodeSrs(second, now, options), { kind: "address", address: first });
  const third = encodeSrs(second, "three.example", now, { ...options, secrets: ["third"] });
  assert.match(third, /^SRS1=....=one\.example==....=..=example\.org=alice@three\.example$/);
  assert.deepEqual(decodeSrs(third, now, { ...options, secrets: ["third"] }), { kind: "address", address: first });
});

test("what others made up is refused as forged, whatever else is wrong with it", () => {
  const address = encodeSrs("alice@example.org", "fwd.example", now, options);
  const forged = [
    address.replace("alice", "bob"),
    address.replace("example.org", "example.net"),
    address.replace(/=(..)=/, (_all, day: string) => `=${day === "AA" ? "AB" : "AA"}=`),
  ];
  for (const one of forged) assert.deepEqual(decodeSrs(one, now, options), { kind: "refused", reason: "forged" }, one);
  const short = address.replace(/^SRS0=(...).=/, "SRS0=$1=");
  assert.deepEqual(decodeSrs(short, now, options), { kind: "refused", reason: "forged" });
  assert.deepEqual(decodeSrs("SRS0=abcd@fwd.example", now, options), { kind: "refused", reason: "malformed" });
  assert.deepEqual(decodeSrs("SRS1=abcd@fwd.example", now, options), { kind: "refused", reason: "malformed" });
  assert.deepEqual(decodeSrs("srs@fwd.example", now, options), { kind: "other" });
});

test("an address is good for so many days, over the turn of the counter too, and not a day longer", () => {
  for (const made of [now, 1023 * DAY_MS, 1024 * DAY_MS]) {
    const address = encodeSrs("alice@example.org", "fwd.example", made, options);
    assert.equal(decodeSrs(address, made + 21 * DAY_MS, options).kind, "address");
    assert.deepEqual(decodeSrs(address, made + 22 * DAY_MS, options), { kind: "refused", reason: "expired" });
    assert.equal(decodeSrs(address, made - DAY_MS, options).kind, "address", "a clock that is a day behind");
    assert.deepEqual(decodeSrs(address, made - 2 * DAY_MS, options), { kind: "refused", reason: "expired" });
  }
});

test("the first secret signs; those behind it still verify, and others do not", () => {
  const old = encodeSrs("alice@example.org", "fwd.example", now, { ...options, secrets: ["old"] });
  assert.equal(decodeSrs(old, now, { ...options, secrets: ["new", "old"] }).kind, "address");
  assert.equal(decodeSrs(old, now, { ...options, secrets: ["new"] }).kind, "refused");
  assert.notEqual(old, encodeSrs("alice@example.org", "fwd.example", now, { ...options, secrets: ["new", "old"] }));
});

test("each separator is written as set, and all are read", () => {
  for (const separator of ["=", "+", "-"] as const) {
    const address = encodeSrs("alice@example.org", "fwd.example", now, { ...options, separator });
    assert.ok(address.startsWith(`SRS0${separator}`));
    assert.deepEqual(decodeSrs(address, now, options), { kind: "address", address: "alice@example.org" });
    const again = encodeSrs(address, "two.example", now, options);
    assert.deepEqual(decodeSrs(again, now, options), { kind: "address", address });
  }
});

test("property: any sender comes back, through any number of forwarders, and every address on the way is one", () => {
  const domain = fc.constantFrom(
    "example.org",
    "a.b-c.example",
    "[192.0.2.1]",
    "[IPv6:2001:db8::1]",
    "xn--bcher-kva.example",
  );
  const local = fc.oneof(
    fc.string({ minLength: 1, maxLength: 20, unit: fc.constantFrom(...'aZ09=+-._@" \\'.split("")) }),
    fc.constantFrom("ä", "SRS0", "SRS0=", "srs1=x=y", "SRS1=a=b==c"),
  );
  fc.assert(
    fc.property(
      local.map(formatLocal).filter((written) => parseMailbox(`${written}@x.org`, { isInternational: true }).ok),
      domain,
      fc.constantFrom("sha1" as const, "sha256" as const),
      fc.integer({ min: 4, max: 20 }),
      (written, host, hash, hashLength) => {
        const sender = `${written}@${host}`;
        if (isSrs(sender)) return;
        const one = { ...options, hash, hashLength, secrets: ["one"] };
        const first = encodeSrs(sender, "one.example", now, one);
        assert.ok(parseMailbox(first, { isInternational: true }).ok, first);
        assert.equal(isSrs(first), true);
        assert.deepEqual(decodeSrs(first, now, one), {
          kind: "address",
          address: `${splitAddress(sender).local}@${host.toLowerCase()}`,
        });
        const second = encodeSrs(first, "two.example", now, options);
        assert.ok(parseMailbox(second, { isInternational: true }).ok, second);
        assert.deepEqual(decodeSrs(second, now, options), { kind: "address", address: first });
      },
    ),
  );
});

test("property: no recipient throws, and none that was not made here is taken for one that was", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'SRS01=+-abAB@." '.split("")) }), (text) => {
      assert.notEqual(decodeSrs(`SRS0${text}`, now, options).kind, "address");
      assert.notEqual(decodeSrs(`SRS1${text}`, now, options).kind, "address");
      decodeSrs(text, now, options);
    }),
  );
});
