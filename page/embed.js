// Puts what was built where the binary takes it from: each file gzipped, and a table of them in Rust. With EMBED=check it says
// instead whether that is what lies there.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { constants, gunzipSync, gzipSync } from "node:zlib";

const TYPES = { js: "text/javascript", css: "text/css", txt: "text/plain; charset=utf-8" };

export function embed(target) {
  return {
    name: "embed",
    apply: "build",
    writeBundle: {
      order: "post",
      sequential: true,
      handler(_, bundle) {
        const { html, files } = sorted(bundle);
        const rows = files.map(({ name, type }) => `    file!("${name}", "${type}"),\n`);
        const table = `// Made by \`npm run build\` in page/.\n&[\n${rows.join("")}]\n`;
        const put = process.env.EMBED === "check" ? compare : write;
        put(target, files, { "index.html": html, "files.rs": table });
      },
    },
  };
}

/** The page, and the files it is made of by name. */
function sorted(bundle) {
  const { "index.html": page, ...others } = bundle;
  const files = Object.entries(others).map(([path, built]) => {
    const name = path.replace(/^page\//, "");
    const type = TYPES[name.split(".").pop()];
    if (!type || name.includes("/")) throw new Error(`${path}: the page has no place for this file`);
    return { name, type, content: Buffer.from(built.code ?? built.source) };
  });
  return { html: page.source, files: files.sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

function write(target, files, texts) {
  rmSync(join(target, "files"), { recursive: true, force: true });
  mkdirSync(join(target, "files"), { recursive: true });
  for (const { name, content } of files) {
    writeFileSync(join(target, "files", `${name}.gz`), gzipSync(content, { level: constants.Z_BEST_COMPRESSION }));
  }
  for (const [name, text] of Object.entries(texts)) writeFileSync(join(target, name), text);
}

/** Not gzip's bytes, which differ between versions of Node. */
function compare(target, files, texts) {
  const stale = "is not what its sources make; run `npm run build` in page/";
  for (const [name, text] of Object.entries(texts)) assert.equal(readFileSync(join(target, name), "utf8"), text, `${name} ${stale}`);
  const there = readdirSync(join(target, "files")).sort();
  assert.deepEqual(there, files.map(({ name }) => `${name}.gz`).sort(), `files/ ${stale}`);
  for (const { name, content } of files) {
    assert.ok(gunzipSync(readFileSync(join(target, "files", `${name}.gz`))).equals(content), `${name} ${stale}`);
  }
}
