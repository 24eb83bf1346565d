import { z } from "zod";
import { controlSettings } from "../../admin/control/settings.ts";
import { localSubmissionSettings } from "../../mail/connection/local-settings.ts";
import { listenerSettings } from "../../mail/connection/settings.ts";
import { bounceSettings } from "../../mail/delivery/bounce/settings.ts";
import { commandSettings } from "../../mail/delivery/command/settings.ts";
import { mailboxSettings } from "../../mail/delivery/mailbox/settings.ts";
import { smtpClientSettings } from "../../mail/delivery/settings.ts";
import { contentFilterActions } from "../../mail/envelope/content-filter.ts";
import { contentFilterSetting } from "../../mail/envelope/content-filter-settings.ts";
import { actionsSettings } from "../../mail/envelope/action-settings.ts";
import { rulesSettings } from "../../mail/envelope/rule-settings.ts";
import { localSettings } from "../../mail/envelope/settings.ts";
import { restrictionsSettings } from "../../mail/envelope/restrictions/settings.ts";
import { masqueradeSettings, srsSettings, verpSettings } from "../../mail/envelope/rewrite/settings.ts";
import { ownActions } from "../../mail/envelope/default-rules.ts";
import { dmarcReportsSettings } from "../../mail/filter/authentication/settings.ts";
import { filteredBySettings, filtersSettings } from "../../mail/filter/settings.ts";
import { journalSettings, logSettings } from "../../mail/log/settings.ts";
import { queueSettings } from "../../mail/queue/settings.ts";
import { routeSettings } from "../../mail/route/settings.ts";
import { schedulerSettings } from "../../mail/scheduler/settings.ts";
import { sessionSettings } from "../../mail/session/settings.ts";
import { acmeSettings } from "../../service/acme/settings.ts";
import { accountsSettings, credentialsSettings, type Credentials } from "../../service/account/settings.ts";
import { autoconfigSettings } from "../../service/autoconfig/settings.ts";
import { domainRecordsSettings } from "../../service/autoconfig/records-settings.ts";
import { dnsSettings } from "../../service/dns/settings.ts";
import { withoutBackendPasswords } from "./backend-secrets.ts";
import { withoutFilterSecrets } from "./filter-secrets.ts";
import { tablesSettings } from "../../service/table/settings.ts";
import { certificatesSettings, tlsSettings } from "../../service/tls/settings.ts";
import { serverSettings } from "./server-settings.ts";

/** The whole of the settings, each part declared beside the code that uses it. `{}` is a server that works. */
export const posthornSettings = z.strictObject({
  ...serverSettings,
  listeners: z
    .array(listenerSettings)
    .prefault([
      { name: "smtp", address: "127.0.0.1", port: 2525 },
      { name: "submission", address: "127.0.0.1", port: 2587, protocol: "submission", auth: "offer" },
      { name: "submissions", address: "127.0.0.1", port: 2465, protocol: "submission", tls: "implicit", auth: "offer" },
    ])
    .describe("Where the server listens. Without it: only on 127.0.0.1, ports 2525, 2587 and 2465 (TLS)."),
  session: sessionSettings.describe("What one session may cost; a listener may say otherwise for itself."),
  certificates: certificatesSettings,
  tls: tlsSettings.describe("What is common to all TLS of the server."),
  acme: acmeSettings.describe("By whom, and how, the certificates with `acme` are issued."),
  local: localSettings,
  localSubmission: localSubmissionSettings,
  autoconfig: autoconfigSettings,
  domainRecords: domainRecordsSettings,
  accounts: accountsSettings,
  credentials: credentialsSettings,
  tables: tablesSettings,
  actions: actionsSettings,
  restrictions: restrictionsSettings
    .default([])
    .describe(
      "What is asked of clients before the rules, in this order, when a recipient is given; the first that permits or refuses decides. Listeners may have their own.",
    ),
  rules: rulesSettings,
  contentFilter: contentFilterSetting()
    .optional()
    .describe(
      "Where all accepted mail goes before it goes anywhere else: a program that hands it back to another listener, which says `content-filter: none`.",
    ),
  filters: filtersSettings,
  filteredBy: filteredBySettings()
    .default([])
    .describe("The filters that are asked about all mail, in this order. Listeners may have their own list."),
  dmarcReports: dmarcReportsSettings,
  srs: srsSettings,
  verp: verpSettings,
  masquerade: masqueradeSettings,
  queue: queueSettings.describe("How accepted mail is kept."),
  scheduler: schedulerSettings.describe("When mail is tried again, and when it is given up."),
  route: routeSettings.describe("Limits and manners towards next hosts."),
  delivery: smtpClientSettings,
  mailbox: mailboxSettings,
  command: commandSettings,
  bounce: bounceSettings,
  dns: dnsSettings.describe("How names are looked up."),
  log: logSettings.describe("Where the log goes, and how much of it."),
  journal: journalSettings.describe("The record of events that `posthorn log` reads."),
  control: controlSettings.describe("The sockets that `posthorn` speaks to the server through."),
});

/** What people write in `posthorn.config.ts`. */
export type SettingsInput = z.input<typeof posthornSettings>;

/** The settings as they were written, with defaults, before the machine had its say. */
export type WrittenSettings = z.output<typeof posthornSettings>;

/** The settings in force: plain data without secrets, the same in every process. */
export type Settings = Omit<WrittenSettings, "hostname" | "credentials"> & {
  readonly hostname: string;
  /** User names only; the passwords are in `Secrets`. */
  readonly credentials: Readonly<Record<string, { readonly user: string }>>;
};

/** What only some processes get. Private keys are not among it: they stay with the keeper (`service/tls/keeper/keeper.ts`). */
export interface Secrets {
  readonly credentials: Readonly<Record<string, Credentials>>;
  /** With which our account is bound to another one of the authority. */
  readonly acmeBindingKey?: string | undefined;
  /** What SRS signs and verifies with, the first one signs; for those who ask the rules. */
  readonly srs?: readonly string[] | undefined;
  /** Of databases and directories, by the table's name; for the lookup role. */
  readonly tables?: Readonly<Record<string, string>> | undefined;
  /** Of accounts' backends, by their place in the list; for the lookup role. */
  readonly accounts?: Readonly<Record<number, string>> | undefined;
  /** Of filters, by their name; for who asks them. */
  readonly filters?: Readonly<Record<string, string>> | undefined;
}

/** Adds what the settings leave to the machine, the actions that always exist, and takes the passwords out. */
export function completeSettings(written: WrittenSettings, machine: { readonly hostname: string }): Settings {
  return {
    ...written,
    hostname: written.hostname ?? machine.hostname.toLowerCase(),
    actions: { ...ownActions, ...written.actions, ...contentFilterActions(written) },
    tables: withoutBackendPasswords(written.tables),
    filters: withoutFilterSecrets(written.filters),
    credentials: Object.fromEntries(
      Object.entries(written.credentials).map(([name, { user = "" }]) => [name, { user }]),
    ),
  };
}
