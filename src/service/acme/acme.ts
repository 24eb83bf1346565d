import type { RequestedKeyKind } from "../tls/keeper/certificate.ts";
import type { AcmeProblem } from "./problem.ts";

/**
 * Certificates from an authority over ACME (RFC 8555), and their renewal. These share the work:
 *
 * | part | does |
 * |---|---|
 * | `plan.ts` | decides: when each certificate is to be asked for, what a failure costs (pure) |
 * | `order.io.ts`, `obtain.io.ts`, `transport.io.ts` | one order with the authority: acme-client's protocol over our HTTPS |
 * | `http-answerer.io.ts`, `alpn-answerer.io.ts` | answer the authority's questions (RFC 8555 section 8.3, RFC 8737) |
 * | `acme.io.ts` | does what the plan says, one certificate at a time |
 *
 * Invariants: no key of a certificate is ever here: the keeper makes it, gives a request, and takes the chain. One order at a
 * time, each with a deadline; a failure lengthens the wait before the next, over restarts too, and so does a certificate that
 * is issued and due again at once; what the authority says of waiting (Retry-After) is obeyed. Until the first certificate the server shows its own.
 */
export interface AcmeItem {
  readonly label: string;
  readonly kind: RequestedKeyKind;
  readonly names: readonly string[];
}

/** Why a certificate is asked for. */
export type Because = "first" | "names" | "renewal" | "asked";

/** What is told of the work. */
export type AcmeFinding =
  | {
      readonly kind: "issued";
      readonly item: AcmeItem;
      readonly because: Because;
      readonly tookMs: number;
      readonly notAfterAt: number;
    }
  | {
      readonly kind: "failed";
      readonly item: AcmeItem;
      readonly problem: AcmeProblem;
      readonly failures: number;
      readonly nextAt: number;
    }
  /** It was issued, and is due again at once: the next order waits all the same. */
  | {
      readonly kind: "repeated";
      readonly item: AcmeItem;
      readonly problem: AcmeProblem;
      readonly failures: number;
      readonly nextAt: number;
    }
  /** Something beside the orders: notes that cannot be kept, a keeper that is away. */
  | { readonly kind: "trouble"; readonly text: string };

/** How it stands with a certificate. */
export interface AcmeStatus {
  readonly label: string;
  readonly kind: RequestedKeyKind;
  readonly names: readonly string[];
  readonly isRunning: boolean;
  /** Of the next order; undefined before the keeper has said what it has. */
  readonly nextAt?: number | undefined;
  readonly failures: number;
  /** Of the last failure, when nothing has worked since. */
  readonly problem?: AcmeProblem | undefined;
}
