import { existsSync, readdirSync, readFileSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import type { Account } from "./account.ts";
import { findMail } from "./content.ts";

const USERS = ["ada", "bob", "cid", "returned"];

/** Takes what has come into the mailboxes, so that they do not grow; as a mail reader with POP3 would. */
export function reap(state: string, account: Account): void {
  for (const user of USERS) {
    const folder = join(state, "mail", user, "Maildir", "new");
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder)) {
      const file = join(folder, name);
      const text = readFileSync(file, "latin1");
      unlinkSync(file);
      const found = findMail(text);
      if (found === undefined) account.problem(`a mail for ${user} that is none of ours: ${text.slice(0, 300)}`);
      // A notice has the header of what it returns, and no more.
      else account.arrive(found.number, user, user === "returned" || found.isWhole);
    }
  }
}
