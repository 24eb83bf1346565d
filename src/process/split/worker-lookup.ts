import { systemClock } from "../../foundation/clock.io.ts";
import type { Emit } from "../../foundation/events.ts";
import { systemRandom } from "../../foundation/random.io.ts";
import { Rates } from "../../mail/envelope/restrictions/rates.ts";
import { SendingLimits } from "../../service/account/sending-limits.ts";
import type { LookupPort } from "../role/lookup.ts";
import { foldersOf } from "../folders.ts";
import { loginsFor, startLookup } from "../role/lookup-role.ts";
import { handlersFrom, serveAdmitted } from "./admitted-channels.ts";
import { remoteAccountKeeper } from "./remote-keeper.ts";
import { ingressLookupMethods, supervisorLookupMethods, tableLookupMethods, type WorkerStart } from "./roles.ts";
import { roleParts, type RunningRole } from "./worker-role.ts";

/**
 * The lookup role in a process of its own. All workers are the same user: whoever comes proves with a word of the
 * supervisor's that it is what it says, for passwords are tried by those who receive mail and by nobody else.
 */
export async function lookupRole(start: WorkerStart, emit: Emit): Promise<RunningRole> {
  const { lookup: access } = start;
  const kept = await remoteAccountKeeper(start);
  const loginSecret = await kept.keeper.loginSecret();
  const logins = loginsFor(start.loaded.settings.accounts, systemClock, loginSecret);
  const sending = new SendingLimits(systemClock);
  const role = await startLookup({
    ...roleParts(start, emit),
    random: systemRandom,
    system: kept.keeper,
    keeper: kept.keeper,
    logins,
    sending,
    rates: new Rates(systemClock),
    greylistFile: foldersOf(start.loaded.settings.state).greylistFile,
    dmarcFile: foldersOf(start.loaded.settings.state).dmarcFile,
    loginSecret,
  });
  role.takeLogins();
  const channels = await serveAdmitted(access, (name) => handlersFrom(role.port, methodsOf[name] ?? []));
  return {
    leave: () => channels.left(),
    async stop() {
      channels.close();
      await role.close();
      kept.close();
    },
  };
}

const methodsOf: Readonly<Record<string, readonly (keyof LookupPort)[]>> = {
  ingress: ingressLookupMethods,
  scheduler: tableLookupMethods,
  egress: tableLookupMethods,
  delivery: tableLookupMethods,
  supervisor: supervisorLookupMethods,
};
