import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../server.ts";
import { startPeer, type RunningPeer } from "./running.ts";

/** Debian's opensmtpd: takes mail for opensmtpd.test into a Maildir, and passes everything else on to `relayTo`. */
export function startOpensmtpd(options: { relayTo?: number } = {}): Promise<RunningPeer> {
  return startPeer({
    name: "opensmtpd",
    async prepare(folder) {
      const port = await freePort();
      const file = join(folder, "smtpd.conf");
      writeFileSync(
        file,
        `listen on 127.0.0.1 port ${port} hostname opensmtpd.test
table everybody { "@" = "opensmtpd" }
action "box" maildir "${folder}/mail" virtual <everybody>
action "out" relay host smtp://127.0.0.1:${options.relayTo ?? 1}
match from any for domain "opensmtpd.test" action "box"
match from any for any action "out"
`,
      );
      return {
        command: [
          "sh",
          "-c",
          `mkdir -p /var/spool/smtpd /var/lib/opensmtpd/empty && chmod 711 /var/spool/smtpd && exec smtpd -dv -f ${file}`,
        ],
        at: port,
        mails: "mail/new/*",
        log: "none",
      };
    },
  });
}
