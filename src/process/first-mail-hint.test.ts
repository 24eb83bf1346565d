import assert from "node:assert/strict";
import { test } from "node:test";
import { callsOf, firstMailHint } from "./first-mail-hint.ts";

test("the first steps are told in the words that work where the server was started", () => {
  assert.equal(callsOf("/home/ann/posthorn/bin/posthornd.js", "/home/ann/posthorn").posthorn, "node bin/posthorn.js");
  assert.equal(callsOf("/opt/posthorn/bin/posthornd.js", "/opt/posthorn/bin").posthornd, "node posthornd.js");
  assert.equal(callsOf("/srv/mail/node_modules/.bin/posthornd", "/srv/mail").posthorn, "npx posthorn");
  assert.equal(callsOf("/usr/bin/posthornd", "/srv/mail").posthornd, "posthornd");
});

test("the settings that are written here are named to the check: started by root it would look elsewhere", () => {
  const loaded = { settings: { state: "/srv/mail/data" } } as Parameters<typeof firstMailHint>[0];
  const hint = firstMailHint(loaded, ["smtp=127.0.0.1:2525"], { posthorn: "posthorn", posthornd: "posthornd" });
  assert.match(hint, /posthorn\.yaml here .*: posthornd -n -f posthorn\.yaml\n/);
});
