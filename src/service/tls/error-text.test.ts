import assert from "node:assert/strict";
import { test } from "node:test";
import { tlsErrorText } from "./error-text.ts";

test("an error of OpenSSL is told in its words, on one line, without its addresses and source lines", () => {
  const error = new Error(
    "408DA9A12A7F0000:error:0A000102:SSL routines:tls_early_post_process_client_hello:unsupported protocol:" +
      "../deps/openssl/openssl/ssl/statem/statem_srvr.c:1780:\n",
  );
  assert.equal(tlsErrorText(error), "unsupported protocol");
});

test("an alert of the peer is told with its number", () => {
  const error = new Error(
    "00FE:error:0A000438:SSL routines:ssl3_read_bytes:tlsv1 alert internal error:ssl/record/rec_layer_s3.c:1601:SSL alert number 80\n",
  );
  assert.equal(tlsErrorText(error), "tlsv1 alert internal error (alert 80 from the peer)");
});

test("a peer that hangs up is said to have done so, and other errors keep their words", () => {
  const text = "the peer closed the connection during the handshake";
  assert.equal(tlsErrorText(new Error("socket hang up")), text);
  assert.equal(
    tlsErrorText(new Error("Client network socket disconnected before secure TLS connection was established")),
    text,
  );
  assert.equal(tlsErrorText(new Error("something else")), "something else");
});
