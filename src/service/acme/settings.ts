import { z } from "zod";
import { duration, ipAddress, path, port } from "../config/kinds.ts";

/** Let's Encrypt, which asks for nothing but the agreement. */
const DEFAULT_DIRECTORY = "https://acme-v02.api.letsencrypt.org/directory";

const directoryUrl = z.string().refine((text) => URL.canParse(text) && new URL(text).protocol === "https:", {
  error: "expected the https:// address of an authority's directory",
});

function place(usual: number, what: string) {
  return z
    .strictObject({
      address: ipAddress().optional().describe("The address listened on. Without it: all of this machine's."),
      port: port().default(usual).describe(`The port. The authority always comes to port ${usual}.`),
    })
    .prefault({})
    .describe(what);
}

/** By whom, and how, the certificates with `acme` are issued. */
export const acmeSettings = z
  .strictObject({
    directory: directoryUrl.default(DEFAULT_DIRECTORY).describe("The address of the authority's directory."),
    email: z
      .email({ error: "expected an e-mail address" })
      .optional()
      .describe("Whom the authority may write to about the account."),
    termsAgreed: z
      .boolean()
      .default(false)
      .describe("That you agree to the authority's terms of service. Without it nothing is asked for."),
    challenge: z
      .enum(["http-01", "tls-alpn-01"])
      .default("http-01")
      .describe(
        "How the authority sees that the names are ours: a file over HTTP on port 80, or a TLS handshake on port 443.",
      ),
    http: place(80, "Where http-01 is answered. Only the authority's questions are: everything else is 404."),
    tlsAlpn: place(
      443,
      "Where tls-alpn-01 is answered. A listener with implicit TLS on the same port answers in its place.",
    ),
    caFile: path()
      .optional()
      .describe(
        "A PEM file of the authorities that the directory's own certificate is verified with. Without it: the system's.",
      ),
    eab: z
      .strictObject({
        keyId: z.string().min(1).describe("The identifier of the key that the authority gave you."),
        keyFile: path().describe("A file with the key, base64url, on its first line."),
      })
      .optional()
      .describe("External account binding (RFC 8555 section 7.3.4), for authorities that have customers."),
    renewBefore: duration({ min: "1h", max: "365d" })
      .optional()
      .describe(
        "How long before its end a certificate is renewed. Without it: when a third of its life is left, of those for less than ten days a half.",
      ),
    firstRetry: duration({ min: "1s", max: "1d" })
      .prefault("5m")
      .describe("The wait after a first failure; after the second it is four times as long, then nine, at most a day."),
    deadline: duration({ min: "1s", max: "1h" })
      .prefault("5m")
      .describe("How long an authority may take for one certificate; a single answer half a minute at most."),
  })
  .prefault({});
export type AcmeSettings = z.output<typeof acmeSettings>;
