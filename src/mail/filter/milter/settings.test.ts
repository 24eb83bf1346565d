import assert from "node:assert/strict";
import { test } from "node:test";
import { milterSettings } from "./settings.ts";

test("an address alone is a milter with the usual waits", () => {
  const settings = milterSettings.parse("inet:127.0.0.1:8891");
  assert.equal(settings.address.text, "inet:127.0.0.1:8891");
  assert.equal(settings.protocol, 6);
  assert.equal(settings.quarantine, "quarantine");
  assert.equal(settings.connectTimeout, 5000);
  assert.deepEqual(milterSettings.parse({ address: "inet:127.0.0.1:8891" }), settings);
});

test("what is no address, no version and no macro is refused", () => {
  for (const given of [
    "localhost:8891",
    { address: "inet:localhost" },
    { address: "inet:127.0.0.1:1", protocol: 5 },
    { address: "inet:127.0.0.1:1", macros: { "a b": "c" } },
    { address: "inet:127.0.0.1:1", macrosAt: { rset: ["i"] } },
  ])
    assert.equal(milterSettings.safeParse(given).success, false, JSON.stringify(given));
});
