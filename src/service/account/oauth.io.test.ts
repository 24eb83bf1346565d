import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { systemClock } from "../../foundation/clock.io.ts";
import type { OauthSettings } from "./backend-settings.ts";
import { oauthAuthenticator } from "./oauth.io.ts";
import { trustIn } from "../../testing/trust.ts";
import { Turns } from "../../foundation/turns.ts";

/** Unpacks to a thousand times its size. */
const BOMB = gzipSync(Buffer.alloc(64 * 1024 * 1024, " "));

const ANSWERS: Readonly<Record<string, (response: ServerResponse) => void>> = {
  "unpacks without end": (response) => {
    response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" });
    response.end(BOMB);
  },
  "never ends": (response) => {
    response.writeHead(200, { "content-type": "application/json" });
    const more = (): void => {
      while (!response.destroyed && response.write(" ".repeat(65_536)));
    };
    response.on("drain", more);
    more();
  },
};

const settings = (check: OauthSettings["check"]): OauthSettings => ({
  check,
  issuer: "https://issuer.test",
  audience: ["mail"],
  scope: [],
  userClaim: "email",
  timeout: 20_000,
  remember: 0,
});

/** Signed with a key that nobody has: the issuer's keys are asked for before that shows. */
const token = [
  { alg: "ES256", kid: "1" },
  { aud: "mail", iss: "https://issuer.test", exp: 4e9, email: "ann@example.test" },
]
  .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
  .concat("x".repeat(86))
  .join(".");

for (const [what, answer] of Object.entries(ANSWERS))
  for (const by of ["keys", "introspection"] as const)
    test(`an issuer whose answer ${what} is left, and the login waits (${by})`, async () => {
      const server = createServer((_request, response) => answer(response)).listen(0, "127.0.0.1");
      await once(server, "listening");
      try {
        const address = server.address();
        assert.ok(address !== null && typeof address === "object");
        const url = `http://127.0.0.1:${address.port}/`;
        const check: OauthSettings["check"] =
          by === "keys" ? { by, url, file: undefined } : { by, url, clientId: "us", clientSecretFile: undefined };
        const authenticator = await oauthAuthenticator(settings(check), undefined, {
          clock: systemClock,
          trust: trustIn(),
          turns: new Turns({ most: 1, mostWaiting: 1 }),
        });
        const verdict = await authenticator.checkToken?.("ann@example.test", token, AbortSignal.timeout(20_000));
        assert.deepEqual(verdict, {
          kind: "failed",
          text: "the token cannot be checked: the issuer's answer is too long",
        });
      } finally {
        server.closeAllConnections();
        server.close();
      }
    });

for (const by of ["keys", "introspection"] as const)
  test(`an issuer hears who asks, for some firewalls let nobody else in (${by})`, async () => {
    const heard: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      heard.push(request.headers["user-agent"]);
      response.writeHead(200, { "content-type": "application/json" }).end('{"active":false,"keys":[]}');
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const address = server.address();
      assert.ok(address !== null && typeof address === "object");
      const url = `http://127.0.0.1:${address.port}/`;
      const check: OauthSettings["check"] =
        by === "keys" ? { by, url, file: undefined } : { by, url, clientId: "us", clientSecretFile: undefined };
      const authenticator = await oauthAuthenticator(settings(check), undefined, {
        clock: systemClock,
        trust: trustIn(),
        turns: new Turns({ most: 1, mostWaiting: 1 }),
      });
      await authenticator.checkToken?.("ann@example.test", token, AbortSignal.timeout(20_000));
      authenticator.close();
      assert.match(heard.join(), by === "keys" ? /^(jose|posthorn)/ : /^posthorn$/);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
