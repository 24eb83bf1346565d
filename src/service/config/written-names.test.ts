import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { writtenNames } from "./written-names.ts";

const url = z.string().transform((text) => ({ host: text, port: 25 }));
const schema = z.strictObject({
  filteredBy: z.array(z.string()),
  hosts: z.record(z.string(), z.strictObject({ servers: z.array(url), secretFile: z.string() })),
});

test("paths are told as they are written in the file, and no further than what is written there", () => {
  assert.deepEqual(
    writtenNames(
      schema,
      ["filteredBy", "hosts.myHost.servers[0].host", "hosts.myHost.servers[0].port", "hosts.myHost.secretFile"],
      "kebab",
    ),
    ["filtered-by", "hosts.myHost.servers[0]", "hosts.myHost.secret-file"],
  );
  assert.deepEqual(writtenNames(schema, ["filteredBy[2]"], "camel"), ["filteredBy[2]"]);
});

test("a path that the schema does not know stays as it is", () => {
  assert.deepEqual(writtenNames(schema, ["other.thing"], "kebab"), ["other.thing"]);
});
