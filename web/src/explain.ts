/** What is wrong and what to do, for people: texts that only pages need on which something fails. */
import { Failure } from "./failure";

/** Those that have theirs. */
const done = new WeakSet<Failure>();

/** The same failure with its text. */
export const explained = (why: Failure): Failure => {
  const text = done.has(why) ? why : texted(why);
  done.add(text);
  return text;
};

const texted = (why: Failure): Failure => {
  const { code, message, cause } = why;
  const told = (text: string, other = code): Failure => new Failure(other, text, cause ?? why);
  switch (code) {
    case "unsupported":
      return told(isSecureContext ? "this browser is too old to run WebAssembly components" : "components need https, or localhost");
    case "reference":
      return message.startsWith("oci:") ? why : told(`"${message}" is no address of an image`);
    case "manifest":
      return URL.canParse(message) ? told(`${message} is no module, and no manifest with a layer of type application/wasm`) : why;
    case "import":
      return told(`the component imports ${message}, which this page does not grant`);
    case "grant":
      return told(`the component asks for ${message}, which needs grant="${message.split(".")[0]}"`);
    case "memory":
      return told(`it has ${message.replace(" > ", " bytes of memory, and ")} is its limit`);
    case "time":
      return message.includes(" > ") ? told(`it took ${message.replace(" > ", " ms for an event, and ")} is its limit`) : why;
    case "patch":
      return told("the component shows what it may not: " + message);
    case "wasm":
      if (!message) return told("no component of a page: the module does not export `event` and `memory`");
      if (/unsafe-eval/.test(message)) return told("the Content-Security-Policy needs script-src 'wasm-unsafe-eval'", "csp");
      return told("no valid module: " + message);
    case "network":
      // One that has answered has said what is wrong.
      if (!cause) return why;
      return told(
        message +
          (new URL(message).origin === origin
            ? " cannot be reached, and is not in the cache"
            : " cannot be reached, or lets no other site read it (CORS), as Docker Hub; a static folder always works: ounce ship IMAGE --to web"),
      );
    default:
      return why;
  }
};
