import type { Closing } from "./facts.ts";

/** How the raw stream's reading side ended. */
export type RawEnding = "fin" | "reset" | "error";

/**
 * How each side of one connection ended. What is known first holds: a reset behind a close_notify does not unsay it.
 *
 * The peer's close_notify is known by one thing: TLS ends the decrypted stream although it has not been shown the end of
 * the raw one. A raw end is therefore shown to TLS only after TLS has used up all that came before it (`tap.io.ts`).
 */
export class Ledger {
  #peer: Closing["peer"] = "open";
  #we: Closing["we"] = "open";
  #because: string | undefined;

  get peer(): Closing["peer"] {
    return this.#peer;
  }

  closing(): Closing {
    return { peer: this.#peer, we: this.#we, ...(this.#because === undefined ? {} : { because: this.#because }) };
  }

  /** TLS ended the decrypted stream. After `rawEnded` it says nothing new. */
  decryptedEnded(): void {
    this.#peerEnds("close_notify");
  }

  /** The raw stream ended, and TLS has used up all that came before. */
  rawEnded(how: RawEnding, isMidRecord: boolean, because?: string): void {
    if (how === "fin") this.#peerEnds(isMidRecord ? "truncated-mid-record" : "truncated");
    else this.#peerEnds(how, because);
  }

  /** TLS itself failed: a record that cannot be decrypted, an alert. */
  failed(because: string): void {
    this.#peerEnds("error", because);
  }

  /** Our deadline for the peer's close_notify has passed. */
  notAnswered(): void {
    this.#peerEnds("no-answer");
  }

  closeNotifySent(): void {
    if (this.#we === "open") this.#we = "close_notify";
  }

  finSent(): void {
    if (this.#we === "close_notify") this.#we = "close_notify+fin";
  }

  cut(): void {
    if (this.#we === "open") this.#we = "cut";
  }

  #peerEnds(how: Closing["peer"], because?: string): void {
    if (this.#peer !== "open") return;
    this.#peer = how;
    this.#because = because;
  }
}
