import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { embed } from "./embed.js";

const instead = (name) => new URL(`./src/instead/${name}.js`, import.meta.url).pathname;
const proxy = { "/api/copilotkit": process.env.RUNTIME_ORIGIN ?? "http://127.0.0.1:4000" };

export default defineConfig({
  plugins: [react(), embed("../src/server/page")],
  base: "./",
  server: { proxy },
  resolve: {
    // What CopilotKit brings and a page inside a small binary does without; see README.md.
    alias: [
      { find: /^@copilotkit\/web-inspector$/, replacement: instead("nothing") },
      { find: /^mermaid$/, replacement: instead("mermaid") },
      { find: /^shiki$/, replacement: instead("shiki") },
      { find: /^katex$/, replacement: instead("katex") },
      { find: /^katex\/dist\/katex\.min\.css$/, replacement: instead("nothing") },
    ],
  },
  build: { assetsDir: "page", chunkSizeWarningLimit: 5000, license: { fileName: "page/licenses.txt" } },
});
