import type { Clock } from "../../foundation/clock.ts";
import type { Verdict } from "./facts.ts";
import type { ShownChain } from "./tls.ts";
import { verify } from "./verify.ts";

/**
 * The verdict on clients' certificates, for a listener. Only authorities that the settings name for clients vouch for
 * them: those of the system, or of Node, vouch for servers, and anybody can get a certificate from one of them.
 */
export function clientVerdict(hasAuthorities: boolean, clock: Clock): (shown: ShownChain) => Verdict {
  return (shown) => (hasAuthorities ? verify(shown, { by: "authorities", names: [] }, clock.now()) : NO_AUTHORITIES);
}

const NO_AUTHORITIES: Verdict = {
  result: "FAIL",
  by: "authorities",
  problem: { kind: "no-authorities", text: "no authorities are set here to verify client certificates with" },
};
