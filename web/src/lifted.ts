/** Components of WIT: their core module. */
import { Failure } from "./failure";

/** The first core module of a component (component model, binary format). */
export const lifted = (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
  for (let at = 8; at < bytes.length; ) {
    const section = bytes[at++];
    let size = 0;
    for (let scale = 1, more = true; more; scale *= 128) {
      const byte = bytes[at++] ?? 0;
      size += (byte & 127) * scale;
      more = byte > 127;
    }
    if (section === 1) return bytes.subarray(at, at + size);
    at += size;
  }
  throw new Failure("wasm", "the component has no core module");
};
