import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseCommand } from "./command.ts";
import { formatXforward, XFORWARD_ATTRIBUTES } from "./xforward.ts";

const ALL = ["NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE", "LOGIN"];

test("a client is told with all that the server wants to know, and what is not known is said to be so", () => {
  const client = { name: "mx.example", address: "192.0.2.7", port: 4711, protocol: "ESMTPS", helo: "mx.example" };
  assert.deepEqual(formatXforward(client, "4XK", ALL), [
    "XFORWARD NAME=mx.example ADDR=192.0.2.7 PORT=4711 PROTO=ESMTPS HELO=mx.example IDENT=4XK SOURCE=REMOTE LOGIN=[UNAVAILABLE]\r\n",
  ]);
  assert.deepEqual(formatXforward({ address: "2001:db8::1" }, "4XK", ["addr", "name"]), [
    "XFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1\r\n",
  ]);
});

test("mail that came from this host is local, whether over a socket or the loopback", () => {
  for (const address of [undefined, "127.0.0.1", "::1"])
    assert.deepEqual(formatXforward({ address }, "4XK", ["SOURCE"]), ["XFORWARD SOURCE=LOCAL\r\n"]);
});

test("a server that wants nothing that we know is told nothing", () => {
  assert.deepEqual(formatXforward({ address: "192.0.2.7" }, "4XK", ["DOMAIN", "X"]), []);
  assert.deepEqual(formatXforward({ address: "192.0.2.7" }, "4XK", []), []);
});

test("whatever a client called itself, the commands are short lines of ASCII that say all of it once", () => {
  const text = fc.option(fc.string({ unit: "binary", maxLength: 400 }), { nil: undefined });
  const client = fc.record({ name: text, helo: text, account: text, protocol: text, address: fc.ipV6() });
  fc.assert(
    fc.property(client, fc.subarray([...XFORWARD_ATTRIBUTES]), (one, offered) => {
      const commands = formatXforward(one, "4XK", offered);
      const said = commands.flatMap((command) => {
        assert.ok(command.length <= 512 && /^[\x20-\x7e]*\r\n$/.test(command), command);
        const parsed = parseCommand(Buffer.from(command.slice(0, -2)));
        assert.ok(parsed.ok && parsed.value.verb === "XFORWARD");
        return [...parsed.value.attributes.keys()];
      });
      assert.deepEqual(
        said,
        XFORWARD_ATTRIBUTES.filter((name) => offered.includes(name)),
      );
    }),
  );
});
