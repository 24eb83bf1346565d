import { z } from "zod";
import { hostName, path } from "../config/kinds.ts";

export const certificatesSettings = z
  .array(
    z.strictObject({
      certificate: path().describe("The certificate and its chain in PEM form, the server's own first."),
      key: path().describe("The private key in PEM form, without a passphrase."),
      names: z
        .array(z.union([hostName(), z.string().regex(/^\*\.[a-z0-9.-]+$/i, "expected a host name or *.domain")]))
        .optional()
        .describe("The host names it serves. Without it: those in the certificate."),
    }),
  )
  .default([])
  .describe(
    "Certificates of the server; the first also serves clients that name no host. Two with the same names, RSA and ECDSA, serve together. Without any the server makes one for itself.",
  );
