import type { LocalDelivery, NetworkDelivery } from "../mail/delivery/delivery.ts";
import type { DomainWaker, QueuePort } from "../mail/queue/queue.ts";
import type { SchedulerAdmin } from "../mail/scheduler/admin.ts";
import type { SettingsProblem } from "../service/config/config.ts";
import type { AcmeStatus } from "../service/acme/acme.ts";
import type { TraceSwitch } from "../service/tls/trace-switches.ts";
import type { Keeper, KeeperStore } from "../service/tls/keeper.ts";
import type { SharedCounts } from "./ingress-role.ts";
import type { LoadedSettings } from "./load-settings.ts";
import type { TopicSwitch } from "./topics.ts";

/**
 * The roles of a server and what they say to each other. In a single server they are objects that call each other; in a
 * split one `worker.ts` puts the same objects behind channels.
 *
 * | role | serves | asks |
 * |---|---|---|
 * | log | `write`, `recordInputs` | |
 * | scheduler | `QueuePort`, `DomainWaker`, `SchedulerAdmin` | `NetworkDelivery`, `LocalDelivery` |
 * | egress | `NetworkDelivery` | `Keeper` |
 * | delivery | `LocalDelivery` | |
 * | ingress | SMTP | `QueuePort`, `DomainWaker`, `Keeper` |
 * | keeper | `Keeper`, `KeeperStore` | |
 * | acme | | `Keeper`, `KeeperStore` |
 */
export type Role = "log" | "scheduler" | "egress" | "delivery" | "ingress" | "keeper" | "acme";

/** Where a keeper is, and the words with which roles show that they are what they say. */
export interface KeeperAccess {
  readonly path: string;
  readonly words: Readonly<Record<string, string>>;
}

/** What a worker process needs to begin: plain data, secrets only where the role uses them. */
export interface WorkerStart {
  readonly role: Role;
  /** `ingress-1`; in the log and in file names. */
  readonly name: string;
  /** For the ids of messages: different for all processes that make messages at the same time. */
  readonly maker: number;
  readonly loaded: LoadedSettings;
  /** Where the channels' sockets are: a directory of the workers' own. */
  readonly channels: string;
  /** Descriptors of bound sockets, by the listener's name. */
  readonly listening: readonly { readonly listener: string; readonly fd: number }[];
  /** Only for those who may ask it, with their own word; the keeper itself gets them all. */
  readonly keeper?: KeeperAccess | undefined;
  readonly isVerbose: boolean;
  readonly isForeground: boolean;
}

export type ToWorker =
  | { readonly kind: "start"; readonly start: WorkerStart }
  | { readonly kind: "stop"; readonly deadlineMs: number }
  /** Take nothing new, and go when the last session has ended. */
  | { readonly kind: "leave" }
  | { readonly kind: "settings"; readonly loaded: LoadedSettings }
  | { readonly kind: "reopen" }
  /** To the acme process: a certificate is wanted anew, or all. */
  | { readonly kind: "renew"; readonly label?: string | undefined }
  /** To an ingress: what another counted; that another has ended; that one has begun, who knows nothing yet. */
  | { readonly kind: "counts"; readonly from: string; readonly counts: SharedCounts }
  | { readonly kind: "counts-gone"; readonly from: string }
  | { readonly kind: "tell-all-counts" }
  | { readonly kind: "reception"; readonly isPaused: boolean; readonly because: string }
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
  | { readonly kind: "ready"; readonly listening: readonly string[] }
  /** From the acme process, whenever it changes. */
  | { readonly kind: "acme"; readonly status: readonly AcmeStatus[] }
  /** `problems`: the settings are to blame. */
  | { readonly kind: "failed"; readonly text: string; readonly problems?: readonly SettingsProblem[] | undefined }
  /** From the scheduler: reception is to pause or to go on. */
  | { readonly kind: "reception"; readonly isPaused: boolean; readonly because: string };

export const networkMethods = [
  "resolve",
  "connect",
  "transact",
  "leave",
  "tryTls",
  "tlsPolicy",
] as const satisfies readonly (keyof NetworkDelivery)[];
export const localMethods = ["deliver"] as const satisfies readonly (keyof LocalDelivery)[];
export const queueMethods = ["commit"] as const satisfies readonly (keyof QueuePort)[];
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
] as const satisfies readonly (keyof Keeper)[];
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
/** None of these gives a key. */
export const supervisorKeeperMethods = ["listing"] as const satisfies readonly (keyof KeeperStore)[];

/** Settings as a role may see them: without the secrets that are not its business. */
export function loadedFor(role: Role, loaded: LoadedSettings): LoadedSettings {
  const credentials = role === "egress" ? loaded.secrets.credentials : {};
  const { policyTable } = loaded.settings.delivery.tls;
  const policyText = policyTable === undefined ? undefined : loaded.tableTexts[policyTable];
  const tableTexts =
    role === "ingress" || role === "scheduler"
      ? loaded.tableTexts
      : role === "egress" && policyTable !== undefined && policyText !== undefined
        ? { [policyTable]: policyText }
        : {};
  const { acmeBindingKey } = loaded.secrets;
  const secrets = role === "acme" && acmeBindingKey !== undefined ? { credentials, acmeBindingKey } : { credentials };
  return { ...loaded, secrets, tableTexts };
}
