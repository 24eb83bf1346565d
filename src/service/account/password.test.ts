import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parsePasswordHash } from "./password.ts";

test("text that is no hash, or would cost too much, is refused", () => {
  for (const text of [
    "",
    "secret",
    "{PLAIN}",
    "{NONSENSE}x",
    "$scrypt$",
    "$scrypt$ln=30,r=8,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
    "$scrypt$ln=15,r=8,p=99$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
    "$6$salt$hash",
    `$6$rounds=999999999$saltsalt$${"a".repeat(86)}`,
    `$2b$31$${"a".repeat(53)}`,
    `$y$jzT$saltsaltsalt$${"a".repeat(43)}`,
    `$7$zU..../....salt$${"a".repeat(43)}`,
    "$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "$argon2id$v=19$m=65536,t=999,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "$argon2d$v=19$m=65536,t=3,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "{SCRAM-SHA-256}4096,c2FsdA==,AAAA,AAAA",
    "{SSHA}not base64!",
    "{SHA256}c2hvcnQ=",
    "{PBKDF2}$1$salt$99999999$0000000000000000000000000000000000000000",
  ])
    assert.equal(parsePasswordHash(text), undefined, text);
});

test("a password may be kept itself, under three names, and encoded", () => {
  for (const text of ["{plain}a b", "{CLEARTEXT}a b", "{Clear}a b", "{PLAIN.b64}YSBi", "{PLAIN.HEX}612062"])
    assert.deepEqual(parsePasswordHash(text), { kind: "plain", password: "a b" }, text);
});

test("what stands behind a scheme's name is what stands without it", () => {
  const yescrypt = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC";
  assert.deepEqual(parsePasswordHash(`{CRYPT}${yescrypt}`), parsePasswordHash(yescrypt));
  assert.deepEqual(parsePasswordHash(yescrypt), { kind: "crypt", setting: yescrypt, isWeak: false });
});

test("what is built on MD5 or DES is known as weak", () => {
  for (const text of [
    "{MD5-CRYPT}$1$abc$uAXS.Zj1ZDNcW9iX1TVH2/",
    "{PLAIN-MD5}5ebe2294ecd0e0f08eab7690d2a6ee69",
    "{CRYPT}ab1xXvJ4yk1Yk",
  ]) {
    const hash = parsePasswordHash(text);
    assert.equal(hash !== undefined && "isWeak" in hash && hash.isWeak, true, text);
  }
});

test("a salted digest ends with its salt, in whatever encoding", () => {
  const bytes = Buffer.concat([Buffer.alloc(20, 7), Buffer.from("salz")]);
  for (const text of [`{SSHA}${bytes.toString("base64")}`, `{SSHA.hex}${bytes.toString("hex")}`]) {
    const hash = parsePasswordHash(text);
    assert.deepEqual(hash?.kind === "digest" ? hash.salt.toString() : "", "salz", text);
  }
});

test("no text of a table makes it throw", () => {
  const pieces = fc.constantFrom(
    "{",
    "}",
    "$",
    "SSHA",
    "PLAIN",
    ".b64",
    ".hex",
    "argon2id",
    "v=19",
    "m=65536,t=3,p=1",
    "2b",
    "y",
    "7",
    "rounds=5000",
    ",",
    "4096",
    "YWJj",
    "=",
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(fc.oneof(pieces, fc.string({ maxLength: 5 }))).map((parts) => parts.join("")),
      ),
      (text) => {
        parsePasswordHash(text);
      },
    ),
  );
});
