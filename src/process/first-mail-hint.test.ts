import assert from "node:assert/strict";
import { test } from "node:test";
import { callsOf } from "./first-mail-hint.ts";

test("the first steps are told in the words that work where the server was started", () => {
  assert.equal(callsOf("/home/ann/posthorn/bin/posthornd.js", "/home/ann/posthorn").posthorn, "node bin/posthorn.js");
  assert.equal(callsOf("/opt/posthorn/bin/posthornd.js", "/opt/posthorn/bin").posthornd, "node posthornd.js");
  assert.equal(callsOf("/srv/mail/node_modules/.bin/posthornd", "/srv/mail").posthorn, "npx posthorn");
  assert.equal(callsOf("/usr/bin/posthornd", "/srv/mail").posthornd, "posthornd");
});
