import assert from "node:assert/strict";
import { test } from "node:test";
import { usersProblems } from "./users.ts";
import { posthornSettings } from "../settings/settings.ts";

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

test("mailboxes of virtual domains are nobody's of this host: they need an action of their own, and have no home", () => {
  const written = (users: string, action?: string, path = "{domain}/{user}") => ({
    local: {
      users,
      virtual: [{ domains: ["v.example"], users: ["box@v.example"], ...(action === undefined ? {} : { action }) }],
    },
    tables: { people: { file: "people" } },
    mailbox: { user: "recipient" as const },
    actions: { box: { deliver: "maildir" as const, path } },
    user: "posthorn",
  });
  for (const users of ["system", "table:people"]) {
    assert.match(
      problemsOf(written(users), true).join(),
      /^error local\.virtual\.0\.users: .*nobody of this host/,
      users,
    );
    assert.deepEqual(problemsOf(written(users, "box"), true), [], users);
  }
  const atHome = problemsOf(written("system", "box", "{home}/{domain}"), true);
  assert.match(atHome.join(), /^error local\.virtual\.0\.action: box delivers to \{home\}/);
  // Those in a table may have one each, by user@domain.
  assert.deepEqual(problemsOf(written("table:people", "box", "{home}/{domain}"), true), []);
});

test("the server's own defaults have nothing to complain about", () => {
  assert.deepEqual(problemsOf({}, true), []);
  assert.deepEqual(problemsOf({}, false), []);
});
