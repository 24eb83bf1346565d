import { unreachable } from "../../foundation/assert.ts";
import type { ClientMechanism, Credentials, SaslClient } from "./client.ts";
import { scramClient, type ScramMeans } from "./scram-client.ts";
import { cramMd5Client, externalClient, loginClient, plainClient } from "./simple-clients.ts";

/** The client of a mechanism. `makeMeans` is asked only where chance and work are needed (SCRAM). */
export function makeClient(
  mechanism: ClientMechanism,
  credentials: Credentials,
  makeMeans: () => ScramMeans,
): SaslClient {
  switch (mechanism) {
    case "SCRAM-SHA-256-PLUS":
    case "SCRAM-SHA-256":
    case "SCRAM-SHA-1-PLUS":
    case "SCRAM-SHA-1":
      return scramClient(mechanism, credentials, makeMeans());
    case "CRAM-MD5":
      return cramMd5Client(credentials);
    case "PLAIN":
      return plainClient(credentials);
    case "LOGIN":
      return loginClient(credentials);
    case "EXTERNAL":
      return externalClient(credentials.user);
    default:
      return unreachable(mechanism);
  }
}
