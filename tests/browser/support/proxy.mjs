// A reverse proxy that puts a runtime below a path.

import { createServer, request } from "node:http";

/** Serves `origin` of the runtime below `path`: `{ url, close }`. Asked for anything else, it answers 404. */
export async function proxyBelow(path, runtimeUrl) {
  const { hostname, port } = new URL(runtimeUrl);
  const server = createServer((asked, answer) => {
    if (!asked.url.startsWith(path)) {
      answer.writeHead(404).end();
      return;
    }
    const { method, headers } = asked;
    const passed = request({ hostname, port, method, headers, path: asked.url.slice(path.length - 1) }, (given) => {
      answer.writeHead(given.statusCode, given.headers);
      given.pipe(answer);
    });
    passed.on("error", () => answer.destroy());
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}${path}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
