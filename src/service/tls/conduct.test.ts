import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { Conduct, type Misconduct } from "./conduct.ts";

const record = (type: number, length: number): Buffer =>
  Buffer.concat([Buffer.from([type, 3, 3, length >> 8, length & 0xff]), Buffer.alloc(length)]);
const DATA = record(23, 60);
const KEY_UPDATE = record(23, 22);
const CLOSE = record(23, 19);
const HANDSHAKE = record(22, 40);

/** What is said of these records; TLS makes data of those of 60 bytes. */
function judged(conduct: Conduct, bytes: Buffer): Misconduct | undefined {
  let said: Misconduct | undefined;
  for (const piece of conduct.pieces(bytes)) {
    for (let at = piece.indexOf(DATA); at !== -1; at = piece.indexOf(DATA, at + DATA.length)) conduct.decrypted();
    said ??= conduct.judge();
  }
  return said;
}

function made(role: "server" | "client", version: string): Conduct {
  const conduct = new Conduct(role);
  conduct.established(version);
  return conduct;
}

test("a hundred tickets and key updates are nobody's harm, more are a flood", () => {
  const conduct = made("server", "TLSv1.3");
  for (let count = 0; count < 100; count++) assert.equal(judged(conduct, KEY_UPDATE), undefined);
  assert.equal(judged(conduct, KEY_UPDATE), "key-update-flood");
});

test("a long connection may renew its keys: every 64 records of data are good for one more", () => {
  const conduct = made("client", "TLSv1.3");
  for (let round = 0; round < 1000; round++) {
    const bytes = Buffer.concat([...Array.from({ length: 64 }, () => DATA), KEY_UPDATE]);
    assert.equal(judged(conduct, bytes), undefined, `round ${round}`);
  }
});

test("a flood is seen in one chunk of thousands too, and however little data comes between", () => {
  assert.equal(
    judged(made("server", "TLSv1.3"), Buffer.concat(Array.from({ length: 2000 }, () => KEY_UPDATE))),
    "key-update-flood",
  );
  const mixed = made("server", "TLSv1.3");
  let rounds = 0;
  while (judged(mixed, Buffer.concat([DATA, ...Array.from({ length: 10 }, () => KEY_UPDATE)])) === undefined) rounds++;
  assert.ok(rounds <= 11, `${rounds} rounds`);
});

test("in TLS 1.2 a handshake inside the connection is refused to a client at once, to a server after a few", () => {
  assert.equal(judged(made("server", "TLSv1.2"), HANDSHAKE), "renegotiation-refused");
  const client = made("client", "TLSv1.2");
  for (let count = 0; count < 3; count++) assert.equal(judged(client, HANDSHAKE), undefined);
  assert.equal(judged(client, HANDSHAKE), "renegotiation-refused");
  assert.equal(judged(made("server", "TLSv1.2"), DATA), undefined);
});

test("the handshake itself is not judged", () => {
  const conduct = new Conduct("server");
  for (let count = 0; count < 1000; count++) assert.equal(judged(conduct, HANDSHAKE), undefined);
  conduct.established("TLSv1.2");
  assert.equal(judged(conduct, DATA), undefined);
});

test("what may be a close_notify ends a piece, so that what is behind it is seen", () => {
  const cut = (version: string, ...records: readonly Buffer[]): readonly number[] =>
    [...made("server", version).pieces(Buffer.concat(records))].map((piece) => piece.length);
  assert.deepEqual(cut("TLSv1.3", DATA, CLOSE, DATA), [DATA.length + CLOSE.length, DATA.length]);
  assert.deepEqual(cut("TLSv1.3", DATA, CLOSE), [DATA.length + CLOSE.length]);
  assert.deepEqual(cut("TLSv1.3", DATA, KEY_UPDATE, DATA), [2 * DATA.length + KEY_UPDATE.length]);
  assert.deepEqual(cut("TLSv1.2", record(21, 26), DATA), [31, DATA.length]);
});

test("the pieces are the chunk, and the same records cut elsewhere are judged the same", () => {
  const anyRecord = fc.constantFrom(DATA, KEY_UPDATE, CLOSE, HANDSHAKE, record(23, 0), record(21, 26));
  const version = fc.constantFrom("TLSv1.2", "TLSv1.3");
  fc.assert(
    fc.property(
      fc.array(anyRecord, { maxLength: 300 }),
      fc.array(fc.nat(20_000), { maxLength: 8 }),
      version,
      (records, cuts, name) => {
        const bytes = Buffer.concat(records);
        const whole = [...made("server", name).pieces(bytes)];
        assert.deepEqual(Buffer.concat(whole), bytes);
        const conduct = made("server", name);
        const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
        // No data here: every record counts.
        let said: Misconduct | undefined;
        for (const [index, place] of [0, ...places].entries()) {
          for (const piece of conduct.pieces(bytes.subarray(place, places[index] ?? bytes.length))) void piece;
          said ??= conduct.judge();
        }
        const once = made("server", name);
        for (const piece of once.pieces(bytes)) void piece;
        assert.equal(said, once.judge());
      },
    ),
  );
});

test("no bytes make it throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const conduct = made("client", "TLSv1.3");
      for (const piece of conduct.pieces(Buffer.from(bytes))) assert.ok(piece.length >= 0);
      conduct.judge();
    }),
  );
});
