import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { clientHelloBody } from "../../../testing/hello-bytes.ts";
import { readClientHello } from "./client-hello.ts";
import { ja4 } from "./ja4.ts";

interface Vectors {
  captured: { vectors: { what: string; record: string; serverName: string; ja4: string }[] };
  described: {
    vectors: {
      what: string;
      version: string;
      ciphers: string;
      extensions: string;
      signatures: string;
      alpn: string;
      ja4: string;
    }[];
  };
  alpn: { vectors: { value: string; mark: string }[] };
}

const path = join(import.meta.dirname, "..", "..", "..", "..", "test", "vectors", "ja4.json");
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own file; its form is the interface above
const vectors = JSON.parse(readFileSync(path, "utf8")) as Vectors;

for (const { what, record, serverName, ja4: expected } of vectors.captured.vectors) {
  test(`a captured ClientHello has its published fingerprint: ${what}`, () => {
    const start = Buffer.from(record, "hex");
    // The record's header of five bytes and the message's of four; the padding goes on to the record's end.
    const body = Buffer.alloc(start.readUInt16BE(3) - 4);
    start.copy(body, 0, 9);
    const hello = readClientHello(body);
    assert.equal(hello.isMalformed, false);
    assert.equal(hello.serverName, serverName);
    assert.equal(ja4(hello), expected);
  });
}

for (const vector of vectors.described.vectors) {
  test(`a ClientHello of published fields has its published fingerprint: ${vector.what}`, () => {
    const list = (text: string): number[] =>
      text === "" ? [] : text.split(",").map((hex) => Number.parseInt(hex, 16));
    const body = clientHelloBody({
      versions: [0x7a7a, ...list(vector.version), 0x0303],
      ciphers: [0x5a5a, ...list(vector.ciphers)],
      extensions: [0xfafa, ...list(vector.extensions), 0x1a1a],
      signatures: vector.signatures === "" ? [] : [0x0a0a, ...list(vector.signatures)],
      alpn: [Buffer.from(vector.alpn)],
    });
    const found = ja4(readClientHello(body));
    assert.equal(vector.ja4.startsWith("_") ? found.slice(-13) : found, vector.ja4);
  });
}

test("the first ALPN value is marked by its ends, or by those of its hex form when they are no letters or digits", () => {
  for (const { value, mark } of vectors.alpn.vectors) {
    const body = clientHelloBody({ extensions: [16], alpn: [Buffer.from(value, "hex"), Buffer.from("zz")] });
    assert.equal(ja4(readClientHello(body)).slice(8, 10), mark, value);
  }
});

test("a hello without extensions and ciphers says so with zeros, and more than 99 of them count as 99", () => {
  const bare = readClientHello(clientHelloBody({ ciphers: [], extensions: [] }));
  assert.equal(ja4(bare), "t12i000000_000000000000_000000000000");
  const many = readClientHello(clientHelloBody({ ciphers: Array.from({ length: 120 }, (_, n) => n + 1) }));
  assert.equal(ja4(many).slice(0, 8), "t12i9900");
});
