import assert from "node:assert/strict";
import { test } from "node:test";
import { usersProblems } from "./check-users.ts";
import { actionsOfDeliveries } from "./delivers-as-others.ts";
import { posthornSettings } from "./settings.ts";

function problemsOf(written: Parameters<typeof posthornSettings.parse>[0], isRoot: boolean): readonly string[] {
  return usersProblems(posthornSettings.parse(written), isRoot).map(
    ({ path, text, severity = "error" }) => `${severity} ${path.join(".")}: ${text}`,
  );
}

test("deliveries as recipients of whom nobody knows the uid are an error, by the setting that wants them", () => {
  const [one, two, ...more] = problemsOf(
    { mailbox: { user: "recipient" }, actions: { own: { deliver: "mbox", user: "recipient" } }, user: "posthorn" },
    true,
  );
  assert.match(one ?? "", /^error mailbox\.user: nobody knows/);
  assert.match(two ?? "", /^error actions\.own\.user: nobody knows/);
  assert.deepEqual(more, []);
});

test("a server that root did not start is told that mail for others will wait", () => {
  assert.match(problemsOf({ local: { users: "system" } }, false).join(), /^warning local\.users: .* its recipients/);
  assert.match(problemsOf({ mailbox: { user: "vmail" } }, false).join(), /^warning mailbox\.user: .* as vmail/);
  assert.deepEqual(problemsOf({ local: { users: "system" }, user: "posthorn" }, true), []);
});

test("a default user that owns the queue is warned of, where aliases run commands", () => {
  const local = { aliases: "table:aliases", defaultUser: "posthorn" };
  assert.match(problemsOf({ local, user: "posthorn" }, true).join(), /^warning local\.defaultUser/);
  assert.deepEqual(problemsOf({ local: { defaultUser: "posthorn" }, user: "posthorn" }, true), []);
});

test("mailboxes of virtual domains are nobody's of this host: they need an action of their own, which is the server's", () => {
  const virtual = (action?: string) => [
    { domains: ["v.example"], users: ["box@v.example"], ...(action === undefined ? {} : { action }) },
  ];
  const settings = (action?: string) =>
    ({
      local: { users: "system", virtual: virtual(action) },
      actions: { box: { deliver: "maildir", path: "{domain}/{user}" } },
      user: "posthorn",
    }) as const;
  assert.match(problemsOf(settings(), true).join(), /^error local\.virtual\.0\.users: .*as users of this host/);
  assert.deepEqual(problemsOf(settings("box"), true), []);
  const actions = actionsOfDeliveries(posthornSettings.parse(settings("box")));
  const userOf = (name: string): unknown => {
    const action = actions(name);
    return action?.kind === "deliver" ? action.user : action;
  };
  assert.equal(userOf("box"), "server");
  assert.equal(userOf("none"), undefined);
  for (const users of ["system", "table:people"]) {
    const written = (action?: string) => ({
      ...settings(action),
      local: { users, virtual: virtual(action) },
      tables: { people: { file: "people" } },
      mailbox: { user: "recipient" as const },
    });
    assert.match(problemsOf(written(), true).join(), /^error local\.virtual\.0\.users: .*as users of this host/, users);
    assert.deepEqual(problemsOf(written("box"), true), [], users);
    const action = actionsOfDeliveries(posthornSettings.parse(written("box")))("box");
    assert.equal(action?.kind === "deliver" && action.user, "server", users);
  }
  assert.equal(
    actionsOfDeliveries(posthornSettings.parse({ ...settings("box"), mailbox: { user: "vmail" } }))("box")?.kind,
    "deliver",
  );
});

test("the server's own defaults have nothing to complain about", () => {
  assert.deepEqual(problemsOf({}, true), []);
  assert.deepEqual(problemsOf({}, false), []);
});
