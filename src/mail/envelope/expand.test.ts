import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { inlineTable } from "../../service/table/tables.ts";
import type { Table } from "../../service/table/table.ts";
import { parseAliasTargets } from "../../protocol/address/alias-targets.ts";
import type { Envelope } from "./envelope.ts";
import type { Judgement, SessionFactsForRules } from "./policy.ts";
import { rulesPolicy, type ForwardAnswer, type RulesPolicy } from "./rules.ts";
import { actionsSettings } from "./action-settings.ts";
import { rulesSettings } from "./rule-settings.ts";
import { localSettings } from "./settings.ts";

const facts: SessionFactsForRules = {
  listener: "smtp",
  clientAddress: "192.0.2.7",
  isEncrypted: false,
  sender: "sam@elsewhere.example",
};

const ORIGIN = { listener: "smtp", protocol: "ESMTP", session: "S" };

interface World {
  readonly aliases?: Readonly<Record<string, string>>;
  readonly virtual?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly local?: Parameters<typeof localSettings.parse>[0];
  readonly actions?: Parameters<typeof actionsSettings.parse>[0];
  readonly rules?: Parameters<typeof rulesSettings.parse>[0];
  readonly tables?: Readonly<Record<string, Table>>;
}

/** A host with the users jane, joe, ann and root in example.org, and whatever aliases are wanted. */
function host({ aliases = {}, virtual = {}, files = {}, local, actions, rules, tables = {} }: World = {}): RulesPolicy {
  const map = (name: string, entries: Readonly<Record<string, string>>): [string, Table] => [
    name,
    inlineTable(name, { kind: "map", entries }),
  ];
  return rulesPolicy(
    {
      hostname: "mx.example.org",
      local: localSettings.parse({
        domains: ["example.org"],
        users: ["jane", "joe", "ann", "root"],
        aliases: "table:aliases",
        virtual: [{ domains: ["virtual.example"], aliases: "table:virtual" }],
        ...(local as object | undefined),
      }),
      actions: actionsSettings.parse(actions ?? {}),
      rules: rulesSettings.parse(rules),
    },
    new Map([map("aliases", aliases), map("virtual", virtual), ...Object.entries(tables)]),
    {
      readInclude: async (path) =>
        files[path] === undefined
          ? { kind: "failed", text: `${path}: no such file` }
          : { kind: "found", targets: parseAliasTargets(files[path]).targets },
    },
  );
}

/** What became of it: recipients (with what else their envelopes carry), or the reply. */
function told(judgement: Judgement): readonly string[] | string {
  if (judgement.kind === "reject")
    return `${judgement.reply.code} ${judgement.reply.status} ${judgement.reply.lines[0]}`;
  return judgement.targets.map(({ recipient, action, sender, target }) => {
    const what =
      target === undefined
        ? recipient
        : target.kind === "command"
          ? `|${target.command}`
          : target.kind === "file"
            ? target.path
            : target.kind === "user"
              ? `\\${target.user}`
              : target.kind === "error"
                ? `!${recipient} ${target.failure.status}`
                : `(${recipient} ${target.text})`;
    return `${what}${action === "deliver" ? "" : ` by ${action}`}${sender === undefined ? "" : ` from ${sender}`}`;
  });
}

async function rcpt(policy: RulesPolicy, recipient: string): Promise<readonly string[] | string> {
  return told(await policy.judgeRecipient(facts, recipient));
}

test("an alias stands for many: users, addresses elsewhere, commands, files; each once", async () => {
  const policy = host({
    aliases: {
      team: "jane, joe, far@elsewhere.example, JANE",
      all: "team, ann, /var/mail/archive, |/usr/bin/count -x",
      office: "all",
    },
  });
  assert.deepEqual(await rcpt(policy, "team@example.org"), [
    "jane@example.org",
    "joe@example.org",
    "far@elsewhere.example by relay",
  ]);
  assert.deepEqual(
    await rcpt(policy, "Office@Example.ORG"),
    [
      "jane@Example.ORG",
      "joe@Example.ORG",
      "far@elsewhere.example by relay",
      "ann@Example.ORG",
      "/var/mail/archive",
      "|/usr/bin/count -x",
    ].map((one) => one.replace("Example.ORG", "example.org")),
  );
  const judgement = await policy.judgeRecipient(facts, "office@example.org");
  assert.ok(judgement.kind === "accept");
  assert.deepEqual(judgement.targets[0]?.via, ["office@example.org", "all@example.org", "team@example.org"]);
  assert.deepEqual(judgement.steps?.[0], { address: "office@example.org", where: "aliases", to: ["all"] });
});

test("who may not relay may not by writing to an alias either, but the alias may send anywhere", async () => {
  const policy = host({ aliases: { out: "far@elsewhere.example" } });
  assert.equal(await rcpt(policy, "far@elsewhere.example"), "550 5.7.1 relaying denied");
  assert.deepEqual(await rcpt(policy, "out@example.org"), ["far@elsewhere.example by relay"]);
});

test("users are known, others are not; a catch-all takes what nobody else takes", async () => {
  const aliases = { info: "jane" };
  assert.equal(await rcpt(host({ aliases }), "nobody@example.org"), "550 5.1.1 no such user here");
  const caught = host({ aliases: { ...aliases, "@example.org": "root" } });
  assert.deepEqual(await rcpt(caught, "nobody@example.org"), ["root@example.org"]);
  assert.deepEqual(await rcpt(caught, "joe@example.org"), ["joe@example.org"]);
  assert.deepEqual(await rcpt(caught, "info@example.org"), ["jane@example.org"]);
});

test("names of virtual domains are addresses; bare names behind them are users of this host", async () => {
  const policy = host({
    aliases: { info: "ann" },
    virtual: {
      "info@virtual.example": "jane",
      "sales@virtual.example": "sam@elsewhere.example",
      "@virtual.example": "joe",
      jane: "nobody-should-see-this@elsewhere.example",
    },
  });
  assert.deepEqual(await rcpt(policy, "info@virtual.example"), ["jane@example.org"]);
  assert.deepEqual(await rcpt(policy, "info+x@virtual.example"), ["jane+x@example.org"]);
  assert.deepEqual(await rcpt(policy, "sales+q1@virtual.example"), ["sam+q1@elsewhere.example by relay"]);
  assert.deepEqual(await rcpt(policy, "jane@virtual.example"), ["joe@example.org"]);
  assert.deepEqual(await rcpt(policy, "info@example.org"), ["ann@example.org"]);
});

test("virtual mailboxes are delivered by the domain's own action, before its catch-all", async () => {
  const policy = host({
    virtual: { "@virtual.example": "joe" },
    local: {
      virtual: [
        { domains: ["virtual.example"], aliases: "table:virtual", users: ["kim@virtual.example"], action: "boxes" },
      ],
    },
    actions: { boxes: { deliver: "maildir", path: "/var/vmail/{domain}/{user}" } },
  });
  assert.deepEqual(await rcpt(policy, "kim@virtual.example"), ["kim@virtual.example by boxes"]);
  assert.deepEqual(await rcpt(policy, "kim+x@virtual.example"), ["kim+x@virtual.example by boxes"]);
  assert.deepEqual(await rcpt(policy, "lee@virtual.example"), ["joe@example.org"]);
});

test("a virtual domain without mailboxes and without an entry has nobody", async () => {
  assert.equal(await rcpt(host(), "jane@virtual.example"), "550 5.1.1 no such user here");
});

test("tables of an action are used instead of those of the domain, for relayed domains, too", async () => {
  const books = {
    map: inlineTable("map", { kind: "map", entries: { "old@far.example": "new@far.example", x: "jane" } }),
  };
  const policy = host({
    aliases: { x: "joe" },
    tables: books,
    actions: {
      far: { relay: { to: "smtp://mail.far.example" }, virtual: "table:map" },
      near: { deliver: "maildir", aliases: "table:map" },
    },
    rules: [
      { match: { for: "far.example" }, action: "far" },
      { match: { for: "local" }, action: "near" },
    ],
  });
  assert.deepEqual(await rcpt(policy, "old@far.example"), ["new@far.example by far"]);
  assert.deepEqual(await rcpt(policy, "other@far.example"), ["other@far.example by far"]);
  assert.deepEqual(await rcpt(policy, "x@example.org"), ["jane@example.org by near"]);
});

test("an action that only expands has no mailboxes", async () => {
  const policy = host({
    aliases: { team: "far@elsewhere.example", self: "jane" },
    actions: { lists: { deliver: "expand-only" } },
    rules: [{ match: { for: "example.org" }, action: "lists" }],
  });
  assert.deepEqual(await rcpt(policy, "team@example.org"), ["far@elsewhere.example by relay"]);
  assert.equal(await rcpt(policy, "jane@example.org"), "550 5.1.1 no such user here");
  assert.equal(await rcpt(policy, "self@example.org"), "550 5.1.1 no such user here");
});

test("extensions are tried with and without, with any of the delimiters, and stay for the delivery", async () => {
  const policy = host({ aliases: { "team+urgent": "joe", team: "ann" }, local: { extensionDelimiter: "+-" } });
  assert.deepEqual(await rcpt(policy, "team+urgent@example.org"), ["joe@example.org"]);
  assert.deepEqual(await rcpt(policy, "team+other@example.org"), ["ann@example.org"]);
  assert.deepEqual(await rcpt(policy, "jane-lists@example.org"), ["jane-lists@example.org"]);
  assert.equal(await rcpt(policy, "+jane@example.org"), "550 5.1.1 no such user here");
});

test("a name that its own alias names is the mailbox; a way that comes back by others is a loop", async () => {
  const policy = host({ aliases: { jane: "jane, far@elsewhere.example", a: "b", b: "c", c: "a", d: "a, joe" } });
  assert.deepEqual(await rcpt(policy, "jane@example.org"), ["jane@example.org", "far@elsewhere.example by relay"]);
  assert.equal(
    await rcpt(policy, "a@example.org"),
    "550 5.4.6 mail forwarding loop: <a@example.org> -> <b@example.org> -> <c@example.org> -> <a@example.org>",
  );
  // One member that is wrong does not keep the mail from the others; its sender hears of it.
  assert.deepEqual(await rcpt(policy, "d@example.org"), ["joe@example.org", "!a@example.org 5.4.6"]);
});

test("an alias of a user for whom nobody is, and \\user, which is nobody's alias", async () => {
  const policy = host({ aliases: { jane: "joe", real: "\\jane", gone: "nobody", half: "nobody, ann" } });
  assert.deepEqual(await rcpt(policy, "jane@example.org"), ["joe@example.org"]);
  assert.deepEqual(await rcpt(policy, "real@example.org"), ["\\jane"]);
  assert.equal(await rcpt(policy, "gone@example.org"), "550 5.1.1 no such user here");
  assert.deepEqual(await rcpt(policy, "half@example.org"), ["ann@example.org", "!nobody@example.org 5.1.1"]);
});

test("lists in files, and what they may not name", async () => {
  const policy = host({
    aliases: { staff: ":include:/lists/staff", broken: ":include:/lists/none", circle: ":include:/lists/circle" },
    files: {
      "/lists/staff": "jane\njoe, far@elsewhere.example\n|/bin/evil\n/etc/passwd\n",
      "/lists/circle": ":include:/lists/circle\nann",
    },
  });
  assert.deepEqual(await rcpt(policy, "staff@example.org"), [
    "jane@example.org",
    "joe@example.org",
    "far@elsewhere.example by relay",
    "!staff@example.org 5.7.1",
  ]);
  assert.equal(await rcpt(policy, "broken@example.org"), "451 4.3.0 a lookup failed here; please try again later");
  assert.deepEqual(await rcpt(policy, "circle@example.org"), ["ann@example.org", "!circle@example.org 5.7.1"]);
});

test("virtual tables may not name commands unless the settings say so", async () => {
  const virtual = { "x@virtual.example": "|/bin/cat" };
  assert.equal(
    await rcpt(host({ virtual }), "x@virtual.example"),
    "550 5.7.1 this address leads to where mail may not go",
  );
  const policy = host({
    virtual,
    local: { commandsFrom: ["virtual"], virtual: [{ domains: ["virtual.example"], aliases: "table:virtual" }] },
  });
  assert.deepEqual(await rcpt(policy, "x@virtual.example"), ["|/bin/cat"]);
});

test(":fail:, :defer: and :blackhole: say what the sender hears", async () => {
  const policy = host({
    aliases: {
      closed: ":fail: we have moved",
      later: ":defer: painting the office",
      hole: ":blackhole:",
      mixed: "jane, :fail: no",
    },
  });
  assert.equal(await rcpt(policy, "closed@example.org"), "550 5.1.1 we have moved");
  assert.equal(await rcpt(policy, "later@example.org"), "450 4.2.0 painting the office");
  assert.deepEqual(await rcpt(policy, "hole@example.org"), ["(hole@example.org thrown away, as aliases says)"]);
  // The log and `posthorn explain` say it as the table does.
  const thrownAway = await policy.judgeRecipient(facts, "hole@example.org");
  assert.deepEqual(thrownAway.kind === "accept" && thrownAway.steps?.[0]?.to, [":blackhole:"]);
  assert.deepEqual(await rcpt(policy, "mixed@example.org"), ["jane@example.org", "!mixed@example.org 5.1.1"]);
});

test("a table that cannot be asked, an entry that cannot be read and one without an end are no answer for good", async () => {
  const failing: Table = {
    name: "down",
    lookup: async () => ({ kind: "failed", text: "the database is away" }),
    exact: async () => ({ kind: "failed", text: "the database is away" }),
    has: async () => ({ kind: "failed", text: "the database is away" }),
    hasExact: async () => ({ kind: "failed", text: "the database is away" }),
  };
  const sorry = "451 4.3.0 a lookup failed here; please try again later";
  const down = host({ tables: { down: failing }, local: { aliases: "table:down" } });
  assert.equal(await rcpt(down, "jane@example.org"), sorry);
  assert.equal(await rcpt(host({ aliases: { bad: "jane, <oops" } }), "bad@example.org"), sorry);
  const long = Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`n${n}`, `n${n + 1}`]));
  assert.equal(await rcpt(host({ aliases: long }), "n0@example.org"), sorry);
  const many = { many: Array.from({ length: 11 }, (_, n) => `u${n}@elsewhere.example`).join(", ") };
  assert.equal(await rcpt(host({ aliases: many, local: { expansionTargets: 10 } }), "many@example.org"), sorry);
});

test("commands, files and lists within lists are counted like addresses", async () => {
  const sorry = "451 4.3.0 a lookup failed here; please try again later";
  const commands = { many: Array.from({ length: 11 }, (_, n) => `"|/bin/x ${n}"`).join(", ") };
  assert.equal(await rcpt(host({ aliases: commands, local: { expansionTargets: 10 } }), "many@example.org"), sorry);
  // Each list names the next one twice: a million readings, if nobody counted.
  const files = Object.fromEntries(
    Array.from({ length: 20 }, (_, n) => [`/l/${n}`, `:include:/l/${n + 1}\n:include:/l/${n + 1}\n`]),
  );
  const policy = host({
    aliases: { doubling: ":include:/l/0" },
    files: { ...files, "/l/20": "ann\n" },
    local: { expansionTargets: 1000, expansionDepth: 30, includesFrom: ["alias", "include"] },
  });
  assert.equal(await rcpt(policy, "doubling@example.org"), sorry);
});

test("the owner of a list is the sender for its members, and for mail without a sender nobody is", async () => {
  const policy = host({ aliases: { list: "jane, far@elsewhere.example", "owner-list": "ann" } });
  const from = "from owner-list@example.org";
  assert.deepEqual(await rcpt(policy, "list@example.org"), [
    "(list@example.org the list has it)",
    `jane@example.org ${from}`,
    `far@elsewhere.example by relay ${from}`,
  ]);
  assert.deepEqual(told(await policy.judgeRecipient({ ...facts, sender: "" }, "list@example.org")), [
    "(list@example.org the list has it)",
    "jane@example.org",
    "far@elsewhere.example by relay",
  ]);
  assert.deepEqual(await rcpt(policy, "owner-list@example.org"), ["ann@example.org"]);
  const bounce = await policy.chooseTargets("owner-list@example.org");
  assert.deepEqual(bounce.kind === "targets" && bounce.targets.map(({ recipient }) => recipient), ["ann@example.org"]);
});

test("a list with nobody in it is told so at once: mail that nobody gets would find no place in the queue", async () => {
  const policy = host({
    aliases: {
      staff: ":include:/lists/staff",
      team: "staff",
      all: "staff, joe",
      list: ":include:/lists/staff",
      "owner-list": "ann",
      postmaster: "staff",
      closed: ":fail: we have moved",
      away: ":defer: come on Monday",
    },
    files: { "/lists/staff": "# nobody yet" },
    local: { includesFrom: ["alias", "include", "forward"] },
  });
  const nobody = "550 5.2.4 nobody is in this list";
  for (const name of ["staff", "team", "list"]) assert.equal(await rcpt(policy, `${name}@example.org`), nobody, name);
  assert.deepEqual(await rcpt(policy, "all@example.org"), ["joe@example.org"]);
  assert.deepEqual(await rcpt(policy, "postmaster@example.org"), ["postmaster@example.org"]);
  assert.equal(await forward(policy, {}, ":include:/lists/staff"), "permanent 5.2.4");
  assert.equal(await forward(policy, {}, "list"), "permanent 5.2.4");
  const envelope = { id: "M.1", message: "M", recipient: "list@example.org", notify: [], action: "" };
  const placed = await policy.placeUnfiltered({ sender: "a@b.example", origin: ORIGIN }, envelope);
  assert.equal(placed.kind === "failed" && placed.failure.status, "5.2.4");
  // Its sender reads this, whom our files are no business of.
  assert.doesNotMatch(JSON.stringify(placed), /lists\/staff/);
  const closed = await policy.placeUnfiltered(
    { sender: "a@b.example", origin: ORIGIN },
    { ...envelope, recipient: "closed@example.org" },
  );
  assert.match(JSON.stringify(closed), /"we have moved"/);
  const away = await policy.placeUnfiltered(
    { sender: "a@b.example", origin: ORIGIN },
    { ...envelope, recipient: "away@example.org" },
  );
  assert.match(JSON.stringify(away), /"temporary","status":"4.2.0",.*"come on Monday"/);
  assert.deepEqual(await policy.chooseTargets("list@example.org"), {
    kind: "none",
    because: "<list@example.org>: nobody is in /lists/staff",
    isEmptyList: true,
  });
});

test("postmaster goes where its alias leads, else to local.postmaster, and never nowhere", async () => {
  assert.deepEqual(await rcpt(host({ aliases: { postmaster: "root", root: "jane" } }), "Postmaster@example.org"), [
    "jane@example.org",
  ]);
  const set = { local: { postmaster: "joe" } };
  assert.deepEqual(await rcpt(host(set), "postmaster@example.org"), ["joe@example.org"]);
  assert.deepEqual(await rcpt(host(), "postmaster"), ["postmaster@example.org"]);
  assert.deepEqual(await rcpt(host({ aliases: { postmaster: "nobody" } }), "postmaster@example.org"), [
    "postmaster@example.org",
  ]);
  assert.deepEqual(await rcpt(host(), "postmaster@virtual.example"), ["postmaster@virtual.example"]);
});

async function forward(
  policy: RulesPolicy,
  envelope: Partial<Envelope>,
  text: string,
): Promise<readonly string[] | string> {
  const answer: ForwardAnswer = await policy.expandForward({
    message: { sender: facts.sender },
    envelope: {
      id: "M.1",
      message: "M",
      recipient: "jane@example.org",
      notify: ["FAILURE"],
      action: "deliver",
      ...envelope,
    },
    user: "jane",
    where: "/home/jane/.forward",
    targets: parseAliasTargets(text).targets,
  });
  if (answer.kind === "failed") return `${answer.failure.lasting} ${answer.failure.status}`;
  return answer.envelopes.map(({ recipient, action, target, notify, via, sender }) => {
    assert.deepEqual(notify, ["FAILURE"]);
    assert.ok(via?.includes(envelope.recipient ?? "jane@example.org") === true || target?.kind !== undefined);
    return `${target === undefined ? recipient : JSON.stringify(target)} ${action}${sender === undefined ? "" : ` from ${sender}`}`;
  });
}

test("a .forward leads on through aliases and rules; the user's own name in it is the mailbox", async () => {
  const policy = host({ aliases: { team: "joe, ann", office: "jane" } });
  const box = JSON.stringify({ kind: "user", user: "jane", isFinal: true });
  assert.deepEqual(await forward(policy, {}, "far@elsewhere.example, team, \\jane, |/bin/filter, /home/jane/archive"), [
    "far@elsewhere.example relay",
    "joe@example.org deliver",
    "ann@example.org deliver",
    `${box} deliver`,
    `${JSON.stringify({ kind: "command", command: "/bin/filter", user: "jane" })} deliver`,
    `${JSON.stringify({ kind: "file", path: "/home/jane/archive", user: "jane" })} deliver`,
  ]);
  assert.deepEqual(await forward(policy, { recipient: "jane+x@example.org" }, "jane, far@elsewhere.example"), [
    `${box} deliver`,
    "far@elsewhere.example relay",
  ]);
  assert.deepEqual(await forward(policy, { sender: "owner@example.org" }, "far@elsewhere.example"), [
    "far@elsewhere.example relay from owner@example.org",
  ]);
});

test("two users who forward to one another are a loop, and so is a forward to the alias that led there", async () => {
  const policy = host({ aliases: { office: "jane" } });
  assert.equal(
    await forward(policy, { recipient: "joe@example.org", via: ["jane@example.org"] }, "jane"),
    "permanent 5.4.6",
  );
  assert.equal(await forward(policy, { via: ["office@example.org"] }, "office"), "permanent 5.4.6");
});

test("whatever the aliases are, an expansion ends, finds nothing twice, and tells of loops or of users", async () => {
  const name = fc.integer({ min: 0, max: 7 }).map((n) => `n${n}`);
  const target = fc.oneof(name, fc.constantFrom("jane", "joe", "far@elsewhere.example", "|/bin/x", "\\ann"));
  const table = fc.dictionary(
    name,
    fc.array(target, { minLength: 1, maxLength: 5 }).map((all) => all.join(", ")),
  );
  await fc.assert(
    fc.asyncProperty(table, name, async (aliases, given) => {
      const policy = host({ aliases });
      const judgement = await policy.judgeRecipient(facts, `${given}@example.org`);
      if (judgement.kind === "reject") {
        assert.match(judgement.reply.status ?? "", /^5\.(4\.6|1\.1)$/);
        return;
      }
      const seen = judgement.targets.map(({ recipient, target: to }) => JSON.stringify([recipient, to]));
      assert.equal(new Set(seen).size, seen.length);
      for (const { via = [] } of judgement.targets) assert.equal(new Set(via).size, via.length);
    }),
    { numRuns: 300 },
  );
});
