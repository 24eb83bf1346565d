import type { KeyedBackend } from "../keyed-backend.ts";
import { keyParameters } from "../key-parameters.ts";
import { pooledBackend, type PoolWorld } from "../pool/pooled-backend.ts";
import type { PoolDriver } from "../pool/pool.ts";
import { serverAddress } from "../pool/server-address.ts";
import { connectError, serverTls } from "../pool/server-tls.io.ts";
import { rowValue } from "../row-value.ts";
import { TABLE_SERVICES } from "../table.ts";
import { commandWords, parseCommandTemplate, replyRows } from "./command-template.ts";
import type { RedisSettings } from "./settings.ts";

/** What we use of the library's client; its own type differs with each version of the protocol. */
interface Client {
  on(event: string, listener: (error: unknown) => void): unknown;
  connect(): Promise<unknown>;
  destroy(): void;
  sendCommand(words: string[]): Promise<unknown>;
}

/** Redis, and servers that speak its protocol (RESP 2). */
export async function redisBackend(
  table: string,
  settings: RedisSettings,
  password: string | undefined,
  world: PoolWorld,
): Promise<KeyedBackend> {
  const { createClient, ErrorReply } = (await import("@redis/client")).default;
  const driver: PoolDriver<Client> = {
    async open(host, signal, onGone) {
      const address = serverAddress(host);
      const tls = await serverTls(settings, address, world.trust);
      signal.throwIfAborted();
      const place =
        address.kind === "unix" ? { path: address.path } : { host: address.host, port: address.port ?? 6379 };
      const client: Client = createClient({
        socket: {
          ...place,
          // One attempt: when to try again is the pool's.
          reconnectStrategy: false,
          connectTimeout: settings.connectTimeout,
          ...(tls === undefined ? {} : { ...tls, tls: true as const }),
        },
        ...(settings.user === undefined ? {} : { username: settings.user }),
        ...(password === undefined ? {} : { password }),
        database: settings.database,
        RESP: 2,
        disableOfflineQueue: true,
        disableClientInfo: true,
        maintNotifications: "disabled",
      });
      // A client without listeners would end the process with its first broken connection.
      client.on("error", (error: unknown) => onGone(connectError(error).message));
      client.on("end", () => onGone("the server closed the connection"));
      const onAbort = (): void => destroy(client);
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        await client.connect();
        return client;
      } catch (thrown) {
        destroy(client);
        throw connectError(thrown);
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    },
    close: destroy,
    isAnswer: (error) => error instanceof ErrorReply,
  };
  return pooledBackend(
    {
      table,
      kind: "redis",
      settings,
      driver,
      services:
        settings.commands.string === undefined
          ? TABLE_SERVICES.filter((service) => settings.commands[service] !== undefined)
          : undefined,
      probed: TABLE_SERVICES.filter((service) => settings.commands[service] !== undefined).map((service) => ({
        service,
        path: ["commands", service],
      })),
      async ask(client, key, service) {
        const text = settings.commands[service] ?? settings.commands.string;
        const template = text === undefined ? undefined : parseCommandTemplate(text);
        if (template === undefined || !template.ok)
          return { kind: "failed", text: `there is no command for ${service}` };
        const answer = await client.sendCommand(
          commandWords(template.value, settings.prefix, keyParameters(key, service)),
        );
        const rows = replyRows(template.value.reply, answer);
        return typeof rows === "string" ? { kind: "failed", text: rows } : rowValue(service, rows);
      },
    },
    world,
  );
}

function destroy(client: Client): void {
  try {
    client.destroy();
  } catch {
    // It was closed already.
  }
}
