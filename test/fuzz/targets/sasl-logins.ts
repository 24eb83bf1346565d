import assert from "node:assert/strict";
import { saslServer, decodeResponse, type SaslServer, type SaslStep } from "../../../src/protocol/sasl/server.ts";
import { SASL_MECHANISMS } from "../../../src/protocol/sasl/question.ts";
import { saslprep } from "../../../src/protocol/sasl/saslprep.ts";
import { makeClient } from "../../../src/protocol/sasl/make-client.ts";
import { CLIENT_MECHANISMS } from "../../../src/protocol/sasl/client.ts";
import type { FuzzTarget } from "../fuzz-target.ts";

const MOST_STEPS = 10;
const MOST_USER = 4096;
const NONCE = "a-nonce-of-this-side";

/**
 * Logins from both sides: the first line names the mechanism, each further one is a response or, to our clients, a challenge. Nobody is
 * logged in unless somebody who knows the accounts said so, and here nobody ever does; an exchange ends; what is asked about has no NUL and
 * is bounded; a client that speaks SCRAM trusts no server that has not shown that it knows the password.
 */
export const target: FuzzTarget = {
  longBytes: 32_768,
  seeds: [
    "PLAIN\n\0ann\0secret",
    "LOGIN\nann\nsecret",
    "CRAM-MD5\n\nann 0123456789abcdef0123456789abcdef",
    "SCRAM-SHA-256\nn,,n=ann,r=abc\nc=biws,r=abca-nonce-of-the-server,p=AAAA",
    "SCRAM-SHA-256-PLUS\np=tls-exporter,,n=ann,r=abc\nc=cD10bHMtZXhwb3J0ZXIsLA==,r=x,p=AAAA",
    "OAUTHBEARER\nn,a=ann,\x01auth=Bearer t\x01\x01\n\x01",
    "XOAUTH2\nuser=ann\x01auth=Bearer t\x01\x01",
    "EXTERNAL\nann",
    "SCRAM-SHA-1\nr=a,s=QUFBQQ==,i=4096\nv=AAAA",
  ],
  tokens: [
    "\n",
    "\0",
    ",",
    "=",
    "n,,",
    "y,,",
    "p=",
    "r=",
    "c=",
    "n=",
    "=2C",
    "=3D",
    "i=99999999",
    "\x01",
    "auth=Bearer ",
    "a=",
    "m=ext,",
    "\xc2\xaa",
    "\xe2\x80\x8b",
    "\xff",
  ],
  async run(bytes) {
    const [name = "", ...responses] = bytes.toString("latin1").split("\n", MOST_STEPS + 1);
    const lines = responses.map((line) => Buffer.from(line, "latin1"));
    decodeResponse(bytes.toString("latin1"));
    saslprep(bytes.toString("utf8"));
    for (const mechanism of [name, ...SASL_MECHANISMS]) {
      const server = saslServer(mechanism, {
        nonce: () => NONCE,
        hostname: "mx.test",
        binding: () => Buffer.from("bound"),
        offersBinding: true,
      });
      if (server !== undefined) serve(server, lines);
    }
    for (const mechanism of CLIENT_MECHANISMS) {
      const derive = (): Promise<Buffer> => Promise.resolve(Buffer.alloc(32, 1));
      const client = makeClient(mechanism, { user: "ann", password: "secret" }, () => ({ nonce: NONCE, derive }));
      for (const line of lines) {
        const response = await client.respond(line);
        if (!response.ok) break;
      }
      if (mechanism.startsWith("SCRAM")) assert.ok(!client.isTrusted, "trusted without a proof");
    }
  },
};

function serve(server: SaslServer, lines: readonly Buffer[]): void {
  let step: SaslStep = server.start(lines[0]);
  let at = 1;
  for (let count = 0; count < 2 * MOST_STEPS; count++) {
    assert.notEqual(step.kind, "done", "logged in by nobody");
    if (step.kind === "ask") {
      assert.ok(!step.question.user.includes("\0") && step.question.user.length <= MOST_USER);
      step = server.told({ kind: "wrong" });
    } else if (step.kind === "challenge") {
      const line = lines[at++];
      if (line === undefined) return;
      step = server.next(line);
    } else return;
  }
  assert.fail("an exchange without end");
}
