import assert from "node:assert/strict";
import { test } from "node:test";
import type { LocalUser, UserDirectory } from "../../../service/account/users.ts";
import { mailboxNames } from "./path-template.ts";
import { whomFor, whomForCommand, whomForRecipient, whomForTarget, type WhomAnswer, type WhomParts } from "./whom.ts";

const users: readonly LocalUser[] = [
  { name: "alice", uid: 1001, gid: 1001, home: "/home/alice", groups: [1001, 50, 0] },
  { name: "carol@shop.example", uid: 5001, gid: 5001, home: "/vhome/shop/carol" },
  { name: "root", uid: 0, gid: 0, home: "/root" },
  { name: "operator", uid: 11, gid: 0, home: "/root" },
  { name: "nobody", uid: 65534, gid: 65534, home: "/nonexistent" },
  { name: "posthorn", uid: 500, gid: 500, home: "/var/lib/posthorn" },
];
const directory: UserDirectory = {
  async find(name) {
    if (name === "lost") return { kind: "failed", text: "the server of users is away" };
    const user = users.find((each) => each.name === name);
    return user === undefined ? { kind: "none" } : { kind: "found", user };
  },
};
const parts: WhomParts = {
  users: directory,
  system: directory,
  defaultUser: "nobody",
  own: { uid: 500, gid: 500, groups: [] },
  mayChange: true,
  keysOf: ({ user, domain }, isVirtual) => [`${user}@${domain}`, ...(isVirtual ? [] : [user])],
  isVirtual: async (domain) =>
    domain === "away.example" ? { failed: "the table is away" } : domain === "shop.example",
};

function told(answer: WhomAnswer): string {
  if (answer.ok) return `${answer.whom.as?.uid ?? "own"} ${answer.whom.user.home}`;
  const { lasting, status, cause } = answer.failure;
  return `${lasting} ${status} ${"text" in cause ? cause.text : ""}`;
}

const recipient = async (name: string, over: Partial<WhomParts> = {}): Promise<string> =>
  told(await whomFor({ ...parts, ...over }, "recipient", mailboxNames(`${name}@example.org`, "+")));

test("a recipient's delivery has that user's uid, gid and groups, but for root's", async () => {
  const answer = await whomFor(parts, "recipient", mailboxNames("alice+x@example.org", "+"));
  assert.deepEqual(answer.ok && answer.whom.as, { uid: 1001, gid: 1001, groups: [1001, 50] });
  assert.ok(answer.ok && answer.whom.isRecipient);
});

test("in a virtual domain a user of this host of the same name counts for nothing, who is there with the domain does", async () => {
  const asked = async (address: string): Promise<string> => {
    const { wanted, answer } = await whomForRecipient(parts, mailboxNames(address, "+"));
    return `${wanted}: ${told(answer)}`;
  };
  assert.equal(await asked("alice@example.org"), "recipient: 1001 /home/alice");
  assert.equal(await asked("alice"), "recipient: 1001 /home/alice");
  assert.equal(await asked("alice@shop.example"), "server: own /");
  assert.equal(await asked("carol+x@shop.example"), "recipient: 5001 /vhome/shop/carol");
  assert.match(await asked("lost@shop.example"), /^server/);
  assert.match(await asked("alice@away.example"), /^recipient: temporary 4\.3\.0 .*away\.example .*the table is away/);
});

test("root, and whoever is in root's group, is delivered as the default user, and that one can't be root", async () => {
  assert.equal(await recipient("root"), "65534 /root");
  assert.equal(await recipient("operator"), "65534 /root");
  assert.match(await recipient("root", { defaultUser: "root" }), /^temporary 4\.3\.5 .*nothing is delivered as root/);
  assert.match(
    await recipient("root", { defaultUser: "operator" }),
    /^temporary 4\.3\.5 .*nothing is delivered as root/,
  );
  assert.match(await recipient("root", { defaultUser: "gone" }), /^temporary 4\.3\.5 there is no user gone/);
});

test("an unknown recipient is refused for good, an unknown user of the settings is not", async () => {
  assert.match(await recipient("carol"), /^permanent 5\.1\.1/);
  const names = mailboxNames("alice@example.org", "+");
  assert.match(told(await whomFor(parts, "vmail", names)), /^temporary 4\.3\.5 there is no user vmail/);
  assert.match(await recipient("lost"), /^temporary 4\.3\.0 .*is away/);
  assert.match(await recipient("alice", { users: undefined }), /^temporary 4\.3\.5/);
});

test("without root's start, only what is the server's own is delivered", async () => {
  assert.match(
    await recipient("alice", { mayChange: false }),
    /^temporary 4\.3\.5 delivery as alice \(uid 1001\) takes/,
  );
  assert.equal(await recipient("posthorn", { mayChange: false }), "own /var/lib/posthorn");
  assert.match(await recipient("root", { mayChange: false }), /^temporary 4\.3\.5/);
  assert.equal(told(await whomForTarget({ ...parts, mayChange: false }, "", "command")), "own /");
});

test("commands and files of aliases are the default user's, those of a .forward that user's", async () => {
  assert.equal(told(await whomForTarget(parts, "", "command")), "65534 /nonexistent");
  assert.equal(told(await whomForTarget(parts, "alice", "file")), "1001 /home/alice");
  assert.equal(told(await whomForTarget(parts, "root", "command")), "65534 /root");
});

test("no command runs as the owner of the queue", async () => {
  assert.match(
    told(await whomForTarget(parts, "posthorn", "command")),
    /^temporary 4\.3\.5 commands are never run as posthorn/,
  );
  assert.match(told(await whomForTarget({ ...parts, defaultUser: "posthorn" }, "", "command")), /^temporary 4\.3\.5/);
  assert.match(
    told(await whomForTarget({ ...parts, defaultUser: "posthorn" }, "root", "command")),
    /^temporary 4\.3\.5/,
  );
});

test("a command of the server's own mailboxes is named its user, which is never root", async () => {
  const names = mailboxNames("alice@example.org", "+");
  const commandOf = async (wanted: string, over: Partial<WhomParts> = {}): Promise<string> => {
    const own = { ...parts, ...over };
    const answer = await whomFor(own, wanted, names);
    return told(answer.ok ? await whomForCommand(own, answer.whom) : answer);
  };
  assert.equal(await commandOf("server"), "500 /");
  assert.equal(await commandOf("recipient"), "1001 /home/alice");
  assert.equal(await commandOf("server", { mayChange: false }), "own /");
  const root = { uid: 0, gid: 0, groups: [] };
  assert.equal(await commandOf("server", { own: root }), "65534 /");
  assert.match(
    await commandOf("server", { own: root, defaultUser: "root" }),
    /^temporary 4\.3\.5 .*nothing is delivered as root/,
  );
});
