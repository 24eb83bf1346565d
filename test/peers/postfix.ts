import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeCertificate } from "./certificate.ts";
import { freePort } from "../server.ts";
import { startPeer, type RunningPeer } from "./running.ts";

/**
 * Debian's postfix with an empty queue and its default durability: takes mail for postfix.test into a Maildir, and passes
 * everything else on to `relayTo`. With TLS, it offers STARTTLS and takes it where offered.
 * @param settings further lines of main.cf
 * @param services further lines of master.cf
 * @param before what is done in its namespace before it starts, `FOLDER` being its folder: users, compiled tables
 */
export function startPostfix(
  options: {
    relayTo?: number;
    hasTls?: boolean;
    settings?: readonly string[];
    services?: readonly string[];
    before?: string;
  } = {},
): Promise<RunningPeer> {
  return startPeer({
    name: "postfix",
    async prepare(folder) {
      const port = await freePort();
      for (const name of ["etc", "queue", "log"]) mkdirSync(join(folder, name));
      chmodSync(folder, 0o755);
      const pair = options.hasTls === true ? await makeCertificate(folder) : undefined;
      writeFileSync(
        join(folder, "etc", "main.cf"),
        withoutRepetition([
          "compatibility_level = 3.6",
          `queue_directory = ${folder}/queue`,
          `data_directory = ${folder}/data`,
          "command_directory = /usr/sbin",
          "daemon_directory = /usr/lib/postfix/sbin",
          "meta_directory = /etc/postfix",
          "shlib_directory = /usr/lib/postfix",
          "mail_owner = postfix",
          "setgid_group = postdrop",
          "inet_interfaces = 127.0.0.1",
          "inet_protocols = ipv4",
          "myhostname = postfix.test",
          "mydestination =",
          "mynetworks = 127.0.0.0/8",
          "alias_maps =",
          "alias_database =",
          "virtual_mailbox_domains = postfix.test",
          `virtual_mailbox_base = ${folder}/mail`,
          "virtual_mailbox_maps = static:box/",
          "virtual_uid_maps = static:950",
          "virtual_gid_maps = static:950",
          "smtpd_relay_restrictions = permit_mynetworks, reject",
          // The load comes from one address; people's limits are about many.
          "smtpd_client_connection_count_limit = 0",
          "default_process_limit = 150",
          `maillog_file = ${folder}/log/postfix.log`,
          `maillog_file_prefixes = ${folder}`,
          ...(pair === undefined
            ? []
            : [
                "smtpd_tls_security_level = may",
                `smtpd_tls_cert_file = ${pair.certificate}`,
                `smtpd_tls_key_file = ${pair.key}`,
                "smtpd_tls_received_header = yes",
                "smtp_tls_security_level = may",
              ]),
          ...(options.relayTo === undefined ? [] : [`relayhost = [127.0.0.1]:${options.relayTo}`]),
          ...(options.settings ?? []),
        ]),
      );
      const services = [
        `127.0.0.1:${port} inet n - n - - smtpd`,
        "pickup unix n - n 60 1 pickup",
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "tlsmgr unix - - n 1000? 1 tlsmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "flush unix n - n 1000? 0 flush",
        "proxymap unix - - n - - proxymap",
        "smtp unix - - n - - smtp",
        "relay unix - - n - - smtp",
        "showq unix n - n - - showq",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "discard unix - - n - - discard",
        "virtual unix - n n - - virtual",
        "anvil unix - - n - 1 anvil",
        "scache unix - - n - 1 scache",
        "postlog unix-dgram n - n - 1 postlogd",
        ...(options.services ?? []),
      ];
      writeFileSync(join(folder, "etc", "master.cf"), `${services.join("\n")}\n`);
      return {
        command: [
          "sh",
          "-c",
          `${options.before === undefined ? "" : `${options.before.replaceAll("FOLDER", folder)} && `}mkdir -p ${folder}/data && chown postfix ${folder}/data && exec postfix -c ${folder}/etc start-fg`,
        ],
        at: port,
        mails: "mail/box/new/*",
        log: "log/postfix.log",
      };
    },
  });
}

/**
 * Lines of main.cf, a setting's last one only. Each process warns of the others when it starts, its log daemon too, which then
 * waits for itself for ever when it has more to say than its own socket holds.
 */
function withoutRepetition(lines: readonly string[]): string {
  const last = new Map(lines.map((line) => [line.split("=", 1)[0]?.trim() ?? "", line]));
  return `${[...last.values()].join("\n")}\n`;
}
