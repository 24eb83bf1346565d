import type { Duplex } from "node:stream";

/**
 * How a connection is made: over TCP and unix sockets (`tcp-dial.io.ts`) or in the simulated network. A dialled stream
 * is a `Duplex` that ends when the peer ends, fails with a system error code when it is reset, and is ours to destroy.
 */
export type Dial = (to: DialTarget, signal: AbortSignal) => Promise<Dialled>;

export type DialTarget =
  | { readonly ip: string; readonly port: number; readonly sourceAddress?: string | undefined }
  | { readonly path: string };

export type Dialled =
  | { readonly ok: true; readonly stream: Duplex }
  | {
      readonly ok: false;
      readonly reason: "refused" | "timeout" | "unreachable" | "reset" | "source" | "other";
      readonly text: string;
    };
