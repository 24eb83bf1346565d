import assert from "node:assert/strict";
import { policyTest, type TrialInput } from "posthorn";

const world = {
  dns: { "example.com": { MX: "10 mx.example.com" } },
  filters: { spam: "accept" },
} satisfies Partial<TrialInput>;

policyTest("accounts may write to the world", {
  ...world,
  listener: "submission",
  auth: "bob",
  from: "bob@example.org",
  to: "somebody@elsewhere.example",
  expect: { verdict: "accept", action: "relay" },
});

policyTest("invoices with a password are kept back, others are not", async ({ session }) => {
  for (const [body, verdict] of [
    ["It is password-protected.", "quarantine"],
    ["It is attached.", "accept"],
  ]) {
    const found = await session({ ...world, to: "ann@example.org", fields: { Subject: "Your invoice" }, body });
    assert.equal(found.verdict, verdict);
  }
});

policyTest("each mail that looks like a backup goes into the archive", async ({ expect }) => {
  for (const day of ["monday", "sunday"])
    await expect(
      { ...world, to: "bob@example.org", fields: { Subject: `[backup] ${day}` } },
      { action: "archive", recipients: "bob@example.org" },
    );
});
