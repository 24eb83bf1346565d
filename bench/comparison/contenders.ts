import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inPeer, run } from "../../test/peers/running.ts";
import { ROOT } from "../../test/server.ts";
import { startDebiansExim } from "./exim.ts";
import { HARAKA_VERSION, installHaraka, startHaraka } from "./haraka.ts";
import { startDebiansOpensmtpd } from "./opensmtpd.ts";
import { startBareNode } from "./bare-node.ts";
import { startPosthorn } from "./posthorn.ts";
import { startDebiansPostfix } from "./postfix.ts";
import { contenderNames, whyLeftOut, type Contender, type ContenderName, type Wanted } from "./contender.ts";

/** Who takes part in this run, and who does not. */
export interface Field {
  readonly names: readonly ContenderName[];
  /** By name, why it takes part in nothing. */
  readonly absent: ReadonlyMap<ContenderName, string>;
  readonly versions: ReadonlyMap<string, string>;
  start(name: ContenderName, wanted: Wanted): Promise<Contender>;
  /** Who can do this, in the table's order. */
  able(wanted: Wanted): readonly ContenderName[];
}

/** @param names those wanted; installs what has to be installed into `scratch` */
export async function prepareField(names: readonly ContenderName[], scratch: string): Promise<Field> {
  const absent = new Map<ContenderName, string>();
  const versions = new Map<string, string>([["Posthorn", ownVersion()]]);
  for (const [peer, argv, pattern] of [
    ["Postfix", ["postfix", "postconf", "-d", "-h", "mail_version"], /^(\d\S*)$/m],
    ["Exim", ["exim4", "exim4", "-bV"], /version (\S+)/],
    ["OpenSMTPD", ["opensmtpd", "smtpd", "-h"], /version: OpenSMTPD (\S+)/],
  ] as const) {
    if (!names.some((name) => name.startsWith(peer))) continue;
    const [root, ...command] = argv;
    const [program, all] = inPeer(root, command);
    const { output } = await run(program, all);
    const version = pattern.exec(output)?.[1];
    if (version !== undefined) versions.set(peer, version);
    else
      for (const name of names.filter((name) => name.startsWith(peer)))
        absent.set(name, `not installed (test/peers/install.sh): ${output.trim().split("\n").at(-1) ?? ""}`);
  }
  let haraka: string | undefined;
  if (names.includes("Haraka")) {
    const installed = await installHaraka(join(scratch, "haraka-installed"));
    if ("program" in installed) {
      haraka = installed.program;
      versions.set("Haraka", HARAKA_VERSION);
    } else absent.set("Haraka", installed.problem);
  }
  const present = contenderNames.filter((name) => names.includes(name) && !absent.has(name));
  return {
    names: present,
    absent,
    versions,
    start(name, wanted) {
      switch (name) {
        case "Posthorn, single":
          return startPosthorn("single", wanted);
        case "Posthorn, split":
          return startPosthorn("split", wanted);
        case "Postfix":
        case "Postfix, held":
          return startDebiansPostfix(name, wanted);
        case "Exim":
          return startDebiansExim(wanted);
        case "OpenSMTPD":
          return startDebiansOpensmtpd(wanted);
        case "Haraka":
          return startHaraka(haraka ?? "", wanted);
        case "Node, bare":
        case "Node, stores":
          return startBareNode(name, wanted);
      }
    },
    able: (wanted) => present.filter((name) => whyLeftOut(name, wanted) === undefined),
  };
}

function ownVersion(): string {
  const own: unknown = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  return typeof own === "object" && own !== null && "version" in own ? String(own.version) : "?";
}
