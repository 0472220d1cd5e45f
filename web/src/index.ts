/** The package's own face: the element, and what it is made of. */
import { define } from "./element";

export { Bus, bus, type Topics } from "./bus";
export { OunceElement } from "./element";
export { Failure, type FailureCode } from "./failure";
export { type Image, load, loadBundle } from "./image";
export type { Patch } from "./protocol";
export { type Imports, type Limits, Runtime } from "./runtime";
export { type Asker, type Service, services } from "./services";
export { Surface } from "./surface";

define();
