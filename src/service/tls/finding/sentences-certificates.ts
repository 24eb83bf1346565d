import type { VerifyProblem } from "../facts.ts";
import { alertAside, peer, theAlert } from "./sentence-parts.ts";
import type { Case, Sentences } from "./sentence-parts.ts";

const CHAIN_CURE =
  "Send the whole chain (the certificate file holds the intermediate certificates too), and have the certificate from an authority the client knows; a self-signed one has to be trusted by the client by hand.";

const SELF_SIGNED_CURE =
  "Nobody can verify a self-signed certificate who was not given it: get one from an authority (ACME does it by itself, see `certificates`), or have the client trust this one by hand.";

/** Failures over certificates: ours, the client's, the server's. */
export const certificateSentences: Sentences<
  | "no-certificate-for-name"
  | "no-own-certificate"
  | "certificate-unknown-authority"
  | "certificate-expired"
  | "certificate-rejected"
  | "client-certificate-missing"
  | "client-certificate-rejected"
  | "verification-failed"
  | "keeper-unavailable"
> = {
  "no-certificate-for-name": (about) =>
    about.role === "server"
      ? {
          fault: "both",
          sentence: `The client asked for ${about.flight.hello?.serverName ?? "a name"}, and this server has no certificate for it${detail(about)}.`,
          cure: "Add a certificate for that name, or set the client to a name the server's certificate has.",
        }
      : {
          fault: "both",
          sentence: `The server does not know the name we asked it for (${nameAsked(about)}) and refused with ${theAlert(about)}.`,
          cure: "Check the host name of the relay; the server may answer to another one.",
        },
  "no-own-certificate": (about) => ({
    fault: "ours",
    sentence: `This server has no certificate to show${about.flight.hello?.serverName === undefined ? "" : ` for ${about.flight.hello.serverName}`}${detail(about)}.`,
    cure: "Name a certificate and its key in the settings; `posthorn check` shows which are in use.",
  }),
  "certificate-unknown-authority": (about) => ({
    fault: "ours",
    sentence: `The client does not trust the issuer of our certificate and said so (${alertAside(about)}): ${whyNotTrusted(about)}.`,
    cure: about.context?.ownIssue?.isSelfSigned === true ? SELF_SIGNED_CURE : CHAIN_CURE,
  }),
  "certificate-expired": (about) => ({
    fault: "ours",
    sentence: `The client says that our certificate has expired (${alertAside(about)}), or its own clock is wrong.`,
    cure: "Renew the certificate and reload; if it is still valid, the client's date is wrong.",
  }),
  "certificate-rejected": (about) => ({
    fault: about.alert?.number === 44 ? "ours" : "both",
    sentence: `The client rejected our certificate with ${theAlert(about)}: ${whyRejected(about)}.`,
    cure:
      about.alert?.number === 44
        ? "Get a new certificate with a new key, and find out why this one was revoked."
        : `Compare the name the client was set to${asked(about)} with those in the certificate. ${CHAIN_CURE}`,
  }),
  "client-certificate-missing": (about) =>
    about.role === "server"
      ? {
          fault: "peer",
          sentence: "This server requires a client certificate, and the client sent none.",
          cure: "Give the client a certificate, or ask for one (`ask`) instead of requiring it.",
        }
      : {
          fault: "ours",
          sentence: `The server requires a client certificate, and we sent none (${alertAside(about)}).`,
          cure: "Set a client certificate for this destination.",
        },
  "client-certificate-rejected": (about) =>
    about.role === "server"
      ? {
          fault: "peer",
          sentence: `The client's certificate did not pass: ${about.context?.verdict?.problem?.text ?? "it could not be verified"}.`,
          cure: "Give the client a certificate of an authority this listener trusts, or add its authority or fingerprint.",
        }
      : {
          fault: "both",
          sentence: `The server rejected our client certificate with ${theAlert(about)}.`,
          cure: "Ask the server's owner which authority it trusts; check that the certificate set for this destination is valid and complete.",
        },
  "verification-failed": (about) => ({
    fault: about.context?.verdict?.problem?.kind === "no-authorities" ? "ours" : "peer",
    sentence: `The server's certificate does not pass the check that is asked for here: ${about.context?.verdict?.problem?.text ?? "it could not be verified"}.`,
    cure: `${verificationCure(about)} \`posthorn tls probe HOST\` shows the chain it sends.`,
  }),
  "keeper-unavailable": (about) => ({
    fault: "ours",
    sentence: `The ${peer(about)} could not be served: the process that keeps keys and certificates did not answer${detail(about)}.`,
    cure: "Look for the keeper's own messages in the log; it is started again by itself.",
  }),
};

function whyNotTrusted(about: Case): string {
  const issue = about.context?.ownIssue;
  if (issue === undefined)
    return "the chain we send is incomplete, or the certificate is self-signed or of an authority unknown to it";
  if (issue.isSelfSigned) return "our certificate is self-signed";
  const sent = issue.sent === 1 ? "we send it alone, without intermediates" : `we send ${issue.sent} certificates`;
  return `${sent}, and the client knows no authority ${issue.lastIssuer}`;
}

function whyRejected(about: Case): string {
  const unclear = "clients say so of a wrong name, and GnuTLS also of an issuer it does not know";
  return WHY_REJECTED[about.alert?.number ?? -1] ?? unclear;
}

const WHY_REJECTED: Readonly<Record<number, string>> = {
  43: "it is of a kind the client does not support",
  44: "it has been revoked",
  46: "the client gives no other reason than that it does not accept it",
};

function verificationCure(about: Case): string {
  const trust = "Name the server's own authority for this destination if you trust it, or its fingerprint.";
  return VERIFICATION_CURES[about.context?.verdict?.problem?.kind ?? "other"] ?? trust;
}

const VERIFICATION_CURES: Readonly<Partial<Record<VerifyProblem["kind"], string>>> = {
  expired: "The server's owner has to renew it; if it is valid, the date of this machine is wrong.",
  "not-yet-valid": "The date of this machine is wrong, or the server uses its new certificate too early.",
  "wrong-name": "Use the name the certificate has, or have the server's owner get one for this name.",
  "incomplete-chain":
    "The server's owner has to send the intermediate certificates too; if the issuer is an authority of its own, name that one for this destination if you trust it.",
  "wrong-fingerprint":
    "Find out from the server's owner whether the certificate was renewed, and only then set the new fingerprint.",
  "no-certificate": "The server has to show a certificate.",
  "no-authorities": "Name a file of authorities in the settings, or install the system's.",
};

function nameAsked(about: Case): string {
  return about.context?.serverName ?? about.flight.hello?.serverName ?? "none";
}

function asked(about: Case): string {
  const name = about.flight.hello?.serverName;
  return name === undefined ? "" : ` (it asked for ${name})`;
}

function detail(about: Case): string {
  return about.context?.detail === undefined ? "" : ` (${about.context.detail})`;
}
