import { test } from "node:test";
import assert from "node:assert/strict";
import { systemClock } from "../../foundation/clock.io.ts";
import { scramPbkdf2 } from "../../protocol/sasl/pbkdf2.io.ts";
import { inlineTable } from "../table/tables.ts";
import type { Table } from "../table/table.ts";
import type { Authenticator } from "./authenticator.ts";
import { HASH_SCHEMES } from "./hash-schemes.ts";
import { hashPassword } from "./hash-password.io.ts";
import { isPassword } from "./password-check.io.ts";
import { parsePasswordHash, type PasswordHash } from "./password.ts";
import { RememberedLogins } from "./remembered-logins.ts";
import { nobodyMayLogIn, tableAuthenticator, type TableAuthenticatorParts } from "./table-authenticator.ts";
import { Turns } from "../../foundation/turns.ts";

function authenticator(table: Table, parts: Partial<TableAuthenticatorParts> = {}): Authenticator {
  return tableAuthenticator(table, {
    isPassword,
    pbkdf2: scramPbkdf2,
    turns: new Turns({ most: 2, mostWaiting: 100 }),
    remembered: new RememberedLogins(systemClock, 0, (text) => text),
    allowsWeak: false,
    secret: new Uint8Array(32),
    ...parts,
  });
}

function map(entries: Readonly<Record<string, string>>): Table {
  return inlineTable("accounts", { kind: "map", entries });
}

function known(text: string): PasswordHash {
  const hash = parsePasswordHash(text);
  assert.ok(hash, text);
  return hash;
}

for (const scheme of HASH_SCHEMES)
  test(`what is hashed by ${scheme} is recognised by its password and by no other`, async () => {
    const written = await hashPassword("correct hörse", scheme);
    const hash = known(written);
    assert.equal(await isPassword("correct hörse", hash), true);
    assert.equal(await isPassword("correct horse", hash), false);
    assert.equal(await isPassword("", hash), false);
    assert.notEqual(await hashPassword("correct hörse", scheme), written, "each has a salt of its own");
  });

test("bcrypt is written at a cost that is a bound today, not at the library's own", async () => {
  const [, cost] = /^\$2b\$(\d\d)\$/.exec(await hashPassword("correct horse", "bcrypt")) ?? [];
  assert.ok(Number(cost) >= 10, `cost ${cost}`);
});

test("the same letters are the same password, as whatever keyboard composes them", async () => {
  assert.equal(await isPassword("pa\u0308ss", known(await hashPassword("päss"))), true);
});

test("hashes of other programs in the same format are understood", async () => {
  // RFC 7914 section 12, third vector: N=16384, r=8, p=1, password "pleaseletmein", salt "SodiumChloride".
  const vector =
    "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887";
  const base64 = (bytes: Buffer): string => bytes.toString("base64").replace(/=+$/, "");
  const hash = known(
    `$scrypt$ln=14,r=8,p=1$${base64(Buffer.from("SodiumChloride"))}$${base64(Buffer.from(vector, "hex"))}`,
  );
  assert.equal(await isPassword("pleaseletmein", hash), true);
  assert.equal(await isPassword("pleaseletmeout", hash), false);
});

test("the published vectors of crypt(3) hold: SHA-crypt's own, and bcrypt's", async () => {
  // "Unix crypt using SHA-256 and SHA-512" by Ulrich Drepper, its test vectors.
  for (const [password, text] of [
    ["Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"],
    [
      "Hello world!",
      "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
    ],
    // From the tests of crypt_blowfish by Solar Designer.
    ["U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"],
  ] as const) {
    assert.equal(await isPassword(password, known(text)), true, text);
    assert.equal(await isPassword(`${password}.`, known(text)), false, text);
  }
});

test("the keys of SCRAM in RFC 7677's example are those of its password", async () => {
  // RFC 7677 section 3: user "user", password "pencil", this salt, 4096 iterations; the keys follow from RFC 5802.
  const hash = known(
    "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
  );
  assert.equal(await isPassword("pencil", hash), true);
  assert.equal(await isPassword("pencils", hash), false);
});

test("the right password opens the account, in any case of the user's name", async () => {
  const accounts = authenticator(map({ "joe@example.org": "{PLAIN}sesame", jane: await hashPassword("x y") }));
  assert.deepEqual(await accounts.checkPassword("Joe@Example.org", "sesame"), {
    kind: "right",
    account: "joe@example.org",
  });
  assert.deepEqual(await accounts.checkPassword("jane", "x y"), { kind: "right", account: "jane" });
  assert.deepEqual(await accounts.checkPassword("jane", "x"), { kind: "wrong" });
  assert.deepEqual(await accounts.checkPassword("joe", "sesame"), { kind: "wrong" });
  assert.deepEqual(await accounts.checkPassword("", ""), { kind: "wrong" });
  assert.deepEqual(await accounts.checkPassword("jane", "x".repeat(100_000)), { kind: "wrong" });
});

test("for an unknown user the same work is done as for a wrong password, whatever the table's scheme", async () => {
  for (const scheme of ["scrypt", "bcrypt", "sha512-crypt", "scram-sha-256"] as const) {
    const worked: PasswordHash[] = [];
    const accounts = authenticator(map({ joe: await hashPassword("right", scheme), plain: "{PLAIN}x" }), {
      isPassword: (_, hash) => {
        worked.push(hash);
        return Promise.resolve(false);
      },
    });
    assert.equal((await accounts.checkPassword("joe", "wrong")).kind, "wrong");
    const [joes] = worked.splice(0);
    assert.equal((await accounts.checkPassword("nobody", "wrong")).kind, "wrong");
    assert.deepEqual(worked.splice(0), [joes], scheme);
    // A password that is kept itself is compared at once: the usual work is done beside it.
    assert.equal((await accounts.checkPassword("plain", "wrong")).kind, "wrong");
    assert.deepEqual(worked.splice(0).slice(1), [joes], scheme);
  }
});

test("a table that fails, or holds no hash, is a failure and not a wrong password", async () => {
  const failing: Table = {
    ...map({}),
    lookup: () => Promise.resolve({ kind: "failed", text: "the disk is gone" }),
  };
  assert.deepEqual(await authenticator(failing).checkPassword("joe", "x"), {
    kind: "failed",
    text: "the disk is gone",
  });
  assert.equal((await authenticator(map({ joe: "secret" })).checkPassword("joe", "secret")).kind, "failed");
});

test("a hash built on MD5 counts only where the settings allow it", async () => {
  // openssl passwd -1 -salt abc secret
  const table = map({ joe: "{PLAIN-MD5}5ebe2294ecd0e0f08eab7690d2a6ee69" });
  assert.equal((await authenticator(table).checkPassword("joe", "secret")).kind, "failed");
  assert.equal((await authenticator(table, { allowsWeak: true }).checkPassword("joe", "secret")).kind, "right");
  assert.equal((await authenticator(table, { allowsWeak: true }).checkPassword("joe", "secrets")).kind, "wrong");
});

test("a password that was right is not hashed again for a while, until it is changed", async () => {
  let hashed = 0;
  let stored = "{PLAIN}first";
  const table: Table = {
    ...map({}),
    lookup: () => Promise.resolve({ kind: "found", value: stored, where: "t" }),
  };
  const accounts = authenticator(table, {
    remembered: new RememberedLogins(systemClock, 60_000, (text) => text),
    isPassword: async (password, hash) => {
      if (hash.kind === "plain") hashed++;
      return hash.kind === "plain" && hash.password === password;
    },
  });
  assert.equal((await accounts.checkPassword("joe", "first")).kind, "right");
  assert.equal((await accounts.checkPassword("joe", "first")).kind, "right");
  assert.equal(hashed, 1);
  assert.equal((await accounts.checkPassword("joe", "wrong")).kind, "wrong");
  stored = "{PLAIN}second";
  assert.equal((await accounts.checkPassword("joe", "first")).kind, "wrong", "the old one is nobody's any more");
});

test("SCRAM's keys are those of the table, or made from a password that is kept itself, with the same salt each time", async () => {
  const accounts = authenticator(
    map({
      kept: await hashPassword("pencil", "scram-sha-256"),
      plain: "{PLAIN}pencil",
      other: await hashPassword("x"),
    }),
  );
  const kept = await accounts.scramKeys?.("Kept", "SHA-256");
  assert.equal(kept?.kind === "found" ? kept.account : "", "kept");
  assert.deepEqual(await accounts.scramKeys?.("kept", "SHA-1"), {
    kind: "none",
    because: "the password is kept in a form that SCRAM cannot use",
  });
  const plain = await accounts.scramKeys?.("plain", "SHA-256");
  assert.deepEqual(plain, await accounts.scramKeys?.("PLAIN", "SHA-256"));
  assert.equal(plain?.kind === "found" ? plain.keys.iterations : 0, 4096);
  assert.equal((await accounts.scramKeys?.("other", "SHA-256"))?.kind, "none");
  assert.deepEqual(await accounts.scramKeys?.("nobody", "SHA-256"), { kind: "none" });
  assert.deepEqual(await accounts.plainPassword?.("plain"), { kind: "found", account: "plain", password: "pencil" });
});

test("without accounts nobody logs in", async () => {
  assert.deepEqual(await nobodyMayLogIn.checkPassword("joe", "x"), { kind: "wrong" });
});

test("SCRAM works as much for users that do not exist as for those whose passwords it was asked for last", async () => {
  let derived = 0;
  const counting: Partial<TableAuthenticatorParts> = {
    pbkdf2: (...asked) => {
      derived++;
      return scramPbkdf2(...asked);
    },
  };
  const kept = authenticator(
    map({ ann: "{PLAIN}pencil", bob: await hashPassword("pencil", "scram-sha-256") }),
    counting,
  );
  const worked = async (user: string): Promise<number> => {
    const before = derived;
    await kept.scramKeys?.(user, "SHA-256");
    return derived - before;
  };
  assert.equal(await worked("ann"), 1);
  assert.equal(await worked("nobody"), 1);
  assert.equal(await worked("bob"), 0);
  assert.equal(await worked("nobody"), 0);
});
