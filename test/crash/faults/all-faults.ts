import type { TestContext } from "node:test";
import { clockJump } from "./clock-jump.ts";
import { diskErrors, diskFull } from "./disk.ts";
import type { Fault } from "./fault.ts";
import { killAtStart, killScheduler, killServer, killWorkers } from "./kill.ts";
import { dnsDown, nextHostDown, tableDown } from "./neighbours-down.ts";
import { powerCut } from "./power-cut.ts";
import { cutRoles, stopProcess } from "./role-links.ts";
import { fewDescriptors, fewDescriptorsAtStart, outOfMemory } from "./scarcity.ts";

/** What goes wrong in rounds of faults. */
export const allFaults: readonly Fault[] = [
  killWorkers,
  killServer,
  killAtStart,
  killScheduler,
  stopProcess,
  cutRoles,
  diskFull,
  diskErrors,
  powerCut,
  clockJump,
  fewDescriptors,
  fewDescriptorsAtStart,
  outOfMemory,
  dnsDown,
  tableDown,
  nextHostDown,
];

/** Those that can be played on this machine. What cannot is said, and is a failure where nothing may be missing. */
export function faultsHere(t: TestContext): readonly Fault[] {
  return allFaults.filter(({ name, missing }) => {
    const why = missing?.();
    if (why === undefined) return true;
    if (process.env["POSTHORN_REQUIRE_PEERS"] === "1") throw new Error(`${name} cannot be played: ${why}`);
    t.diagnostic(`${name} is left out: ${why}`);
    return false;
  });
}
