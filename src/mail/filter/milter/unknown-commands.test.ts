import assert from "node:assert/strict";
import { test } from "node:test";
import { unknownCommands } from "./unknown-commands.ts";

test("the command that was answered 500 or 502 is found, also of a client that sends ahead", () => {
  const hear = unknownCommands();
  const found = (["NOOP", "FOO bar", "QUUX"] as const).map((line) => hear({ notice: "client-line", line }));
  assert.deepEqual(found, [undefined, undefined, undefined]);
  assert.equal(hear({ notice: "server-line", line: "250 2.0.0 Ok" }), undefined);
  assert.equal(hear({ notice: "server-line", line: "500 5.5.1 What?" }), "FOO bar");
  assert.equal(hear({ notice: "server-line", line: "502 5.5.1 No" }), "QUUX");
});

test("replies of several lines count once, and those that nobody asked for not at all", () => {
  const hear = unknownCommands();
  assert.equal(hear({ notice: "server-line", line: "220 mx ESMTP" }), undefined);
  hear({ notice: "client-line", line: "EHLO x" });
  hear({ notice: "client-line", line: "FOO" });
  for (const line of ["250-mx", "250-SIZE", "250 HELP"]) assert.equal(hear({ notice: "server-line", line }), undefined);
  assert.equal(hear({ notice: "server-line", line: "500 5.5.1 What?" }), "FOO");
});

test("the reply to content is nobody's command's", () => {
  const hear = unknownCommands();
  for (const line of ["DATA", "FOO"]) hear({ notice: "client-line", line });
  const found = (["354 Go on", "250 2.0.0 Kept", "500 5.5.1 What?"] as const).map((line) =>
    hear({ notice: "server-line", line }),
  );
  assert.deepEqual(found, [undefined, undefined, "FOO"]);
});
