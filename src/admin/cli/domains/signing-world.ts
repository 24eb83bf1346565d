/** What commands about signing keys ask of the rest of the program. */
export interface SigningWorld {
  /** Makes a key's file, and gives the line for the zone. Throws a `PosthornError` where it can't be written. */
  readonly makeSigningKey: (wish: SigningKeyWish) => Promise<{ readonly line: string }>;
  /** The keys of the settings, each with how the DNS has it. */
  readonly checkSigning: (settingsFile: string | undefined) => Promise<readonly SigningKeyCheck[]>;
}

export interface SigningKeyWish {
  readonly domain: string;
  readonly selector: string;
  readonly kind: "rsa" | "ed25519";
  readonly bits: number;
  readonly file: string;
}

export interface SigningKeyCheck {
  /** `selector._domainkey.domain`, or the domain where a table's line names no selector. */
  readonly name: string;
  readonly standing: "ok" | "MISSING" | "WRONG" | "unknown";
  readonly text: string;
}
