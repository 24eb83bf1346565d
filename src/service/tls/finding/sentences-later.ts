import { alertAside, peer } from "./sentence-parts.ts";
import type { Sentences } from "./sentence-parts.ts";

/** Failures after the handshake. */
export const laterSentences: Sentences<
  "renegotiation-refused" | "key-update-flood" | "bad-record" | "data-after-close"
> = {
  "renegotiation-refused": (about) => ({
    fault: "peer",
    sentence: `The ${peer(about)} asked for a new handshake inside the TLS 1.2 connection (renegotiation), which is refused here, and gave up.`,
    cure: "Mail does not need it; the peer's software or its settings ask for it, usually to get a client certificate late.",
  }),
  "key-update-flood": (about) => ({
    fault: "peer",
    sentence: `The ${peer(about)} sent nothing but changes of keys (KeyUpdate), one after the other: an attack on our time, or a serious fault.`,
    cure: "The connection was cut; block the address if it comes again.",
  }),
  "bad-record": (about) => ({
    fault: "network",
    sentence:
      about.alert?.from === "peer"
        ? `The ${peer(about)} could not decrypt a record of ours (${alertAside(about)}): bytes were changed on the way, or its TLS is at fault.`
        : `A record of the ${peer(about)} could not be decrypted: bytes were changed on the way, or its TLS is at fault.`,
    cure: "Look for faulty hardware, a meddling firewall or proxy; try from another network. What was incomplete is not taken.",
  }),
  "data-after-close": (about) => ({
    fault: "peer",
    sentence: `The ${peer(about)} sent more after it had declared its end (close_notify).`,
    cure: "Nothing of it was taken; the peer's software has to be mended.",
  }),
};
