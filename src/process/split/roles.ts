import type { SinkTrouble } from "../../mail/log/sink-troubles.ts";
import type { LocalDelivery, NetworkDelivery } from "../../mail/delivery/delivery.ts";
import type { DomainWaker, QueuePort } from "../../mail/queue/queue.ts";
import type { Callouts } from "../../mail/scheduler/callouts.ts";
import type { SchedulerAdmin } from "../../mail/scheduler/admin/admin.ts";
import type { SettingsProblem } from "../../service/config/config.ts";
import type { AcmeStatus } from "../../service/acme/acme.ts";
import type { TraceSwitch } from "../../service/tls/tracer/trace-switches.ts";
import type { AccountKeeper } from "../../service/account/system-passwords.ts";
import type { SigningKeeper } from "../../service/signing/signing-keys.ts";
import type { Keeper, KeeperStore } from "../../service/tls/keeper/keeper.ts";
import type { ShownFilter } from "../../mail/filter/merged-health.ts";
import type { KnownClient } from "../../mail/session/services.ts";
import type { SharedCounts } from "../role/ingress-role.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import type { LookupPort } from "../role/lookup.ts";
import type { Identity } from "../privileges.ts";
import type { TopicSwitch } from "../topics.ts";

/**
 * The roles of a server and what they say to each other. In a single server they are objects that call each other; in a
 * split one `worker.ts` puts the same objects behind channels.
 *
 * | role | serves | asks |
 * |---|---|---|
 * | log | `write`, `recordInputs` | |
 * | scheduler | `QueuePort`, `DomainWaker`, `Callouts`, `SchedulerAdmin` | `NetworkDelivery`, `LocalDelivery`, `LookupPort` |
 * | egress | `NetworkDelivery` | `Keeper`, `LookupPort` |
 * | delivery | `LocalDelivery` | `LookupPort` |
 * | ingress | SMTP | `QueuePort`, `DomainWaker`, `Callouts`, `Keeper`, `LookupPort` |
 * | lookup | `LookupPort` | `AccountKeeper` |
 * | keeper | `Keeper`, `KeeperStore`, `AccountKeeper` | |
 * | acme | | `Keeper`, `KeeperStore` |
 */
export type Role = "log" | "scheduler" | "egress" | "delivery" | "ingress" | "lookup" | "keeper" | "acme";

/** Where a keeper (or a lookup process) is, and the words with which roles show that they are what they say. */
export interface KeeperAccess {
  readonly path: string;
  readonly words: Readonly<Record<string, string>>;
}

/** What a worker process needs to begin: plain data, secrets only where the role uses them. */
export interface WorkerStart {
  readonly role: Role;
  /** `ingress-1`; in the log and in file names. */
  readonly name: string;
  /** Which version of the settings these are, counted from the server's start; those of refused reloads count, too. */
  readonly version: number;
  /** For the ids of messages: different for all processes that make messages at the same time. */
  readonly maker: number;
  readonly loaded: LoadedSettings;
  /** Where the channels' sockets are: a directory of the workers' own. */
  readonly channels: string;
  /** Descriptors of bound sockets, by the listener's name. */
  readonly listening: readonly { readonly listener: string; readonly fd: number }[];
  /** Only for those who may ask it, with their own word; the keeper itself gets them all. */
  readonly keeper?: KeeperAccess | undefined;
  /** Likewise; absent where the settings have nothing to look up there. */
  readonly lookup?: KeeperAccess | undefined;
  /** To the delivery process that was started by root: who it is when it is nobody else. */
  readonly rest?: Identity | undefined;
  readonly isVerbose: boolean;
  readonly isForeground: boolean;
}

export type ToWorker =
  | { readonly kind: "start"; readonly start: WorkerStart }
  | { readonly kind: "stop"; readonly deadlineMs: number }
  /** Answered by `alive` as long as the process turns. */
  | { readonly kind: "alive?" }
  /** Take nothing new, and go when the last session has ended. */
  | { readonly kind: "leave" }
  | {
      readonly kind: "settings";
      readonly version: number;
      readonly loaded: LoadedSettings;
      readonly lookup?: KeeperAccess | undefined;
    }
  | { readonly kind: "reopen" }
  /** To the acme process: a certificate is wanted anew, or all. */
  | { readonly kind: "renew"; readonly label?: string | undefined }
  /** To an ingress: what another counted; that another has ended; that one has begun, who knows nothing yet. */
  | { readonly kind: "counts"; readonly from: string; readonly counts: SharedCounts }
  | { readonly kind: "counts-gone"; readonly from: string }
  | { readonly kind: "tell-all-counts" }
  | { readonly kind: "reception"; readonly isPaused: boolean; readonly because: string }
  /** To an ingress, with a connection: a user of this host, who is known. */
  | { readonly kind: "local-client"; readonly known: KnownClient; readonly client: number }
  /** To an ingress: the answer to `who`. */
  | { readonly kind: "who"; readonly uid: number; readonly account: string }
  /** To ingress and egress: the traces that hold now, all of them. */
  | { readonly kind: "traces"; readonly switches: readonly TraceSwitch[] }
  /** To ingress, egress and scheduler: what is shown line by line, all of it. */
  | { readonly kind: "topics"; readonly switches: readonly TopicSwitch[] };

export type FromWorker =
  /** From an ingress, egress or scheduler that has just begun. */
  | { readonly kind: "ask-traces" }
  /** From them: decrypted lines for a file of the operator's; secrets are hidden already. */
  | { readonly kind: "dump"; readonly file: string; readonly text: string }
  /** From an ingress, for the others; and that it has just begun. */
  | { readonly kind: "counts"; readonly counts: SharedCounts }
  | { readonly kind: "ask-counts" }
  /** From an ingress, when something has changed: how its filters do. */
  | { readonly kind: "filters"; readonly filters: readonly ShownFilter[] }
  | { readonly kind: "alive" }
  /** From an ingress that was told to leave: no connection is accepted any more. */
  | { readonly kind: "closed" }
  | { readonly kind: "ready"; readonly listening: readonly string[] }
  /** From an ingress: whose file this is. */
  | { readonly kind: "who"; readonly uid: number }
  /** From an ingress: the connection of a user of this host has ended, or never came. */
  | { readonly kind: "local-gone"; readonly client: number }
  /** From the acme process, whenever it changes. */
  | { readonly kind: "acme"; readonly status: readonly AcmeStatus[] }
  /** From the log, whenever it changes: what of it cannot be written. */
  | { readonly kind: "log-troubles"; readonly troubles: readonly SinkTrouble[] }
  /** `problems`: the settings are to blame. */
  | { readonly kind: "failed"; readonly text: string; readonly problems?: readonly SettingsProblem[] | undefined }
  /** From the scheduler: the version of the settings that it goes by from here on. */
  | { readonly kind: "serving"; readonly version: number }
  /** From the scheduler: reception is to pause or to go on. */
  | { readonly kind: "reception"; readonly isPaused: boolean; readonly because: string };

export const networkMethods = [
  "resolve",
  "connect",
  "transact",
  "leave",
  "tryTls",
  "tryRecipient",
  "tlsPolicy",
] as const satisfies readonly (keyof NetworkDelivery)[];
export const localMethods = ["deliver", "finish"] as const satisfies readonly (keyof LocalDelivery)[];
export const queueMethods = ["commit"] as const satisfies readonly (keyof QueuePort)[];
export const calloutMethods = ["callOut"] as const satisfies readonly (keyof Callouts)[];
export const wakerMethods = ["wake"] as const satisfies readonly (keyof DomainWaker)[];
export const adminMethods = [
  "list",
  "show",
  "census",
  "hold",
  "release",
  "retryNow",
  "remove",
  "bounce",
  "schedule",
  "forgive",
  "suspend",
  "unsuspend",
  "suspensions",
  "pause",
  "resume",
  "status",
  "routes",
  "shown",
  "stats",
  "profile",
  "tlsHosts",
  "forgetTlsHost",
  "tlsPolicy",
  "why",
  "whyAll",
  "backup",
] as const satisfies readonly (keyof SchedulerAdmin)[];

export const ingressKeeperMethods = [
  "profile",
  "certificateFor",
  "anchors",
  "signingKeys",
] as const satisfies readonly (keyof Keeper | keyof SigningKeeper)[];
export const egressKeeperMethods = ["anchors", "clientCertificate"] as const satisfies readonly (keyof Keeper)[];
export const acmeKeeperMethods = [
  "anchors",
  "held",
  "requestFor",
  "keepChain",
  "accountKey",
  "notes",
  "keepNotes",
  "setChallenge",
] as const satisfies readonly (keyof Keeper | keyof KeeperStore)[];
/** What tables say, and who the users are: for all who have to do with recipients and routes. */
export const tableLookupMethods = [
  "lookupTable",
  "tableEntries",
  "findUser",
  "readInclude",
] as const satisfies readonly (keyof LookupPort)[];
/** Passwords are tried by nobody else. */
export const ingressLookupMethods = [
  ...tableLookupMethods,
  "answer",
  "spend",
  "countRate",
  "askGreylist",
  "noteDmarc",
  "claimDmarcReport",
  "dmarcReportEnded",
] as const satisfies readonly (keyof LookupPort)[];
export const supervisorLookupMethods = [
  "tableHealth",
  "shownLogins",
  "clearLogins",
  "shownSenders",
  "clearSender",
  "shownRates",
  "clearRate",
  "greylistRows",
  "removeFromGreylist",
  "allowInGreylist",
  "dmarcReports",
  "dmarcReport",
  "hastenDmarcReports",
] as const satisfies readonly (keyof LookupPort)[];
export const LOOKUP_CALLERS = ["ingress", "scheduler", "egress", "delivery", "supervisor"] as const;
export type LookupCaller = (typeof LOOKUP_CALLERS)[number];
export const lookupKeeperMethods = ["checkSystemPassword", "loginSecret", "anchors"] as const satisfies readonly (
  | keyof AccountKeeper
  | keyof Keeper
)[];

/** None of these gives a key. */
export const supervisorKeeperMethods = ["listing"] as const satisfies readonly (keyof KeeperStore)[];
