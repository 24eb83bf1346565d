import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeCertificate } from "./certificate.ts";
import { freePort } from "../server.ts";
import { startPeer, type RunningPeer } from "./running.ts";

/**
 * Debian's opensmtpd: takes mail for opensmtpd.test into a Maildir, refuses nobody@, and passes everything else on to
 * `relayTo`. It takes STARTTLS where that is offered. With TLS, it offers it too, and each handshake fails: Debian 12's cannot
 * reach its own key with OpenSSL 3. That is left as it is, for there are such hosts.
 * @param ways by domain, other ways out than the usual one: what stands behind `relay host`
 * @param listeners more lines that say where it listens
 */
export function startOpensmtpd(
  options: {
    relayTo?: number;
    hasTls?: boolean;
    ways?: Readonly<Record<string, string>>;
    listeners?: readonly string[];
  } = {},
): Promise<RunningPeer> {
  return startPeer({
    name: "opensmtpd",
    async prepare(folder) {
      const port = await freePort();
      const file = join(folder, "smtpd.conf");
      const pair = options.hasTls === true ? await makeCertificate(folder) : undefined;
      if (pair !== undefined) chmodSync(pair.key, 0o600);
      const ways = Object.entries(options.ways ?? {});
      writeFileSync(
        file,
        `${pair === undefined ? "" : `pki opensmtpd.test cert "${pair.certificate}"\npki opensmtpd.test key "${pair.key}"`}
listen on 127.0.0.1 port ${port} ${pair === undefined ? "" : "tls pki opensmtpd.test "}hostname opensmtpd.test
${(options.listeners ?? []).join("\n")}
table everybody { "@" = "opensmtpd" }
action "box" maildir "${folder}/mail" virtual <everybody>
action "out" relay host smtp://127.0.0.1:${options.relayTo ?? 1}
${ways.map(([domain, way], at) => `action "way${at}" relay host ${way}\nmatch from any for domain "${domain}" action "way${at}"`).join("\n")}
match from any for rcpt-to "nobody@opensmtpd.test" reject
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
