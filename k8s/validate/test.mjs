// The validator must be able to fail: each mistake, put into a copy of the base, is found and named.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { validate } from "./validate.mjs";

const base = process.env.K8S_BASE;
const flagsOf = () => new Set(["--store", "--listen", "--insecure", "--coordinator", "--target", "--migrations-dir", "--slots", "--exit-when-idle"]);

async function problemsAfter(file, from, to) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dunlin-k8s-"));
  try {
    fs.cpSync(base, folder, { recursive: true });
    const text = fs.readFileSync(path.join(folder, file), "utf8");
    assert.ok(text.includes(from), `${file} holds no ${from}`);
    fs.writeFileSync(path.join(folder, file), text.replace(from, to));
    return (await validate(folder, flagsOf)).problems.join("\n");
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

test("the base is valid", async () => assert.deepEqual((await validate(base, flagsOf)).problems, []));
const mistakes = [
  ["a field that is misspelt", "coordinator.yaml", "replicas: 2", "replica: 2", /replica: no such field/],
  ["a field that is misspelt, deep inside", "coordinator.yaml", "failureThreshold: 3", "failureTreshold: 3", /failureTreshold: no such field/],
  ["a wrong type", "coordinator.yaml", "replicas: 2", "replicas: two", /replicas must be integer/],
  ["a flag that the binary does not have", "agents.yaml", "--exit-when-idle", "--exit-if-idle", /no flag --exit-if-idle/],
  ["a probe on another port", "coordinator.yaml", "port: 7070", "port: 7071", /7071 is not one/],
  ["a service on another port", "service.yaml", "targetPort: grpc", "targetPort: http", /targetPort http/],
  ["a selector that matches nothing", "disruption-budget.yaml", "app.kubernetes.io/name: dunlin-coordinator", "app.kubernetes.io/name: x", /matches no pod/],
  ["a mount without a volume", "agents.yaml", "- name: target\n              mountPath", "- name: tarmac\n              mountPath", /mounts tarmac/],
  ["a file that is not listed", "kustomization.yaml", "  - agents.yaml\n", "", /agents.yaml: is not listed/],
  ["a kind that does not exist", "agents.yaml", "kind: Job", "kind: Jobs", /Jobs is unknown/],
  ["a root user", "agents.yaml", "runAsNonRoot: true", "runAsNonRoot: false", /another user than root/],
  ["broken YAML", "agents.yaml", "spec:\n", "spec: [\n", /agents.yaml/],
];
for (const [name, file, from, to, expected] of mistakes) {
  test(`${name} is found`, async () => assert.match(await problemsAfter(file, from, to), expected));
}
