import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatLocal } from "../../../protocol/address/mailbox.ts";
import { addressOfPath, parsePath } from "../../../protocol/address/path.ts";
import { createSenders } from "./senders.ts";
import { parseSenderOverride } from "./sender-override.ts";
import { srsSettings, verpSettings } from "./settings.ts";

/** As a session knows an address that came in a command; undefined for what it refuses. */
function taken(text: string): string | undefined {
  const path = parsePath(`<${text}>`, { isInternational: true });
  return path.ok && path.value.kind === "mailbox" ? addressOfPath(path.value) : undefined;
}

const ACTING = fc.constantFrom(
  "\r",
  "\n",
  "\0",
  '"',
  "\\",
  "=",
  "@",
  "+",
  "-",
  " ",
  "<",
  ">",
  ",",
  ".",
  "a",
  "SRS0=",
  "é",
  "\u202e",
);
const local = fc.oneof(
  fc.string({ unit: ACTING, minLength: 1, maxLength: 12 }),
  fc.string({ unit: "binary", minLength: 1, maxLength: 12 }),
  fc.string({ unit: ACTING, minLength: 200, maxLength: 300 }),
  fc.constantFrom(
    "SRS0=abcd=AB=x.example=a",
    "SRS1=abcd=x.example==abcd=AB=y.example=a",
    "SRS1=abcd==a",
    "SRS0==",
    "a@b>\r\nRCPT TO:<c",
  ),
);
const domain = fc.constantFrom(
  "x.example",
  "[192.0.2.1]",
  "[IPv6:::1]",
  "b\u00fccher.example",
  "x.example>\r\nDATA",
  "x=y",
  "",
);
const address = fc
  .tuple(local, domain, fc.boolean())
  .map(([name, at, isRaw]) => `${isRaw ? name : formatLocal(name)}@${at}`);
const delimiters = fc.record({ before: fc.constantFrom("+", "-", "="), at: fc.constantFrom("+", "-", "=") });

test("with whatever addresses, each way to make a sender makes one that reads as that one address again", async () => {
  const senders = createSenders({
    hostname: "mx.example.org",
    srs: srsSettings.parse({}),
    srsSecrets: ["secret"],
    verp: verpSettings.parse({}),
    tables: new Map(),
    isLocalDomain: () => Promise.resolve(false),
    now: () => 0,
  });
  const seen = { srs: 0, as: 0, verp: 0, owner: 0 };
  await fc.assert(
    fc.asyncProperty(
      address,
      address,
      address,
      fc.constantFrom("srs", "as", "verp"),
      delimiters,
      async (from, to, said, how, verp) => {
        const [sender, given] = [taken(from), taken(to)];
        if (sender === undefined || given === undefined) return;
        // `robot`, `@domain` or all of it, as settings have it.
        const parsed = [said, said.slice(said.lastIndexOf("@")), said.slice(0, said.lastIndexOf("@"))].map(
          parseSenderOverride,
        );
        for (const override of how === "as" ? parsed : parsed.slice(0, 1)) {
          const as = how === "as" && override.ok ? { as: override.value } : {};
          const answer = await senders.senderFor({
            sender,
            given,
            action: { kind: "relay", to: [], backup: false },
            isForwarded: how === "srs",
            ...as,
            ...(how === "verp" ? { verp } : {}),
          });
          assert.equal(answer.kind, "sender");
          if (answer.sender === undefined) continue;
          seen[answer.by ?? "as"]++;
          assert.doesNotMatch(answer.sender, /[\x00-\x1f\x7f]/);
          assert.ok(Buffer.byteLength(answer.sender) <= 254);
          // A literal is kept as it was written.
          assert.equal(taken(answer.sender)?.toLowerCase(), answer.sender.toLowerCase());
          const back = senders.returned(answer.sender);
          if (answer.by !== "srs") continue;
          assert.equal(back.kind, "address");
          if (back.kind === "address") assert.notEqual(taken(back.address), undefined, back.address);
        }
      },
    ),
    { numRuns: 2000 },
  );
  for (const how of ["srs", "as", "verp"] as const) assert.ok(seen[how] > 20, `${how}: ${seen[how]}`);
});
