import { firstLine } from "./foreign.ts";
import { foreignBytes } from "../flight/progress.ts";
import { alertAside, listed, ownVersions, peer, PROBE, theAlert } from "./sentence-parts.ts";
import type { Case, Sentences, Told } from "./sentence-parts.ts";
import { cipherName, groupName } from "../flight/wire-names.ts";

/** Failures before or at the hellos: no TLS at all, and nothing in common. */
export const helloSentences: Sentences<
  | "no-hello"
  | "not-tls"
  | "plain-smtp"
  | "http-request"
  | "malformed"
  | "tls-on-plaintext-port"
  | "version-mismatch"
  | "no-shared-cipher"
  | "no-shared-group"
  | "no-shared-signature"
  | "alpn-mismatch"
  | "injection"
  | "too-many-handshakes"
> = {
  "no-hello": () => ({
    fault: "nobody",
    sentence: "The client connected and went away without sending a byte of TLS, as port checks and load balancers do.",
    cure: "Nothing to mend here. A check of our own can be told to speak the protocol to the end.",
  }),
  "not-tls": (about) => ({
    fault: "peer",
    sentence: `The ${peer(about)} sent bytes that are no TLS${quoted(about)} where its ${about.role === "server" ? "ClientHello" : "ServerHello"} was due.`,
    cure:
      about.role === "server"
        ? "Look what the client is: a scanner, or a program set to this port by mistake."
        : "Look what listens there: it may be another service, or a port that starts in plaintext (then use tls:// or smtp+tls://).",
  }),
  "plain-smtp": (about) =>
    about.role === "server"
      ? {
          fault: "peer",
          sentence: `The client spoke plain SMTP${quoted(about)} ${whereTlsStarts(about)}.`,
          cure:
            about.context?.isUpgrade === true
              ? "The client's software has to be mended: it goes on in plaintext although it asked for TLS and was told to start it. Nothing of it was taken."
              : "Set the client to implicit TLS (often named SSL/TLS) for this port, or to STARTTLS on port 587 or 25.",
        }
      : {
          fault: "both",
          sentence: `The server spoke plain SMTP${quoted(about)} where we started TLS: this port starts in plaintext, or the server went on in plaintext after STARTTLS.`,
          cure: "Use tls:// or smtp+tls:// (STARTTLS) for this port, or smtps:// with the server's port of implicit TLS, usually 465.",
        },
  "http-request": (about) => ({
    fault: about.role === "server" ? "nobody" : "ours",
    sentence: `The ${peer(about)} spoke HTTP${quoted(about)}, not TLS: ${about.role === "server" ? "a browser or a scanner" : "a web server listens there"}.`,
    cure: about.role === "server" ? "Nothing to mend here." : "Correct the host or the port of the relay.",
  }),
  malformed: (about) => ({
    fault: "peer",
    sentence:
      about.role === "server" && about.flight.hello === undefined
        ? `The client began TLS with something that is no ClientHello, or none that can be read${words(about)}.`
        : `The ${peer(about)}'s ${lastIn(about)} is broken: its lengths or fields contradict each other${words(about)}.`,
    cure: "The peer's TLS is faulty, or something on the way changes its bytes; try from another network, then ask its maker.",
  }),
  "tls-on-plaintext-port": (about) =>
    about.role === "server"
      ? {
          fault: "peer",
          sentence: `The client started TLS at once on a port that begins in plaintext${about.flight.hello?.serverName === undefined ? "" : ` (it asked for ${about.flight.hello.serverName})`}.`,
          cure: "Set the client to STARTTLS for this port, or to implicit TLS on port 465.",
        }
      : {
          fault: "ours",
          sentence:
            "The server speaks TLS from the first byte on this port, and we spoke plaintext, as the relay's scheme says.",
          cure: "Use smtps:// for this port, or the server's port that begins in plaintext, usually 25 or 587.",
        },
  "version-mismatch": versionMismatch,
  "no-shared-cipher": noSharedCipher,
  "no-shared-group": (about) => {
    const offered = about.flight.hello?.groups.map(groupName) ?? [];
    return about.role === "server"
      ? {
          fault: "both",
          sentence: `The client and this server have no key exchange group in common; the client offered ${some(offered)}.`,
          cure: "Add one of the client's groups to the TLS groups of this server, or update the client; X25519 and prime256v1 are known to all.",
        }
      : {
          fault: "both",
          sentence: `The server and we have no key exchange group in common; we offered ${some(offered)}.`,
          cure: `Offer more groups to this destination. ${PROBE}`,
        };
  },
  "no-shared-signature": (about) => ({
    fault: "both",
    sentence:
      about.role === "server"
        ? `This server has no certificate for ${whatFor(about)}${keys(about)} that can sign in a way that the client accepts.`
        : "The server's certificate signs in a way that we do not accept, or ours in a way that it does not.",
    cure:
      about.role === "server"
        ? "Add a certificate for the same names with the other type of key (RSA beside ECDSA, or ECDSA beside RSA)."
        : `The certificate is usually too old a kind (SHA-1, a short key); its owner has to renew it. ${PROBE}`,
  }),
  "alpn-mismatch": (about) => {
    const offered = about.flight.hello?.alpn ?? [];
    const ours = about.context?.alpn ?? [];
    return about.role === "server"
      ? {
          fault: "peer",
          sentence: `The client insists on another protocol (ALPN ${some(offered)}) than this server speaks here${ours.length === 0 ? "" : ` (${some(ours)})`}.`,
          cure: "Mail clients send no ALPN, or that of their protocol: this is a client of another service.",
        }
      : {
          fault: "both",
          sentence: `The server refused the protocol we named (ALPN ${some(offered)}).`,
          cure: "Name no ALPN for this destination.",
        };
  },
  injection: (about) => ({
    fault: "peer",
    sentence: `The ${peer(about)} sent plaintext${detail(about)} behind ${about.role === "server" ? "its STARTTLS command" : "its answer to STARTTLS"} and ahead of TLS: a fault, or somebody on the way slipped commands in.`,
    cure:
      about.role === "server"
        ? "Nothing of it was taken. If the client is an honest one, it does not wait for the answer to STARTTLS: its software has to be mended."
        : "Nothing of it was taken. If it happens each time, the server's software has to be mended; if it does not, ask who is on the way.",
  }),
  "too-many-handshakes": (about) => ({
    fault: "peer",
    sentence: `The ${peer(about)} started more TLS handshakes than one peer may${detail(about)}, and this one was refused.`,
    cure: "Raise `limits.handshakes-per-second` or `limits.handshake-rate` of the listener if the client is a busy and honest one; else leave them.",
  }),
};

function whereTlsStarts(about: Case): string {
  return about.context?.isUpgrade === true
    ? "after its STARTTLS was answered with 220, where TLS has to start"
    : "where TLS has to start, so it is set to no encryption or to STARTTLS on a port of implicit TLS";
}

function versionMismatch(about: Case): Told {
  const { role, flight, alert } = about;
  if (role === "server") {
    if (alert?.number === 86) {
      return {
        fault: "peer",
        sentence:
          "The client came with an older TLS version than both can speak and said that it does so after a failure (TLS_FALLBACK_SCSV); that is refused, as a protection against downgrades.",
        cure: "Somebody on the way breaks newer handshakes, or an earlier failure made the client try less: look at the failures of this client before this one.",
      };
    }
    const offered = flight.hello?.versions ?? [];
    const isRefusal = alert?.from === "peer";
    const isLimited = offered.includes("TLSv1.3") || offered.includes("TLSv1.2");
    return {
      fault: isRefusal ? "both" : isLimited ? "ours" : "peer",
      sentence: isRefusal
        ? `The client refused the TLS version chosen (${flight.serverHello?.version ?? "unknown"}) with ${theAlert(about)}.`
        : `The client speaks ${offered.length === 0 ? "no TLS version that we know" : `only ${listed(offered)}`}, and this server takes ${ownVersions(about)}.`,
      cure: isLimited
        ? "Allow TLSv1.2 and TLSv1.3 on this listener; there is no reason to refuse either."
        : "Update the client's software. Only if it cannot be, allow its version on a listener of its own.",
    };
  }
  const chosen = flight.serverHello?.version;
  const isLimited = flight.hello !== undefined && !flight.hello.versions.includes("TLSv1.3");
  return {
    fault: isLimited ? "ours" : "peer",
    sentence:
      alert?.from === "peer"
        ? `The server refused every TLS version we offer (${ownVersions(about)}) with ${theAlert(about)}.`
        : `The server answered with ${chosen ?? "a TLS version"}, which we do not take (we take ${ownVersions(about)}).`,
    cure: isLimited
      ? "This destination is limited to old versions here: allow TLSv1.3 for it."
      : "The server's software is too old. Until its owner updates it, allow the older version for this destination, or plaintext.",
  };
}

function noSharedCipher(about: Case): Told {
  const { role, flight, alert } = about;
  if (role === "client") {
    return {
      fault: "both",
      sentence:
        alert?.from === "peer"
          ? `The server takes none of the ciphers we offered, or finds them too weak (${alertAside(about)}).`
          : "The server chose a cipher that we did not offer.",
      cure: `Offer more ciphers to this destination. ${PROBE}`,
    };
  }
  const needs = keyKindWanted(about);
  if (needs !== undefined) {
    return {
      fault: "ours",
      sentence: `The client accepts ${needs} certificates only, and this server has none of that kind for it${keys(about)}.`,
      cure: `Add a certificate for the same names with an ${needs} key beside the other; both serve together.`,
    };
  }
  const offered = flight.hello?.ciphers.map(cipherName) ?? [];
  return {
    fault: "both",
    sentence: `The client and this server have no cipher in common; the client offered ${some(offered)}.`,
    cure: "Update the client, or allow one of its ciphers on this listener if it is a safe one.",
  };
}

/** The kind of certificate a client of TLS 1.2 asks for by its ciphers, when it is one we do not have. */
function keyKindWanted(about: Case): "RSA" | "ECDSA" | undefined {
  const hello = about.flight.hello;
  const ours = about.context?.ownKeys;
  if (hello === undefined || ours === undefined || ours.length === 0 || hello.versions.includes("TLSv1.3"))
    return undefined;
  const names = hello.ciphers.map(cipherName);
  const takesEcdsa = names.some((name) => name.includes("_ECDSA_"));
  const takesRsa = names.some((name) => name.includes("_RSA_"));
  if (takesRsa && !takesEcdsa && !ours.includes("rsa")) return "RSA";
  return takesEcdsa && !takesRsa && !ours.includes("ec") ? "ECDSA" : undefined;
}

function keys(about: Case): string {
  const kinds = about.context?.ownKeys ?? [];
  return kinds.length === 0 ? "" : ` (it has ${listed(kinds.map((kind) => KEY_NAMES[kind] ?? kind))})`;
}

/** Certificates are chosen by the name asked for: there may be others for other names. */
function whatFor(about: Case): string {
  return about.flight.hello?.serverName ?? "clients that ask for no name";
}

const KEY_NAMES: Readonly<Record<string, string>> = { ec: "ECDSA", rsa: "RSA", ed25519: "Ed25519", ed448: "Ed448" };

function quoted(about: Case): string {
  const shown = firstLine(foreignBytes(about.flight, "in")?.detail ?? "");
  return shown === "" ? "" : ` ("${shown}")`;
}

function lastIn(about: Case): string {
  return about.role === "server" ? "ClientHello" : "answer";
}

function words(about: Case): string {
  return about.words === undefined ? "" : ` (${about.words})`;
}

function detail(about: Case): string {
  return about.context?.detail === undefined ? "" : ` (${about.context.detail})`;
}

function some(names: readonly string[]): string {
  if (names.length === 0) return "none";
  return names.length > 6 ? `${names.slice(0, 6).join(", ")} and ${names.length - 6} more` : listed(names);
}
