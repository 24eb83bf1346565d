import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAliasTargets } from "../../protocol/address/alias-targets.ts";
import type { UserDirectory } from "../../service/account/users.ts";
import { inlineTable } from "../../service/table/tables.ts";
import { rulesPolicy, type RulesPolicy } from "./rules.ts";
import { localSettings } from "./settings.ts";

/** The same name as keyboards write it, and as macOS writes names of files and what is copied from them. */
const COMPOSED = "j\u00fcrgen";
const DECOMPOSED = "ju\u0308rgen";

function host(users: string | readonly string[], aliases: Readonly<Record<string, string>> = {}): RulesPolicy {
  const directory: UserDirectory = {
    find: (name) =>
      Promise.resolve(
        name === COMPOSED ? { kind: "found", user: { name, uid: 1, gid: 1, home: "/" } } : { kind: "none" },
      ),
  };
  return rulesPolicy(
    {
      hostname: "mx.example.org",
      local: localSettings.parse({ domains: ["example.org"], users, aliases: "table:aliases" }),
      actions: {},
    },
    new Map([["aliases", inlineTable("aliases", { kind: "map", entries: aliases })]]),
    { users: directory },
  );
}

const facts = { listener: "smtp", clientAddress: "192.0.2.7", isEncrypted: false, sender: "sam@elsewhere.example" };

for (const users of ["system", [`${COMPOSED}@example.org`], [`${DECOMPOSED}@example.org`], [COMPOSED]] as const)
  test(`a user's .forward and aliases may name him in any Unicode form and case (users: ${String(users)})`, async () => {
    const policy = host(users, {
      root: `\\${DECOMPOSED}`,
      boss: `\\J\u00dcRGEN`,
      [`${DECOMPOSED}-work@example.org`]: COMPOSED,
    });
    for (const [alias, recipient] of Object.entries({
      root: `${DECOMPOSED}@example.org`,
      boss: `J\u00dcRGEN@example.org`,
    })) {
      const judged = await policy.judgeRecipient(facts, `${alias}@example.org`);
      assert.ok(judged.kind === "accept", JSON.stringify(judged));
      assert.deepEqual(
        judged.targets.map(({ recipient: to, target }) => [to, target]),
        [[recipient, { kind: "user", user: COMPOSED, isFinal: true }]],
      );
    }
    for (const written of [COMPOSED, DECOMPOSED, `${COMPOSED}-work`, `JU\u0308RGEN-WORK`])
      assert.equal((await policy.judgeRecipient(facts, `${written}@example.org`)).kind, "accept", written);
    // Named by himself, with and without the backslash: his mailbox, and no other mail.
    for (const text of [`\\${DECOMPOSED}`, DECOMPOSED, `${DECOMPOSED}@example.org, ${COMPOSED}@example.org`]) {
      const answer = await policy.expandForward({
        message: { sender: "sam@elsewhere.example" },
        envelope: {
          id: "06A7Q2MK0W1.1",
          message: "06A7Q2MK0W1",
          recipient: `${COMPOSED}@example.org`,
          notify: [],
          action: "deliver",
        },
        user: COMPOSED,
        where: ".forward",
        targets: parseAliasTargets(text).targets,
      });
      assert.ok(answer.kind === "envelopes", JSON.stringify(answer));
      assert.deepEqual(
        answer.envelopes.map(({ target }) => target),
        [{ kind: "user", user: COMPOSED, isFinal: true }],
        text,
      );
    }
  });
