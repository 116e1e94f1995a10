import { useEffect, useState } from "react";

const KEY = "copilotkit-runtime-theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");

/** `choice` is "system", "light" or "dark"; `isDark` what it comes to. It lasts until the browser forgets. */
export function useTheme() {
  const [choice, setChoice] = useState(() => localStorage.getItem(KEY) ?? "system");
  const [systemIsDark, setSystemIsDark] = useState(system.matches);
  useEffect(() => {
    const changed = () => setSystemIsDark(system.matches);
    system.addEventListener("change", changed);
    return () => system.removeEventListener("change", changed);
  }, []);
  const isDark = choice === "dark" || (choice === "system" && systemIsDark);
  useEffect(() => {
    document.documentElement.classList.toggle("dark", isDark);
    localStorage.setItem(KEY, choice);
  }, [choice, isDark]);
  return { choice, isDark, choose: setChoice };
}
