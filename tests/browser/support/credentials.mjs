// What users of a runtime show to sign in: an API key each, or a token.

import { createHash, createHmac } from "node:crypto";

const SECRET = "a secret of the tests, long enough for HS256";

/** The API keys of two users. */
export const keys = { ada: `ckr_${"a".repeat(64)}`, eve: `ckr_${"e".repeat(64)}` };

/** The configuration of a runtime that knows them. */
export const credentialSections = [
  '[users.jwt]\nissuer = "tests"\n',
  `[users.jwt.keys.main]\nalgorithm = "HS256"\nsecret = "${SECRET}"\n`,
  ...Object.entries(keys).map(([user, key]) => {
    const hash = createHash("sha256").update(key).digest("hex");
    return `[users.api_keys.${user}]\nhash = "sha256:${hash}"\nuser = "${user}"\n`;
  }),
].join("\n");

/** A token of this user that ends in so many seconds, or ended so long ago. */
export function tokenOf(user, seconds = 3600) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ iss: "tests", sub: user, exp })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}
