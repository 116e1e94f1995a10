// The built example, served as `npm run preview` serves it.

import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

const example = fileURLToPath(new URL("../../../examples/react-chat/", import.meta.url));

/** Serves the example in front of this runtime: `{ url, close }`. */
export async function serveExample(runtime) {
  const { preview } = await import(pathToFileURL(createRequire(example).resolve("vite")));
  process.env.RUNTIME_ORIGIN = new URL(runtime.url).origin;
  const server = await preview({ root: example, preview: { host: "127.0.0.1", port: 0 }, logLevel: "warn" });
  return {
    url: `http://127.0.0.1:${server.httpServer.address().port}/`,
    close: () => server.close(),
  };
}
