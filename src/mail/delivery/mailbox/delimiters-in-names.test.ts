import assert from "node:assert/strict";
import { test } from "node:test";
import type { EnvelopeTarget } from "../../envelope/envelope.ts";
import type { UserDirectory } from "../../../service/account/users.ts";
import { localOn, mailFor } from "../../../testing/local-mail.ts";
import { MailDisk } from "../../../testing/mail-disk.ts";

const users: UserDirectory = {
  find: async (name) =>
    name === "anna" || name === "anna-maria"
      ? { kind: "found", user: { name, uid: 1000, gid: 1000, home: `/home/${name}` } }
      : { kind: "none" },
};

/** What expansion found out: nobody but tables knows where a name with a delimiter in it ends. */
const MARIA: EnvelopeTarget = { kind: "user", user: "anna-maria", isFinal: false };

test("mail is filed with the user whom the envelope names; without one, with the name before the delimiter", async () => {
  for (const action of ["maildir", "mbox"]) {
    const on = new MailDisk();
    await using local = localOn(on, { extensionDelimiter: "+-" });
    const recipient = "Anna-Maria@example.org";
    assert.equal((await local.deliver(mailFor(action, 1, { recipient, target: MARIA }))).kind, "delivered");
    assert.deepEqual(on.list("/mail"), ["anna-maria"]);
    // As in a queue of a version that asked nobody.
    assert.equal((await local.deliver(mailFor(action, 2, { recipient }))).kind, "delivered");
    assert.deepEqual(on.list("/mail").toSorted(), ["anna", "anna-maria"]);
  }
});

test("rights, home, extension and names of a command are that user's", async () => {
  const on = new MailDisk();
  const told: unknown[] = [];
  await using local = localOn(on, {
    extensionDelimiter: "+-",
    users,
    user: "recipient",
    actions: { command: { kind: "deliver", as: "command", command: "filter" } },
    commands: {
      run: async ({ user, environment: { USER, EXTENSION, HOME } }) => {
        told.push([user.name, USER, EXTENSION, HOME]);
        return { kind: "exit", status: 0, output: "" };
      },
    },
  });
  const recipient = "anna-maria@example.org";
  assert.equal((await local.deliver(mailFor("command", 1, { recipient, target: MARIA }))).kind, "delivered");
  assert.equal((await local.deliver(mailFor("command", 2, { recipient }))).kind, "delivered");
  assert.deepEqual(told, [
    ["anna-maria", "anna-maria", "", "/home/anna-maria"],
    ["anna", "anna", "maria", "/home/anna"],
  ]);
});

test("a command of a .forward hears of no extension where the user's own name holds a delimiter", async () => {
  const told: unknown[] = [];
  await using local = localOn(new MailDisk(), {
    extensionDelimiter: "+-",
    users,
    commands: {
      run: async ({ environment: { LOCAL, EXTENSION } }) => {
        told.push([LOCAL, EXTENSION]);
        return { kind: "exit", status: 0, output: "" };
      },
    },
  });
  const recipient = "Anna-Maria@example.org";
  for (const user of ["anna-maria", "anna", ""]) {
    const target: EnvelopeTarget = { kind: "command", command: "filter", user };
    assert.equal((await local.deliver(mailFor("maildir", 1, { recipient, target }))).kind, "delivered");
  }
  assert.deepEqual(told, [
    ["anna-maria", ""],
    ["anna-maria", "maria"],
    ["anna-maria", "maria"],
  ]);
});

test("the .forward is that user's, and nobody else's name in it is taken for it", async () => {
  const on = new MailDisk();
  await using local = localOn(on, { extensionDelimiter: "+-", users, user: "recipient" });
  on.write("/home/anna/.forward", "anna, anna-maria, far@example.net\n");
  on.write("/home/anna-maria/.forward", "anna-maria, anna\n");
  const targetsOf = async (recipient: string, target?: EnvelopeTarget): Promise<readonly string[]> => {
    const outcome = await local.deliver(mailFor("maildir", 1, { recipient, ...(target && { target }) }));
    assert.ok(outcome.kind === "forwarded", JSON.stringify(outcome));
    return outcome.targets.map((one) =>
      one.kind === "address" ? `${one.isFinal ? "\\" : ""}${one.address}` : one.kind,
    );
  };
  assert.deepEqual(await targetsOf("anna@example.org"), ["\\anna", "anna-maria", "far@example.net"]);
  assert.deepEqual(await targetsOf("anna-maria@example.org", MARIA), ["\\anna-maria", "anna"]);
});
