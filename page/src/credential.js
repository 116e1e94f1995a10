// The token or API key somebody gave this page to show to the runtime.

const KEY = "copilotkit-runtime-credential";

/**
 * Kept for this tab, so that a reload needs no second sign-in, and gone with it. Not in `localStorage`: every other tab would have
 * it, and whoever uses the browser next.
 */
export const remembered = () => sessionStorage.getItem(KEY);

export function remember(credential) {
  if (credential) sessionStorage.setItem(KEY, credential);
  else sessionStorage.removeItem(KEY);
}

/** The headers that show it. The runtime takes both kinds as a bearer token. */
export const headersWith = (credential) => (credential ? { Authorization: `Bearer ${credential}` } : {});

/** What somebody typed or pasted, also with the scheme in front; `null` if a header cannot hold it. */
export function meant(typed) {
  const credential = typed.trim().replace(/^bearer\s+/i, "");
  return /^[\x21-\x7e]+$/.test(credential) ? credential : null;
}
