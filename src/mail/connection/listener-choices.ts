import type { IdentityBy } from "../../service/account/client-certificate.ts";
import type { ListenerSettings } from "./settings.ts";

/** The part that depends on the protocol. */
export function authOf(listener: ListenerSettings): "off" | "offer" | "require" {
  return listener.auth ?? (listener.protocol === "submission" ? "require" : "off");
}

/** Whether clients are asked for certificates, and what a client without one gets. */
export function clientCertificateOf(listener: ListenerSettings): "none" | "ask" | "require" | "verify" {
  const isUsed = listener.clientAuthorities !== undefined || listener.clientIdentities !== undefined;
  return listener.clientCertificate ?? (isUsed ? "ask" : "none");
}

/** How certificates make clients somebody; undefined when they make them nobody. */
export function identifyByOf(listener: ListenerSettings): IdentityBy | undefined {
  const { clientIdentities: table, clientAccount: account } = listener;
  if (clientCertificateOf(listener) === "none") return undefined;
  return table === undefined && account === "none" ? undefined : { table, account };
}

export function addsMissingFields(listener: ListenerSettings): boolean {
  return listener.addMissingFields ?? listener.protocol === "submission";
}
