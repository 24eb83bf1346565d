import { readFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import { createSecureContext, type SecureContext } from "node:tls";
import type { Clock } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import { tlsClientEngine } from "../../../service/tls/client.io.ts";
import type { TlsFinding } from "../../../service/tls/finding.ts";
import type { TlsConnection } from "../../../service/tls/tls.ts";
import { isChainTrusted, verify } from "../../../service/tls/verify.ts";

export interface Encrypted {
  readonly ok: true;
  readonly connection: TlsConnection;
  readonly version: string;
  readonly cipher: string;
  /** The chain leads to an authority that is trusted, and is valid now. */
  readonly isTrusted: boolean;
  /** Why it does not verify; undefined when it does. */
  readonly problem: string | undefined;
}

export type Handshake = Encrypted | { readonly ok: false; readonly text: string; readonly finding: TlsFinding };

/** TLS as a client: the verdict on a certificate is ours, and who is not trusted enough is left with QUIT. */
export class TlsClient {
  readonly #caFile: string | undefined;
  #context: SecureContext | undefined;
  #engine: ReturnType<typeof tlsClientEngine> | undefined;

  constructor(caFile: string | undefined) {
    this.#caFile = caFile;
  }

  /** Always settles within `limitMs`; the raw stream is destroyed when the handshake fails. */
  async handshake(raw: Duplex, hostName: string, clock: Clock, limitMs: number): Promise<Handshake> {
    this.#engine ??= tlsClientEngine({ clock });
    const shaken = await this.#engine.connect(raw, {
      deadlineMs: limitMs,
      serverName: hostName,
      context: this.#sharedContext(),
      verify: (shown) => verify(shown, { by: "authorities", names: [hostName] }, clock.now()),
    });
    if (!shaken.ok) return { ok: false, text: shaken.finding.sentence, finding: shaken.finding };
    const { connection } = shaken;
    const { version, cipher, verdict } = connection.facts;
    const problem = verdict.problem?.text;
    return { ok: true, connection, version, cipher, isTrusted: isChainTrusted(verdict), problem };
  }

  /** Settles when every connection that is being closed is closed, which takes no longer than the wait for its peer. */
  async settled(): Promise<void> {
    await this.#engine?.settled();
  }

  /**
   * Why no certificate can be verified: the file of authorities cannot be read or used. Asked anew each time, so that
   * mending the file is enough. Undefined when all is well.
   */
  authoritiesProblem(): string | undefined {
    try {
      this.#loadedContext();
      return undefined;
    } catch (thrown) {
      return `the certificate authorities in ${this.#caFile}: ${messageOf(thrown)}`;
    }
  }

  #loadedContext(): SecureContext {
    // Building one costs half a millisecond and some memory; all sessions share it.
    this.#context ??= createSecureContext(this.#caFile === undefined ? {} : { ca: readFileSync(this.#caFile) });
    return this.#context;
  }

  /** Without authorities everybody is a stranger, and encryption is still better than none. */
  #sharedContext(): SecureContext {
    try {
      return this.#loadedContext();
    } catch {
      return createSecureContext({ ca: [] });
    }
  }
}
