import { constants, createHash } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { ok, refused, type Result } from "../../foundation/result.ts";
import { cipherGap } from "./cipher-list.ts";
import { SYSTEM_ANCHORS, type Anchors, type ClientMaterial, type Keeper } from "./keeper/keeper.ts";
import { servingTogether } from "./keeper/name-index.ts";
import { recent, type Recent } from "./recent.ts";

/** What a client's handshake is to be like. */
export interface ClientContextTerms {
  readonly minVersion: "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";
  readonly maxVersion?: "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3" | undefined;
  readonly ciphers?: string | undefined;
  /** Key exchange groups with colons; undefined: OpenSSL's, with the post-quantum hybrid first. */
  readonly groups?: string | undefined;
  /** Signature algorithms with colons; undefined: OpenSSL's. */
  readonly signatures?: string | undefined;
  readonly hasTickets: boolean;
  /** A file of authorities; undefined: the system's. */
  readonly caFile?: string | undefined;
  /** The label of a certificate to show when asked. */
  readonly certificate?: string | undefined;
}

export interface ClientContext {
  readonly context: SecureContext;
  /** Why nobody can be verified: there are no authorities. Encryption is possible all the same. */
  readonly problem: string | undefined;
}

/** What a client asks of the keeper. */
export type ClientKeeper = Pick<Keeper, "anchors" | "clientCertificate" | "onChange">;

/** Contexts of this many kinds are kept; each holds its authorities, half a megabyte of them. */
const MOST_CONTEXTS = 50;

/**
 * The contexts of clients, made when first needed and shared by all connections of one kind: making one reads more than a
 * hundred authorities. Authorities and certificates come from the keeper and are asked for again when it tells of a
 * change; what could not be had is asked for each time, so that mending it is enough.
 */
export class ClientContexts {
  readonly #keeper: ClientKeeper;
  readonly #clock: Clock;
  #ready: Recent<SecureContext> = recent(MOST_CONTEXTS);
  readonly #anchors = new Map<string, Anchors>();
  readonly #certificates = new Map<string, ClientMaterial>();
  readonly #stop: () => void;
  /** Rises with each change, so that an answer from before it is not kept. */
  #version = 0;

  constructor(keeper: ClientKeeper, clock: Clock) {
    this.#keeper = keeper;
    this.#clock = clock;
    this.#stop = keeper.onChange((change) => {
      if (change === "tickets") return;
      this.#version++;
      this.#ready = recent(MOST_CONTEXTS);
      this.#anchors.clear();
      this.#certificates.clear();
    });
  }

  /** Refused: a certificate that was asked for cannot be had, or OpenSSL does not take the terms. Rejects as the keeper does. */
  async get(terms: ClientContextTerms): Promise<Result<ClientContext, string>> {
    const version = this.#version;
    const anchors = await this.#anchorsOf(terms.caFile ?? SYSTEM_ANCHORS);
    const held = terms.certificate === undefined ? undefined : await this.#certificateOf(terms.certificate);
    if (held !== undefined && held.pairs.length === 0)
      return refused(`the certificate ${terms.certificate}: ${held.problem ?? "there is none"}`);
    const shown = servingTogether(held?.pairs ?? [], this.#clock.now());
    const problem = anchors.pems.length > 0 ? undefined : (anchors.problem ?? "there are none");
    const label = createHash("sha256")
      .update(JSON.stringify([terms, anchors.pems.length, shown.map((pair) => pair.certificatePem)]))
      .digest("base64url");
    const known = this.#ready.get(label);
    if (known !== undefined) return ok({ context: known, problem });
    const gap = terms.ciphers === undefined ? undefined : cipherGap(terms.ciphers, terms.minVersion, terms.maxVersion);
    if (gap !== undefined) return refused(`these ciphers cannot be used: ${gap}`);
    try {
      const context = createSecureContext({
        minVersion: terms.minVersion,
        ...(terms.maxVersion === undefined ? {} : { maxVersion: terms.maxVersion }),
        // Old versions want signatures that the usual level of security forbids.
        ...ciphersOf(terms),
        ...(terms.groups === undefined ? {} : { ecdhCurve: terms.groups }),
        ...(terms.signatures === undefined ? {} : { sigalgs: terms.signatures }),
        ca: [...anchors.pems],
        ...(shown.length === 0
          ? {}
          : { cert: shown.map((pair) => pair.certificatePem), key: shown.map((pair) => pair.keyPem) }),
        secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (terms.hasTickets ? 0 : constants.SSL_OP_NO_TICKET),
      });
      if (problem === undefined && version === this.#version) this.#ready.set(label, context);
      return ok({ context, problem });
    } catch (thrown) {
      return refused(`these terms cannot be used: ${messageOf(thrown)}`);
    }
  }

  close(): void {
    this.#stop();
  }

  async #anchorsOf(source: string): Promise<Anchors> {
    const known = this.#anchors.get(source);
    if (known !== undefined) return known;
    const version = this.#version;
    const anchors = await this.#keeper.anchors(source);
    if (anchors.pems.length > 0 && version === this.#version) this.#anchors.set(source, anchors);
    return anchors;
  }

  async #certificateOf(label: string): Promise<ClientMaterial> {
    const known = this.#certificates.get(label);
    if (known !== undefined) return known;
    const version = this.#version;
    const material = await this.#keeper.clientCertificate(label);
    if (material.pairs.length > 0 && version === this.#version) this.#certificates.set(label, material);
    return material;
  }
}

/** TLS before 1.2 signs with SHA-1, which OpenSSL 3 does at its lowest level only; a list written by a person says for itself. */
function ciphersOf(terms: ClientContextTerms): { ciphers?: string } {
  if (terms.ciphers !== undefined) return { ciphers: terms.ciphers };
  const isOld = terms.minVersion === "TLSv1" || terms.minVersion === "TLSv1.1";
  return isOld ? { ciphers: "DEFAULT@SECLEVEL=0" } : {};
}
