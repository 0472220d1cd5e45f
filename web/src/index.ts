/** The package's own face: the element, and what it is made of. */
import { define } from "./element";

export { hibernation, OunceElement } from "./element";
export { Failure, type FailureCode } from "./failure";
export { type Image, load, loadBundle } from "./image";
export type { Patch } from "./protocol";
export { type Imports, type Limits, Runtime } from "./runtime";
export type { Asker, Service } from "./services";

define();
