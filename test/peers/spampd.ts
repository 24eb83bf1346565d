import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startPeer, type RunningPeer } from "./running.ts";

/** Debian's spampd at a port of loopback, with SpamAssassin's local tests only; it hands mail on to `relayPort`. */
export function startSpampd(options: {
  readonly port: number;
  readonly relayPort: number;
  /** Lines as in local.cf. */
  readonly preferences?: readonly string[];
}): Promise<RunningPeer> {
  return startPeer({
    name: "spampd",
    async prepare(folder) {
      const settings = join(folder, "local.cf");
      const lines = ["use_bayes 0", "skip_rbl_checks 1", "dns_available no", ...(options.preferences ?? [])];
      writeFileSync(settings, `${lines.join("\n")}\n`);
      return {
        // What the package's script does (a home from the command line is tainted to Perl, which then does not use it), and
        // another place for the log, for which it knows no option: there may be no syslog here.
        command: [
          "sh",
          "-c",
          `chown spampd /var/cache/spampd && sed -i "s|=> 'Sys::Syslog'|=> '${join(folder, "mail", "log")}'|" /usr/sbin/spampd && exec "$@"`,
          "spampd",
          ...command(options, folder, settings),
        ],
        at: options.port,
        mails: "mail/none/*",
        log: "mail/log",
      };
    },
  });
}

function command(
  { port, relayPort }: { readonly port: number; readonly relayPort: number },
  folder: string,
  settings: string,
): readonly string[] {
  return [
    "spampd",
    "--nodetach",
    `--host=127.0.0.1:${port}`,
    `--relayhost=127.0.0.1:${relayPort}`,
    "--children=2",
    "--tagall",
    "--local-only",
    "--user=spampd",
    "--group=spampd",
    `--saconfig=${settings}`,
    `--pid=${join(folder, "pid")}`,
  ];
}
