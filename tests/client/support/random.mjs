// Chance that can be repeated: the same seed makes the same choices.

import { randomInt } from "node:crypto";

/** The seed of a test: the one in `variable` of the environment, else a new one. */
export function seedOf(variable) {
  return Number(process.env[variable] ?? randomInt(2 ** 31));
}

/** `random()` is a number from 0 up to 1; its methods choose. */
export function seeded(seed) {
  let state = seed >>> 0;
  // mulberry32
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return Object.assign(random, {
    /** A whole number, both ends included. */
    between: (low, high) => low + Math.floor(random() * (high - low + 1)),
    chance: (probability) => random() < probability,
    pick: (choices) => choices[Math.floor(random() * choices.length)],
    /** A generator of its own, so that what it is asked does not change what others get. */
    fork: () => seeded(Math.floor(random() * 2 ** 32)),
  });
}
