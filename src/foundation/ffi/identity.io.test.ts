import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

const skip = process.getuid?.() === 0 ? false : "only root can become others";

/** In a process of its own: rights are a process's. */
function told(program: string): Readonly<Record<string, string>> {
  const module = JSON.stringify(new URL("identity.io.ts", import.meta.url));
  const text = `import { readFileSync } from "node:fs";
    import { spawnSync } from "node:child_process";
    import { actAs, inThreadAs, startAs } from ${module};
    const alice = { uid: 61234, gid: 61234, groups: [61234, 8] };
    const idsIn = (status) => /^Uid:\\s(.*)$/m.exec(status)[1] + " / " + /^Groups:\\s(.*)$/m.exec(status)[1].trim();
    const idsNow = () => idsIn(readFileSync("/proc/thread-self/status", "utf8"));
    actAs({ uid: 990, gid: 990, groups: [] });
    ${program}`;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", text], { encoding: "utf8" });
  assert.equal(run.stderr, "");
  return JSON.parse(run.stdout) as Readonly<Record<string, string>>;
}

test(
  "while we act as a user, neither our real nor our saved user is that one, so that the user cannot signal us",
  { skip },
  () => {
    const ids = told(`const inside = inThreadAs(alice, idsNow);
    actAs(alice);
    console.log(JSON.stringify({ inside, whole: idsNow() }))`);
    assert.deepEqual(ids, { inside: "990\t61234\t0\t61234 / 8 61234", whole: "0\t61234\t0\t61234 / 8 61234" });
  },
);

test("what is started for a user is that user in every sense, and we are not for a moment", { skip }, () => {
  const ids = told(`let meanwhile = "";
    const { stdout } = startAs(alice, "/bin/cat", ["/proc/self/status"], (program, args) => {
      meanwhile = idsNow();
      return spawnSync(program, args, { encoding: "utf8", env: {} });
    });
    console.log(JSON.stringify({ child: idsIn(stdout), caps: /^CapPrm:\\s(.*)$/m.exec(stdout)[1], meanwhile, after: idsNow() }))`);
  assert.deepEqual(ids, {
    child: "61234\t61234\t61234\t61234 / 8 61234",
    caps: "0000000000000000",
    meanwhile: "0\t0\t0\t0 / 8 61234",
    after: "0\t990\t0\t990 / ",
  });
});
