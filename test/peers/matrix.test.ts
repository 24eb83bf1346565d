import assert from "node:assert/strict";
import { test } from "node:test";
import type { Layout } from "../server.ts";
import { copiesOf, startPair, type RelayPeer } from "./pair.ts";
import { differenceOf, message, type Content } from "./contents.ts";
import { startExim } from "./exim.ts";
import { startOpensmtpd } from "./opensmtpd.ts";
import { startPostfix } from "./postfix.ts";
import { relaySuite } from "./relay-suite.ts";
import { sendWithPython } from "./python.ts";

/** The long matrix: both layouts, DATA and BDAT, and content that ends around each size at which a buffer may end. */
const peers: readonly RelayPeer[] = [
  {
    name: "postfix",
    domain: "postfix.test",
    start: (options) =>
      startPostfix({
        ...options,
        settings: ["smtpd_recipient_restrictions = check_recipient_access inline:{nobody@postfix.test=REJECT}"],
      }),
    notices: "standard",
    hasSmtpUtf8: true,
    bdatInLog: /bdat=\d/,
  },
  {
    name: "exim4",
    domain: "exim.test",
    start: startExim,
    notices: "undecoded",
    hasSmtpUtf8: true,
    bdatInLog: / <= .* K /,
  },
  {
    name: "opensmtpd",
    domain: "opensmtpd.test",
    start: startOpensmtpd,
    notices: "plain text",
    hasSmtpUtf8: false,
    breaksTls: true,
  },
];

for (const plan of peers) relaySuite(plan, "split");

const SIZES = [4096, 8192, 16_384, 32_768, 65_536, 131_072].flatMap((size) =>
  [-2, -1, 0, 1, 2].map((off) => size + off),
);

/** A message of exactly so many octets, whose lines begin with dots wherever they are cut. */
function sized(bytes: number): Content {
  const empty = message(`${bytes} octets`, "");
  const left = bytes - empty.bytes.length;
  const line = `..${"s".repeat(60)}\r\n`;
  const body = line.repeat(Math.ceil(left / line.length)).slice(0, left - 2);
  // A CR must not stand alone before the end that is added.
  return { ...empty, bytes: Buffer.concat([empty.bytes, Buffer.from(`${body.replace(/\r$/, "x")}\r\n`)]) };
}

for (const plan of peers)
  for (const [layout, chunking] of [
    ["single", "offered"],
    ["single", "never"],
    ["split", "offered"],
  ] as const satisfies readonly (readonly [Layout, string])[])
    test(`${layout}, chunking ${chunking}: content of each size arrives at ${plan.name} and comes back`, async (t) => {
      await using pair = await startPair(plan, t, layout, { chunking });
      if (pair === undefined) return;
      const { server, peer, python } = pair;
      const differences: (string | undefined)[] = [];
      for (const user of ["plain", "usual"]) {
        const contents = SIZES.map(sized);
        for (const content of contents) {
          assert.equal(content.bytes.length, Number(content.name.split(" ")[0]));
          const sent = await sendWithPython(python, {
            port: server.ports.smtp,
            from: "writer@posthorn.test",
            to: [`${user}@${plan.domain}`],
            content: content.bytes,
          });
          assert.deepEqual(sent, { refused: {} });
        }
        for (const content of contents)
          differences.push(differenceOf((await copiesOf(content, () => peer.mails(), pair))[0] ?? "", content));
      }
      const back = SIZES.map(sized);
      for (const content of back)
        await sendWithPython(python, {
          port: Number(peer.at),
          from: `writer@${plan.domain}`,
          to: ["reader@posthorn.test"],
          content: content.bytes,
        });
      for (const content of back)
        differences.push(
          differenceOf((await copiesOf(content, () => server.mailsOf("reader"), pair))[0] ?? "", content),
        );
      assert.deepEqual(
        differences.filter((difference) => difference !== undefined),
        [],
      );
      if (plan.bdatInLog !== undefined && chunking === "never") assert.doesNotMatch(peer.log(), plan.bdatInLog);
    });
