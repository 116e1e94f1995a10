import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The page calls the runtime at its own address; Vite passes that on, so there are no other origins to allow.
const proxy = { "/api/copilotkit": process.env.RUNTIME_ORIGIN ?? "http://127.0.0.1:4000" };

export default defineConfig({
  plugins: [react()],
  server: { proxy },
  preview: { proxy },
  // CopilotKit brings what draws diagrams and highlights code; it is loaded when an answer needs it.
  build: { chunkSizeWarningLimit: 5000 },
});
