import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { connect, createSecureContext, type SecureContext } from "node:tls";
import type { Clock } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import { tlsErrorText } from "../../../service/tls/error-text.ts";

export interface Encrypted {
  readonly ok: true;
  readonly stream: Duplex;
  readonly version: string;
  readonly cipher: string;
  /** The chain leads to an authority that is trusted, and is valid now. */
  readonly isTrusted: boolean;
  /** The name on the certificate is the host's. */
  readonly isNamed: boolean;
  /** Why it does not verify; undefined when it does. */
  readonly problem: string | undefined;
}

export type Handshake = Encrypted | { readonly ok: false; readonly text: string };

/**
 * TLS as a client. Node never rejects for us: its own rejection would cut the connection without an alert, which the
 * other side can only log as a mystery. We judge, and leave with QUIT.
 */
export class TlsClient {
  readonly #caFile: string | undefined;
  #context: SecureContext | undefined;

  constructor(caFile: string | undefined) {
    this.#caFile = caFile;
  }

  /** Always settles within `limitMs`; the raw stream is destroyed when the handshake fails. */
  handshake(raw: Duplex, hostName: string, clock: Clock, limitMs: number): Promise<Handshake> {
    return new Promise((resolve) => {
      const isAddress = isIP(hostName) !== 0;
      const tls = connect({
        socket: raw,
        secureContext: this.#sharedContext(),
        rejectUnauthorized: false,
        checkServerIdentity: () => undefined,
        // RFC 6066 section 3: no addresses in SNI.
        ...(isAddress || hostName === "" ? {} : { servername: hostName }),
      });
      const fail = (text: string): void => {
        settle();
        tls.on("error", () => {});
        raw.on("error", () => {});
        tls.destroy();
        raw.destroy();
        resolve({ ok: false, text });
      };
      const onError = (error: Error): void => fail(tlsErrorText(error));
      const onClose = (): void => fail("the peer closed the connection during the handshake");
      const timer = clock.after(limitMs, () => fail(`the handshake took longer than ${limitMs} ms`));
      const settle = (): void => {
        timer.cancel();
        tls.removeListener("error", onError);
        tls.removeListener("close", onClose);
        raw.removeListener("close", onClose);
      };
      tls.on("error", onError);
      tls.on("close", onClose);
      raw.on("close", onClose);
      tls.once("secureConnect", () => {
        settle();
        const certificate = tls.getPeerX509Certificate();
        const isNamed =
          certificate !== undefined &&
          (isAddress ? certificate.checkIP(hostName) : certificate.checkHost(hostName, { subject: "never" })) !==
            undefined;
        const chainProblem = tls.authorized ? undefined : String(tls.authorizationError);
        resolve({
          ok: true,
          stream: tls,
          version: tls.getProtocol() ?? "unknown",
          cipher: tls.getCipher().name,
          isTrusted: tls.authorized,
          isNamed,
          problem: chainProblem ?? (isNamed ? undefined : `the certificate is not for ${hostName}`),
        });
      });
    });
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
