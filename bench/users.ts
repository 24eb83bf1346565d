/**
 * Deliveries with users' rights: `node bench/users.ts [--mails 1000]`, as root. How many a second, and what each costs of
 * the processors, into Maildirs of one user, of 20 and of 500, beside the server's own, and for commands. Without SMTP and
 * queue: the delivery role itself, 40 at once, as the scheduler gives them.
 */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/foundation/clock.io.ts";
import { emitNothing } from "../src/foundation/events.ts";
import { RunningCommands } from "../src/mail/delivery/command/running-commands.ts";
import { startDelivery } from "../src/process/role/delivery-role.ts";
import { foldersOf, makeFolders } from "../src/process/folders.ts";
import { loadSettings } from "../src/process/settings/load-settings.ts";
import type { LookupPort } from "../src/process/role/lookup.ts";
import { mailFor } from "../src/testing/local-mail.ts";
import { cpuSecondsOf } from "../test/processes.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

const { values } = scriptArguments({ options: { mails: { type: "string", default: "1000" } } });
const mails = Number(values.mails);
const AT_ONCE = 40;

async function measure(what: string, user: "recipient" | "server", users: number, action: string): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-bench-users-"));
  chmodSync(directory, 0o755);
  const home = (n: number): string => join(directory, "home", `u${n}`);
  for (let n = 0; n < users; n++) {
    mkdirSync(home(n), { recursive: true });
    chownSync(home(n), 60_000 + n, 60_000 + n);
  }
  const file = join(directory, "posthorn.yaml");
  const people = Array.from({ length: users }, (_, n) => `u${n} ${60_000 + n}:${60_000 + n}:${home(n)}`);
  writeFileSync(join(directory, "people"), `${people.join("\n")}\n`);
  writeFileSync(
    file,
    `state: ${directory}/state
tables: { people: { file: people } }
local: { users: table:people }
mailbox: { user: ${user} }
actions: { run: { deliver: command, command: "cat >/dev/null" } }
`,
  );
  const loaded = await loadSettings({ file, directory, clock: systemClock, isKeptElsewhere: () => true });
  if (!loaded.ok) throw new Error(loaded.problem.map(({ text }) => text).join("; "));
  const folders = foldersOf(loaded.value.settings.state);
  makeFolders(folders, undefined);
  const role = startDelivery({
    loaded: loaded.value,
    folders,
    clock: systemClock,
    emit: emitNothing,
    lookup: {} as LookupPort,
    running: new RunningCommands(systemClock),
  });
  const text = `Subject: x\r\n\r\n${`${"y".repeat(70)}\r\n`.repeat(14)}`;
  let next = 0;
  const failures: string[] = [];
  const deliverSome = async (until: number): Promise<void> => {
    while (next < until) {
      const n = next++;
      const outcome = await role.port.deliver(mailFor(action, n, { recipient: `u${n % users}@example.org`, text }));
      if (outcome.kind !== "delivered") failures.push(JSON.stringify(outcome));
    }
  };
  const all = (until: number): Promise<unknown> =>
    Promise.all(Array.from({ length: AT_ONCE }, () => deliverSome(until)));
  // The mailboxes are there and the processes warm.
  await all(Math.max(users, 100));
  const already = next;
  const cpuBefore = cpuSecondsOf(process.pid);
  const startedAt = performance.now();
  await all(already + mails);
  const tookS = (performance.now() - startedAt) / 1000;
  const cpuMs = ((cpuSecondsOf(process.pid) - cpuBefore) * 1000) / mails;
  if (failures.length > 0) throw new Error(`${failures.length} failed, the first: ${failures[0]}`);
  console.log(
    `${what.padEnd(44)} ${(mails / tookS).toFixed(0).padStart(6)} /s  ${cpuMs.toFixed(2).padStart(6)} ms of CPU each`,
  );
  await role[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
}

console.log(`${mails} mails of 1 KB, ${AT_ONCE} at once, ${availableParallelism()} processors, ${tmpdir()}`);
await measure("the server's own Maildirs, 20 users", "server", 20, "deliver");
await measure("as one user", "recipient", 1, "deliver");
await measure("as 20 users in turn", "recipient", 20, "deliver");
await measure("as 500 users in turn", "recipient", 500, "deliver");
await measure("to a command, as 20 users", "recipient", 20, "run");
