// Puts what was built where the binary takes it from: each file gzipped, and a table of them in Rust.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { constants, gzipSync } from "node:zlib";

const TYPES = { js: "text/javascript", css: "text/css", txt: "text/plain; charset=utf-8" };

export function embed(target) {
  return {
    name: "embed",
    apply: "build",
    writeBundle: {
      order: "post",
      sequential: true,
      handler(_, bundle) {
        const files = join(target, "files");
        rmSync(files, { recursive: true, force: true });
        mkdirSync(files, { recursive: true });
        const rows = [];
        for (const [path, built] of Object.entries(bundle).sort(([a], [b]) => (a < b ? -1 : 1))) {
          const content = built.code ?? built.source;
          if (path === "index.html") {
            writeFileSync(join(target, path), content);
            continue;
          }
          const name = path.replace(/^page\//, "");
          const type = TYPES[name.split(".").pop()];
          if (!type || name.includes("/")) throw new Error(`${path}: the page has no place for this file`);
          writeFileSync(join(files, `${name}.gz`), gzipSync(content, { level: constants.Z_BEST_COMPRESSION }));
          rows.push(`    file!("${name}", "${type}"),\n`);
        }
        writeFileSync(join(target, "files.rs"), `// Made by \`npm run build\` in page/.\n&[\n${rows.join("")}]\n`);
      },
    },
  };
}
