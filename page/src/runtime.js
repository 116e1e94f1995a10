import { headersWith, remembered } from "./credential";

/** The runtime's address. The server writes its path into the page, relative, so that a proxy may put both below another path. */
export const runtimeUrl = new URL(
  document.querySelector('meta[name="copilotkit-runtime"]').content,
  document.baseURI,
).href.replace(/\/$/, "");

/** Why the runtime did not do what it was asked. `status` is 0 if it did not answer. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Asks the runtime for JSON, as whoever signed in unless another credential is to be tried. */
export async function ask(path, { signal, credential = remembered() } = {}) {
  let answer;
  try {
    answer = await fetch(runtimeUrl + path, { signal, headers: headersWith(credential) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal(0, "The runtime does not answer");
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refusal(answer.status, body?.message ?? body?.error ?? `The runtime answered ${answer.status}`);
  return body;
}

/** `?a=1&b=2` of what is given. */
export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value);
  return `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}
