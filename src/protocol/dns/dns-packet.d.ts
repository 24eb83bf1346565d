// The package has no types of its own; it serves the tests as a second opinion on our codec.
declare module "dns-packet" {
  export function encode(packet: object): Buffer;
  export function decode(bytes: Uint8Array): {
    id: number;
    flags: number;
    questions: { name: string; type: string; class: string }[];
    additionals: { type: string; udpPayloadSize?: number }[];
  };
}
