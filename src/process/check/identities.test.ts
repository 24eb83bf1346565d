import assert from "node:assert/strict";
import { test } from "node:test";
import { posthornSettings } from "../settings/settings.ts";
import { identityProblems } from "./identities.ts";

function problemsOf(written: Parameters<typeof posthornSettings.parse>[0], isRoot: boolean): readonly string[] {
  return identityProblems(posthornSettings.parse(written), isRoot).map(
    ({ path, text, severity }) => `${severity} ${path.join(".")}: ${text}`,
  );
}

test("a server whose processes would be root is refused to root, as its start is", () => {
  for (const setting of ["user", "keeperUser"] as const) {
    const [problem, ...more] = problemsOf({ user: "nobody", [setting]: "root" }, true);
    assert.match(problem ?? "", new RegExp(`^error ${setting}: root is root, .*: name a user without privileges$`));
    assert.deepEqual(more, []);
  }
  assert.match(problemsOf({ user: "root" }, false)[0] ?? "", /^warning user: /);
  assert.deepEqual(problemsOf({ user: "nobody", keeperUser: "nobody" }, true), []);
});

test("a user or a group that this machine does not have is told to root", () => {
  const written = { user: "nobody-at-all", group: "no-group-at-all" };
  const problems = problemsOf(written, true);
  assert.equal(problems.length, 2);
  assert.match(
    problems[0] ?? "",
    /^warning user: there is no user nobody-at-all .*useradd.*; until then root cannot start/,
  );
  assert.match(problems[1] ?? "", /^warning group: there is no group no-group-at-all.*; until then root cannot start/);
  assert.deepEqual(problemsOf(written, false), []);
});

test("nobody is called by an empty name", () => {
  for (const setting of ["user", "group", "keeperUser", "keeperGroup"])
    assert.equal(posthornSettings.safeParse({ [setting]: "" }).success, false, setting);
});
