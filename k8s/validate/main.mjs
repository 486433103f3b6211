// node main.mjs FOLDER [FOLDER_WITH_BINARIES]
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { validate } from "./validate.mjs";

const [folder, binaries] = process.argv.slice(2);
const flagsOf = (binary) => {
  const file = binaries && path.join(binaries, binary);
  if (!file || !fs.existsSync(file)) return null;
  return new Set(execFileSync(file, ["--help"], { encoding: "utf8" }).match(/--[a-z-]+/g));
};
const { problems, count } = await validate(folder, flagsOf);
for (const problem of problems) console.error(`k8s: ${problem}`);
if (problems.length > 0) process.exit(1);
console.log(`k8s: ${count} objects of ${folder} are valid${binaries ? "" : " (flags not checked: nothing is built)"}`);
