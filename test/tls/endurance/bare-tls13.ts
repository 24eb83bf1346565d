/**
 * Just enough of TLS 1.3 (RFC 8446) to behave badly with: one cipher suite, one group, no checks of the other side. What
 * it sends after the handshake is its user's choice, message by message, which no library allows.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  randomBytes,
  sign,
  X509Certificate,
  type KeyObject,
} from "node:crypto";
import type { Socket } from "node:net";

const TYPE = { changeCipherSpec: 20, alert: 21, handshake: 22, data: 23 } as const;
const KEY_UPDATE = 24;
const X25519_SPKI = Buffer.from("302a300506032b656e032100", "hex");

/** One direction's keys; each record has its own nonce. */
class Keys {
  #secret: Buffer;
  #key!: Buffer;
  #iv!: Buffer;
  #sequence = 0n;

  constructor(secret: Buffer) {
    this.#secret = secret;
    this.#derive();
  }

  /** RFC 8446 section 7.2. */
  update(): void {
    this.#secret = expandLabel(this.#secret, "traffic upd", Buffer.alloc(0), 32);
    this.#derive();
  }

  seal(type: number, content: Buffer): Buffer {
    const inner = Buffer.concat([content, Buffer.from([type])]);
    const header = Buffer.from([TYPE.data, 3, 3, (inner.length + 16) >> 8, (inner.length + 16) & 0xff]);
    const cipher = createCipheriv("aes-128-gcm", this.#key, this.#nonce());
    cipher.setAAD(header);
    return Buffer.concat([header, cipher.update(inner), cipher.final(), cipher.getAuthTag()]);
  }

  open(header: Buffer, sealed: Buffer): { type: number; content: Buffer } {
    const decipher = createDecipheriv("aes-128-gcm", this.#key, this.#nonce());
    decipher.setAAD(header);
    decipher.setAuthTag(sealed.subarray(-16));
    const inner = Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
    let end = inner.length - 1;
    while (end > 0 && inner[end] === 0) end--;
    return { type: inner[end] ?? 0, content: inner.subarray(0, end) };
  }

  #derive(): void {
    this.#key = expandLabel(this.#secret, "key", Buffer.alloc(0), 16);
    this.#iv = expandLabel(this.#secret, "iv", Buffer.alloc(0), 12);
    this.#sequence = 0n;
  }

  #nonce(): Buffer {
    const nonce = Buffer.from(this.#iv);
    const sequence = this.#sequence++;
    nonce.writeBigUInt64BE(nonce.readBigUInt64BE(4) ^ sequence, 4);
    return nonce;
  }
}

/** An established connection, to send what one likes over. */
export interface BareTls {
  readonly socket: Socket;
  /** One record, sealed. */
  seal(kind: "data" | "alert" | "handshake", content: Buffer): Buffer;
  keyUpdate(isRequest: boolean): Buffer;
  /** Alert level and description 0: close_notify. */
  closeNotify(): Buffer;
}

/** Rejects when the other side does not take part. */
export function bareClient(socket: Socket, serverName: string): Promise<BareTls> {
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  const share = publicKey.export({ type: "spki", format: "der" }).subarray(-32);
  const extensions = Buffer.concat([
    extension(0, vector(2, Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(serverName))]))),
    extension(10, vector(2, Buffer.from([0, 0x1d]))),
    extension(13, vector(2, Buffer.from([4, 3, 8, 4, 8, 7]))),
    extension(43, vector(1, Buffer.from([3, 4]))),
    extension(51, vector(2, Buffer.concat([Buffer.from([0, 0x1d]), vector(2, share)]))),
  ]);
  const hello = message(
    1,
    Buffer.concat([
      Buffer.from([3, 3]),
      randomBytes(32),
      vector(1, Buffer.alloc(0)),
      vector(2, Buffer.from([0x13, 0x01])),
      vector(1, Buffer.from([0])),
      vector(2, extensions),
    ]),
  );
  const transcript: Buffer[] = [hello];
  let schedule: Schedule | undefined;
  return converse(
    socket,
    (type, body, whole, live) => {
      transcript.push(whole);
      if (type === 2) {
        const shared = sharedSecret(privateKey, keyShareIn(body, 2));
        schedule = new Schedule(shared, hashOf(transcript));
        live.receive = new Keys(schedule.serverHandshake);
        return false;
      }
      if (type !== 20 || schedule === undefined) return false;
      const { client, server } = schedule.application(hashOf(transcript));
      const finished = message(20, finishedMac(schedule.clientHandshake, hashOf(transcript)));
      socket.write(new Keys(schedule.clientHandshake).seal(TYPE.handshake, finished));
      live.send = new Keys(client);
      live.receive = new Keys(server);
      return true;
    },
    () => socket.write(plain(TYPE.handshake, hello)),
  );
}

/** As a server, with a P-256 certificate. */
export function bareServer(socket: Socket, own: { cert: string; key: KeyObject }): Promise<BareTls> {
  const transcript: Buffer[] = [];
  let schedule: Schedule | undefined;
  let afterFinished: { client: Buffer; server: Buffer } | undefined;
  return converse(
    socket,
    (type, body, whole, live) => {
      if (type === 1) {
        transcript.push(whole);
        const { publicKey, privateKey } = generateKeyPairSync("x25519");
        const share = publicKey.export({ type: "spki", format: "der" }).subarray(-32);
        const sessionId = body.subarray(34, 35 + (body[34] ?? 0));
        const extensions = Buffer.concat([
          extension(43, Buffer.from([3, 4])),
          extension(51, Buffer.concat([Buffer.from([0, 0x1d]), vector(2, share)])),
        ]);
        const hello = message(
          2,
          Buffer.concat([
            Buffer.from([3, 3]),
            randomBytes(32),
            sessionId,
            Buffer.from([0x13, 0x01, 0]),
            vector(2, extensions),
          ]),
        );
        transcript.push(hello);
        schedule = new Schedule(sharedSecret(privateKey, keyShareIn(body, 1)), hashOf(transcript));
        const der = new X509Certificate(own.cert).raw;
        const flight: Buffer[] = [];
        const add = (one: Buffer): void => {
          transcript.push(one);
          flight.push(one);
        };
        add(message(8, vector(2, Buffer.alloc(0))));
        add(
          message(
            11,
            Buffer.concat([Buffer.from([0]), vector(3, Buffer.concat([vector(3, der), vector(2, Buffer.alloc(0))]))]),
          ),
        );
        const signed = Buffer.concat([
          Buffer.alloc(64, 0x20),
          Buffer.from("TLS 1.3, server CertificateVerify\0"),
          hashOf(transcript),
        ]);
        add(message(15, Buffer.concat([Buffer.from([4, 3]), vector(2, sign("sha256", signed, own.key))])));
        add(message(20, finishedMac(schedule.serverHandshake, hashOf(transcript))));
        const sealing = new Keys(schedule.serverHandshake);
        socket.write(
          Buffer.concat([plain(TYPE.handshake, hello), sealing.seal(TYPE.handshake, Buffer.concat(flight))]),
        );
        live.receive = new Keys(schedule.clientHandshake);
        afterFinished = schedule.application(hashOf(transcript));
        return false;
      }
      if (type !== 20 || afterFinished === undefined) return false;
      live.send = new Keys(afterFinished.server);
      live.receive = new Keys(afterFinished.client);
      return true;
    },
    () => {},
  );
}

interface Live {
  send?: Keys;
  receive?: Keys;
}

/** Reads handshake messages until `onMessage` says that it is done; from then on nothing is read but dropped. */
function converse(
  socket: Socket,
  onMessage: (type: number, body: Buffer, whole: Buffer, live: Live) => boolean,
  begin: () => void,
): Promise<BareTls> {
  return new Promise((resolve, reject) => {
    const live: Live = {};
    let bytes: Buffer = Buffer.alloc(0);
    let messages: Buffer = Buffer.alloc(0);
    const fail = (): void => reject(new Error("no TLS 1.3 to be had"));
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      try {
        while (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt16BE(3)) {
          const header = bytes.subarray(0, 5);
          const content = bytes.subarray(5, 5 + bytes.readUInt16BE(3));
          bytes = bytes.subarray(5 + content.length);
          if (header[0] === TYPE.changeCipherSpec) continue;
          const record =
            header[0] === TYPE.data && live.receive !== undefined
              ? live.receive.open(header, content)
              : { type: header[0] ?? 0, content };
          if (record.type !== TYPE.handshake) return fail();
          messages = Buffer.concat([messages, record.content]);
          while (messages.length >= 4 && messages.length >= 4 + messages.readUIntBE(1, 3)) {
            const whole = messages.subarray(0, 4 + messages.readUIntBE(1, 3));
            messages = messages.subarray(whole.length);
            if (!onMessage(whole[0] ?? 0, whole.subarray(4), whole, live)) continue;
            socket.off("data", onData);
            socket.off("close", fail);
            socket.on("data", () => {});
            resolve(established(socket, live));
            return undefined;
          }
        }
      } catch {
        fail();
      }
      return undefined;
    };
    socket.on("data", onData);
    socket.once("close", fail);
    begin();
  });
}

function established(socket: Socket, live: Live): BareTls {
  const { send } = live;
  if (send === undefined) throw new Error("no keys");
  return {
    socket,
    seal: (kind, content) => send.seal(TYPE[kind], content),
    keyUpdate(isRequest) {
      const sealed = send.seal(TYPE.handshake, message(KEY_UPDATE, Buffer.from([isRequest ? 1 : 0])));
      send.update();
      return sealed;
    },
    closeNotify: () => send.seal(TYPE.alert, Buffer.from([1, 0])),
  };
}

/** RFC 8446 section 7.1. */
class Schedule {
  readonly clientHandshake: Buffer;
  readonly serverHandshake: Buffer;
  readonly #master: Buffer;

  constructor(shared: Buffer, helloHash: Buffer) {
    const nothing = hashOf([]);
    const early = extract(Buffer.alloc(32), Buffer.alloc(32));
    const handshake = extract(expandLabel(early, "derived", nothing, 32), shared);
    this.clientHandshake = expandLabel(handshake, "c hs traffic", helloHash, 32);
    this.serverHandshake = expandLabel(handshake, "s hs traffic", helloHash, 32);
    this.#master = extract(expandLabel(handshake, "derived", nothing, 32), Buffer.alloc(32));
  }

  application(finishedHash: Buffer): { client: Buffer; server: Buffer } {
    return {
      client: expandLabel(this.#master, "c ap traffic", finishedHash, 32),
      server: expandLabel(this.#master, "s ap traffic", finishedHash, 32),
    };
  }
}

function finishedMac(secret: Buffer, hash: Buffer): Buffer {
  return createHmac("sha256", expandLabel(secret, "finished", Buffer.alloc(0), 32))
    .update(hash)
    .digest();
}

function sharedSecret(privateKey: KeyObject, theirShare: Buffer): Buffer {
  const publicKey = createPublicKey({ key: Buffer.concat([X25519_SPKI, theirShare]), format: "der", type: "spki" });
  return diffieHellman({ privateKey, publicKey });
}

/** The X25519 share in a ClientHello (1) or ServerHello (2). */
function keyShareIn(body: Buffer, type: 1 | 2): Buffer {
  let at = 34;
  at += 1 + (body[at] ?? 0);
  if (type === 1) {
    at += 2 + body.readUInt16BE(at);
    at += 1 + (body[at] ?? 0);
  } else at += 3;
  const end = at + 2 + body.readUInt16BE(at);
  for (at += 2; at < end; at += 4 + body.readUInt16BE(at + 2)) {
    if (body.readUInt16BE(at) !== 51) continue;
    let share = at + (type === 1 ? 6 : 4);
    for (;;) {
      const length = body.readUInt16BE(share + 2);
      if (body.readUInt16BE(share) === 0x1d) return body.subarray(share + 4, share + 4 + length);
      share += 4 + length;
    }
  }
  throw new Error("no X25519 share");
}

function extract(salt: Buffer, secret: Buffer): Buffer {
  return createHmac("sha256", salt).update(secret).digest();
}

function expandLabel(secret: Buffer, label: string, context: Buffer, length: number): Buffer {
  const info = Buffer.concat([
    Buffer.from([length >> 8, length & 0xff]),
    vector(1, Buffer.from(`tls13 ${label}`)),
    vector(1, context),
  ]);
  return createHmac("sha256", secret)
    .update(Buffer.concat([info, Buffer.from([1])]))
    .digest()
    .subarray(0, length);
}

function hashOf(messages: readonly Buffer[]): Buffer {
  return createHash("sha256").update(Buffer.concat(messages)).digest();
}

function plain(type: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type, 3, 1]), vector(2, content)]);
}

function message(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type]), vector(3, body)]);
}

function extension(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type >> 8, type & 0xff]), vector(2, body)]);
}

function vector(lengthBytes: 1 | 2 | 3, content: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(content.length, 0, lengthBytes);
  return Buffer.concat([length, content]);
}
