import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeCertificate } from "./certificate.ts";
import { freePort } from "../server.ts";
import { startPeer, type RunningPeer } from "./running.ts";

/**
 * Debian's exim4: takes mail for exim.test into a Maildir, refuses nobody@, and passes everything else on to `relayTo`.
 * With TLS, it offers STARTTLS; it takes it where offered in any case.
 * @param settings further lines of the main section
 * @param ports more ports that it listens on
 * @param ways by domain, other ways out than the usual one: lines of a transport
 * @param authenticators the section of them: whom it lets log in, and how
 * @param localDomain takes mail for this one into the Maildir instead
 * @param queueRuns how often it looks at its queue; without, every five seconds
 * @param wrapper a command that it is started with: `unshare --pid --fork` and the like
 */
export function startExim(
  options: {
    relayTo?: number;
    hasTls?: boolean;
    settings?: readonly string[];
    ports?: readonly number[];
    ways?: Readonly<Record<string, readonly string[]>>;
    authenticators?: string;
    localDomain?: string;
    queueRuns?: "never";
    wrapper?: string;
  } = {},
): Promise<RunningPeer> {
  return startPeer({
    name: "exim4",
    async prepare(folder) {
      const port = await freePort();
      const file = join(folder, "exim.conf");
      const ways = Object.entries(options.ways ?? {});
      const pair = options.hasTls === true ? await makeCertificate(folder) : undefined;
      const tls =
        pair === undefined
          ? ["tls_advertise_hosts ="]
          : ["tls_advertise_hosts = *", `tls_certificate = ${pair.certificate}`, `tls_privatekey = ${pair.key}`];
      writeFileSync(
        file,
        `primary_hostname = exim.test
spool_directory = ${folder}/spool
log_file_path = ${folder}/%slog
pid_file_path = ${folder}/exim.pid
daemon_smtp_ports = ${[port, ...(options.ports ?? [])].join(" : ")}
local_interfaces = 127.0.0.1
domainlist local_domains = ${options.localDomain ?? "exim.test"}
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
never_users =
chunking_advertise_hosts = *
dsn_advertise_hosts = *
smtp_accept_queue_per_connection = 0
${[...tls, ...(options.settings ?? [])].join("\n")}
begin acl
rcpt:
  deny local_parts = nobody
       message = no such person
  accept
begin routers
local:
  driver = accept
  domains = +local_domains
  transport = maildir
${ways
  .map(
    ([domain], at) => `way${at}:
  driver = manualroute
  domains = ${domain}
  route_list = * 127.0.0.1
  transport = way${at}
  self = send`,
  )
  .join("\n")}
out:
  driver = manualroute
  route_list = * 127.0.0.1
  transport = out
  self = send
begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = ${folder}/mail/box
  create_directory
  user = Debian-exim
  group = Debian-exim
  return_path_add
out:
  driver = smtp
  port = ${options.relayTo ?? 1}
  hosts_try_fastopen =
${ways.map(([, lines], at) => `way${at}:\n  driver = smtp\n  hosts_try_fastopen =\n${lines.map((line) => `  ${line}`).join("\n")}`).join("\n")}
begin retry
* * F,1h,1s
begin authenticators
${options.authenticators ?? ""}
`,
      );
      return {
        // Exim gives up its rights when told of another settings file, so the file is put where it looks by itself.
        command: [
          "sh",
          "-c",
          `mkdir -p /etc/exim4 && cp ${file} /etc/exim4/exim4.conf && exec ${options.wrapper ?? ""} exim4 -bdf${options.queueRuns === "never" ? "" : " -q5s"}`,
        ],
        at: port,
        mails: "mail/box/new/*",
        log: "mainlog",
      };
    },
  });
}
