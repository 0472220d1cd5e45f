/** What pages grant, in a file of its own: for pages that grant anything. */
export { Bus, bus, type Topics } from "./bus";
export { ask, services } from "./services";
