import { startOpensmtpd } from "../peers/opensmtpd.ts";
import { relaySuite } from "../peers/relay-suite.ts";

relaySuite({
  name: "opensmtpd",
  domain: "opensmtpd.test",
  start: startOpensmtpd,
  hasSmtpUtf8: false,
  breaksTls: true,
});
