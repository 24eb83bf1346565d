import { systemClock } from "../../foundation/clock.io.ts";
import type { Emit } from "../../foundation/events.ts";
import { inspectCertificates } from "../../service/tls/keeper/inspect.io.ts";
import type { SigningKeeper } from "../../service/signing/signing-keys.ts";
import type { Keeper, KeeperChange, KeeperStore } from "../../service/tls/keeper/keeper.ts";
import { inOrder, problemIn, problemLine } from "../../service/config/config.ts";
import { loginSecret } from "../../service/account/login-secret.io.ts";
import * as events from "../events.ts";
import type { SystemQuestion } from "../../service/account/system-passwords.ts";
import { systemPasswords } from "../../service/account/system-passwords.io.ts";
import { handlersFrom, serveAdmitted } from "./admitted-channels.ts";
import { foldersOf, loginSecretOf } from "../folders.ts";
import { startKeeperRole } from "../role/keeper-role.ts";
import {
  acmeKeeperMethods,
  egressKeeperMethods,
  ingressKeeperMethods,
  supervisorKeeperMethods,
  type WorkerStart,
} from "./roles.ts";
import { SettingsRefused } from "../settings/settings-refused.ts";
import { inspectSigning } from "../settings/signing-files.ts";
import { inspectedOf, locatedProblem } from "../settings/tls-files.ts";
import { roleParts, type RunningRole } from "./worker-role.ts";

/**
 * The keeper in a process of its own: the only one that can read keys. It opens and checks everything before it is ready,
 * and refuses settings whose certificates are wrong. Ingress and egress processes prove with a word that the supervisor
 * gave to them and to us that they are what they say: all workers are the same user, and the others have no business here.
 */
export async function keeperRole(start: WorkerStart, emit: Emit): Promise<RunningRole> {
  const { loaded, keeper: access } = start;
  const inspected = await inspectCertificates(inspectedOf(loaded.settings, systemClock.now()));
  const problems = inOrder([
    ...inspected.map((problem) => locatedProblem(problem, loaded.origins)),
    ...(await inspectSigning(loaded.settings)).map(({ path, text, isData }) =>
      problemIn(loaded.origins, path, text, isData === undefined ? "error" : "warning"),
    ),
  ]);
  if (problems.some(({ severity }) => severity === "error")) throw new SettingsRefused(problems);
  for (const problem of problems) emit(events.settingsWarning, { problem: problemLine(problem) });

  const role = await startKeeperRole(roleParts(start, emit));
  const system = systemPasswords({
    clock: systemClock,
    atOnce: () => loaded.settings.accounts?.checksAtOnce ?? 1,
  });
  const { keeper } = role;
  const accounts = {
    checkSystemPassword: (question: SystemQuestion) => system.checkSystemPassword(question),
    loginSecret: () => loginSecret(loginSecretOf(foldersOf(loaded.settings.state))),
  };
  const channels = await serveAdmitted(
    access,
    (name) =>
      name === "lookup"
        ? { ...accounts, ...handlersFrom(keeper, ["anchors"]) }
        : handlersFrom(keeper, methodsOf[name] ?? []),
    // Who may come here at all is settled by the folder.
    0o666,
  );
  const forget = keeper.onChange((change: KeeperChange) => {
    for (const channel of channels.open) channel.note("changed", [change]);
  });
  return {
    leave: () => channels.left(),
    async stop() {
      forget();
      channels.close();
      role.close();
      role.tickets.close();
      await system.close();
    },
  };
}

/** What each may call; who it is was proved by its word. */
const methodsOf: Readonly<Record<string, readonly (keyof Keeper | keyof KeeperStore | keyof SigningKeeper)[]>> = {
  ingress: ingressKeeperMethods,
  egress: egressKeeperMethods,
  acme: acmeKeeperMethods,
  supervisor: supervisorKeeperMethods,
};
