/** Where an authority's questions are answered: what a reload changes of that, without an authority. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { connect } from "node:tls";
import { freePort, LAYOUTS, startServer } from "../server.ts";

/** What whoever shakes hands there sees. */
async function shownAt(port: number): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", servername: "mx.posthorn.test", rejectUnauthorized: false });
  try {
    await once(socket, "secureConnect");
    return String(socket.getPeerCertificate().subject.CN);
  } catch {
    return "a refusal";
  } finally {
    socket.destroy();
  }
}

for (const layout of LAYOUTS)
  test(`${layout}: a reload may give answerers another address of the same port, and a port to a listener and back`, async (t) => {
    const port = await freePort();
    const settings = (acme: string, listeners = ""): string =>
      `${layout === "split" ? "user: nobody\nprocesses: { ingress: 1, egress: 1 }" : "processes: { layout: single }"}
hostname: mx.posthorn.test
state: ./data
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp} }
${listeners}certificates: [{ label: mx, acme: [mx.posthorn.test] }]
acme: { terms-agreed: true, directory: "https://127.0.0.1:1/directory", ${acme} }
`;
    const http = (address: string): string => settings(`http: { ${address}port: ${port} }`);
    const alpn = `challenge: tls-alpn-01, tls-alpn: { address: 127.0.0.1, port: ${port} }`;
    const reached = async (host: string): Promise<number> => (await fetch(`http://${host}:${port}/`)).status;
    await using server = await startServer({ layout, wholeSettings: http("address: 127.0.0.1, ") });
    const reload = async (wholeSettings: string): Promise<readonly [number | null, string]> => {
      server.rewrite({ wholeSettings });
      const { status, stderr } = await server.posthorn("reload");
      return [status, stderr];
    };
    assert.equal(await reached("127.0.0.1"), 404);
    for (const address of ["address: 127.0.0.2, ", ""]) {
      assert.deepEqual(await reload(http(address)), [0, ""], address);
      assert.equal(await reached("127.0.0.2"), 404, address);
    }

    // A reload that is refused after the answerer was prepared leaves the one before where it was.
    const other = createServer().listen(0, "127.0.0.1");
    t.after(() => other.close());
    await once(other, "listening");
    const address = other.address();
    assert.ok(address !== null && typeof address === "object");
    const taken = `  - { name: taken, address: 127.0.0.1, port: ${address.port} }\n`;
    const [status] = await reload(settings(`http: { address: 127.0.0.1, port: ${port} }`, taken));
    assert.notEqual(status, 0);
    assert.equal(await reached("127.0.0.2"), 404);

    const implicit = `  - { name: tls, address: 127.0.0.1, port: ${port}, tls: implicit }\n`;
    assert.deepEqual(await reload(settings(alpn, implicit)), [0, ""]);
    assert.equal(await shownAt(port), "mx.posthorn.test");
    assert.deepEqual(await reload(settings(alpn)), [0, ""]);
    assert.equal(await shownAt(port), "a refusal");
    assert.equal(await server.stop(), 0);
  });
