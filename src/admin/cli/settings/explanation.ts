import type { PolicyReport } from "../../../mail/delivery/tls-policy/policy-report.ts";
import type { ExpansionStep } from "../../../mail/envelope/expansion.ts";
import type { PolicyStep } from "../../../mail/envelope/policy-trace.ts";

/** A mail that nobody sends: what would become of it. */
export interface ExplainRequest {
  readonly settingsFile: string | undefined;
  readonly recipient: string;
  /** `""`: the null sender. */
  readonly sender: string;
  /** Undefined: through a unix socket. */
  readonly client: string | undefined;
  readonly account: string | undefined;
  readonly helo: string | undefined;
  /** Undefined: the first one. */
  readonly listener: string | undefined;
  readonly isEncrypted: boolean;
  /** The client asks for VERP. */
  readonly verp: boolean;
  /** Look up where relayed mail goes. */
  readonly asksDns: boolean;
}

/** Plain data: what `--json` shows. */
export interface Explanation {
  readonly listener: string;
  /** The sender that the session would have, after masquerading. */
  readonly sender: string;
  /** Who else has a say there, in order. They are not asked: they want a whole session. */
  readonly filters: readonly string[];
  /** All that was asked, in order. */
  readonly steps: readonly PolicyStep[];
  readonly verdict:
    | { readonly kind: "refused"; readonly reply: string; readonly because: string }
    | {
        readonly kind: "accepted";
        readonly rule: string;
        readonly expansion: readonly ExpansionStep[];
        readonly targets: readonly ExplainedTarget[];
      };
}

export interface ExplainedTarget {
  readonly recipient: string;
  readonly action: string;
  /** Where the action was written: `posthorn.yaml:12:3`, or that nobody has. */
  readonly actionWhere: string;
  /** MAIL FROM. */
  readonly sender: string;
  readonly via: readonly string[];
  readonly delivery: ExplainedDelivery;
}

export type ExplainedDelivery =
  | {
      readonly kind: "local";
      /** `maildir:/var/mail/bob`, `|/usr/bin/procmail`, `discard`. */
      readonly place: string;
      /** Whose rights it takes; undefined: the server's own. */
      readonly user: string | undefined;
      /** Files that are looked for before it; the first that is there is followed. */
      readonly forward: readonly string[];
    }
  | { readonly kind: "relay"; readonly ways: readonly ExplainedWay[] }
  /** It would fail. */
  | { readonly kind: "failed"; readonly text: string };

export interface ExplainedWay {
  readonly relay: string;
  readonly verify: boolean;
  readonly credentials: string | undefined;
  readonly policy: PolicyReport;
  /** Undefined: not looked up. */
  readonly hosts:
    | readonly { readonly name: string; readonly address: string; readonly preference: number }[]
    | undefined;
  /** Why there are none. */
  readonly failure: string | undefined;
}
