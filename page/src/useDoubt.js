import { createContext, useContext, useEffect } from "react";

/** Asks the runtime anew whether it lets the user in. */
export const Doubt = createContext(() => {});

/** What goes wrong may do so because the runtime no longer knows the user: a token ends, a key is taken back. */
export function useDoubt(error) {
  const doubt = useContext(Doubt);
  useEffect(() => {
    if (error) doubt();
  }, [error, doubt]);
}
