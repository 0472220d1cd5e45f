/** What happens to components seldom: their state is taken, another version goes on with it, they fail. */
import { explained } from "./explain";
import type { Failure } from "./failure";
import { Message } from "./protocol";

/** As far as it is needed here. */
type Element_ = HTMLElement & { send(message: number): void };

/** The component's state, as it writes it; empty for one that keeps none. */
export const saved = (element: Element_, saves: ((state: string) => void)[]): Promise<string> =>
  new Promise((resolve) => {
    saves.push(resolve);
    element.send(Message.Save);
  });

/** What a successor is told first: the state, or that it begins. */
export const restarted = async (element: Element_, saves: ((state: string) => void)[]): Promise<[text: string, message: number]> => {
  const state = await saved(element, saves);
  return state ? [state, Message.Restore] : [element.getAttribute("text") ?? "", Message.Start];
};

/** Tells what happened: an event, and, unless that is prevented, a text in the component's place. */
export const shown = (element: Element_, why: Failure, runs: boolean): void => {
  const detail = explained(why);
  // What runs goes on when only its successor has failed.
  if (!runs) element.setAttribute("status", "failed");
  if (!element.dispatchEvent(new CustomEvent("ounce-error", { bubbles: true, composed: true, cancelable: true, detail })) || runs) return;
  const text = document.createElement("p");
  text.setAttribute("role", "alert");
  text.textContent = detail.message;
  (element.shadowRoot ?? element).replaceChildren(text);
};
