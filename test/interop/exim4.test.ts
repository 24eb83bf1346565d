import { startExim } from "../peers/exim.ts";
import { relaySuite } from "../peers/relay-suite.ts";

relaySuite({
  name: "exim4",
  domain: "exim.test",
  start: startExim,
  notices: "undecoded",
  hasSmtpUtf8: true,
  bdatInLog: / <= .* K /,
});
