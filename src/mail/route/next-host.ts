/** `domain`: by MX (RFC 5321 section 5.1). `host`: that host's addresses, no MX. `unix`: an LMTP socket. */
export type RelayTarget =
  | { readonly kind: "domain"; readonly domain: string }
  | { readonly kind: "host"; readonly host: string; readonly port?: number | undefined }
  | { readonly kind: "unix"; readonly path: string };

/** How encryption is chosen, by the scheme of a relay URL (DESIGN section 6). */
export type TlsMode = "never" | "may" | "starttls" | "implicit" | "starttls-or-implicit";

/** One address of one next host. The order of the list is the order of trying: preference, then the shuffle within it. */
export interface NextHost {
  /** The MX name or the host as written; for SNI, verification and the log. */
  readonly name: string;
  readonly address: { readonly ip: string; readonly port: number } | { readonly path: string };
  /** MX preference; equal ones share load. 0 where there was no MX. */
  readonly preference: number;
}
