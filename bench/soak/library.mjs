// Threads that nobody runs any more: found in lists, renamed, archived, kept from others, deleted, and unchanged at the end.

import { isDeepStrictEqual } from "node:util";
import { inputOf, readEvents } from "../../tests/client/support/sse.mjs";
import { until } from "../../tests/client/support/wait.mjs";
import { AGENT } from "../../tests/client/support/followed-thread.mjs";
import { IMPATIENT, REFUSING } from "./misconduct.mjs";

/** Of each user's threads so many are kept to the end; the older ones are deleted. */
const KEPT = 12;

export class Library {
  /** Threads to be found unchanged, and ids of those to be found gone, by user. */
  kept = new Map();
  gone = [];

  constructor(soak) {
    this.soak = soak;
  }

  /** Takes a thread on which nothing runs any more. */
  async take({ thread, user, broken }, random) {
    const { tally, fleet } = this.soak;
    if (random.chance(0.5)) await this.#tour(thread, user, random);
    tally.did("events received by who followed", thread.receivedInAll);
    thread.forget();
    // A thread of which nothing was kept is none.
    if (broken || !thread.kept.length) return;
    const shelf = this.kept.get(user) ?? [];
    this.kept.set(user, shelf);
    shelf.push(thread);
    if (shelf.length <= KEPT) return;
    const [old] = shelf.splice(random.between(0, KEPT - 1), 1);
    await old.verifyUnchanged(fleet.any(random), tally.findings);
    await this.#delete(old, user, random);
  }

  /** All that clients can do with a thread's entry, with others around that do the same. */
  async #tour(thread, user, random) {
    const { tally, fleet, users } = this.soak;
    const call = (method, path, body, headers = user.headers) => this.#call(fleet.any(random), method, path, body, headers);
    const expect = (holds, text) => holds || tally.broken("wrong", thread.id, text);
    const path = `/threads/${encodeURIComponent(thread.id)}`;
    const empty = thread.kept.length === 0;
    if (empty) return;

    const word = `renamed${thread.id.slice(-12)}`;
    const renamed = await call("PATCH", path, { agentId: AGENT, name: `A ${word} thread` });
    expect(renamed.status === 200 && renamed.body.name.includes(word), `renaming was answered ${renamed.status}`);
    const search = async () => (await this.#list(call, `&query=${word}`)).some(({ id }) => id === thread.id);
    await until(search, `${thread.id} to be found as ${word}`);

    const listed = async (more) => (await this.#list(call, more)).some(({ id }) => id === thread.id);
    expect(await listed("&limit=7"), "it is not listed");
    expect((await call("POST", `${path}/archive`, { agentId: AGENT })).body.archived === true, "it was not archived");
    expect(!(await listed("&limit=20")), "it is archived, and listed");
    expect(await listed("&limit=20&includeArchived=true"), "it is archived, and not listed with the archived");
    const restored = await call("PATCH", path, { agentId: AGENT, archived: false });
    expect(restored.status === 200 && restored.body.archived === false, `restoring was answered ${restored.status}`);

    const { state } = (await call("GET", `${path}/state`)).body;
    const last = thread.kept.at(-1).state;
    expect(isDeepStrictEqual(state ?? {}, last), `the state is ${JSON.stringify(state)?.slice(0, 200)}`);
    const { events } = (await call("GET", `${path}/events`)).body;
    expect(events.filter(({ type }) => type === "RUN_STARTED").length === thread.kept.length, "the events are of other runs");

    const other = random.pick(users.filter((each) => each !== user));
    for (const [method, body] of [["PATCH", { agentId: AGENT, name: "mine" }], ["DELETE", { agentId: AGENT }]]) {
      const { status } = await call(method, path, body, other.headers);
      expect(status === 404, `somebody else's ${method} was answered ${status}`);
    }
    const read = await call("GET", `${path}/messages`, undefined, other.headers);
    expect(read.status === 200 && read.body.messages.length === 0, "somebody else can read it");
    tally.did("threads listed, searched, renamed, archived, restored and kept from others");
  }

  /** All pages of a list, of all agents' threads. */
  async #list(call, more) {
    const threads = [];
    for (const agent of [AGENT, IMPATIENT, REFUSING]) {
      let cursor = "";
      do {
        const { status, body } = await call("GET", `/threads?agentId=${agent}${more}${cursor}`);
        if (status !== 200) throw new Error(`a list was answered ${status}`);
        threads.push(...body.threads);
        cursor = body.nextCursor && `&cursor=${encodeURIComponent(body.nextCursor)}`;
        this.soak.tally.did("pages of lists");
      } while (cursor);
    }
    return threads;
  }

  async #delete(thread, user, random) {
    const { tally, fleet, place } = this.soak;
    if (random.chance(0.2)) {
      const { status, output } = await place.commandBeside("threads", "delete", thread.id, "--user", user.name, "--yes");
      if (status !== 0) tally.broken("wrong", thread.id, `threads delete: ${output}`);
      tally.did("threads deleted by the operator");
    } else {
      const path = `/threads/${encodeURIComponent(thread.id)}`;
      const { status } = await this.#call(fleet.any(random), "DELETE", path, { agentId: AGENT }, user.headers);
      if (status !== 200) tally.broken("wrong", thread.id, `deleting was answered ${status}`);
      tally.did("threads deleted by their users");
    }
    this.gone.push({ id: thread.id, user });
    if (this.gone.length > 200) this.gone.shift();
  }

  /** At the end: what is kept is as it was, what was deleted stays away. */
  async readAgain(runtime) {
    const { tally } = this.soak;
    for (const shelf of this.kept.values()) {
      for (const thread of shelf) {
        await thread.verifyUnchanged(runtime, tally.findings);
        tally.did("older threads read again at the end");
      }
    }
    for (const { id, user } of this.gone) {
      const reader = readEvents(`${runtime.url}/agent/${AGENT}/connect`, inputOf(id, "gone"), { headers: user.headers });
      await reader.done;
      if (reader.frames.length) tally.broken("wrong", id, "it was deleted, and is there");
    }
  }

  async #call(runtime, method, path, body, headers) {
    const response = await fetch(runtime.url + path, {
      method,
      headers: { "content-type": "application/json", ...headers },
      body: body && JSON.stringify(body),
    });
    return { status: response.status, body: await response.json() };
  }
}
