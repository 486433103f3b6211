// The validator can fail: each test breaks one thing in a copy of k8s/ and expects to be told the file and the field.
import assert from 'node:assert/strict';
import {cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';

import {validate, validateRendered} from './validate.mjs';

const source = process.env.DUNLIN_K8S_SOURCE;
const scratch = process.env.DUNLIN_K8S_SCRATCH;
const bin = process.env.DUNLIN_BIN || undefined;

// Copies k8s/, lets `change` spoil it, and returns what the validator says.
function problemsAfter(change) {
  mkdirSync(scratch, {recursive: true});
  const copy = mkdtempSync(join(scratch, 'case-'));
  try {
    for (const part of ['base', 'overlays', 'README.md']) cpSync(join(source, part), join(copy, part), {recursive: true});
    change(copy);
    return validate(copy, {bin});
  } finally {
    rmSync(copy, {recursive: true});
  }
}

function replace(file, from, to) {
  return (copy) => {
    const text = readFileSync(join(copy, file), 'utf8');
    assert.ok(text.includes(from), `${file} has no «${from}»; this test guards nothing`);
    writeFileSync(join(copy, file), text.replace(from, to));
  };
}

test('what is shipped has no problem', () => {
  assert.deepEqual(problemsAfter(() => {}), []);
});

const c = 'base/coordinator.yaml';
const a = 'base/agents.yaml';
const n = 'base/network-policies.yaml';
const cases = [
  ['an unknown field, deep', c, 'readOnlyRootFilesystem: true', 'readOnlyRootFilesytem: true',
    `${c}: Deployment/dunlin-coordinator/spec/template/spec/containers/0/securityContext/readOnlyRootFilesytem: unknown field`],
  ['an unknown field in a list', a, 'readOnly: true', 'readonly: true', 'volumeMounts/0/readonly: unknown field'],
  ['an unknown field of metadata', 'base/service.yaml', 'labels:', 'label:', 'Service/dunlin-coordinator/metadata/label: unknown field'],
  ['a wrong type', c, 'replicas: 2', 'replicas: "2"', `${c}: Deployment/dunlin-coordinator/spec/replicas: must be integer`],
  ['a missing field', c, '                seconds: 5\n', '                {}\n', 'must have required property'],
  ['broken YAML', c, 'spec:', 'spec: [', `${c}: /:`],
  ['a key twice', c, 'replicas: 2', 'replicas: 2\n  replicas: 3', 'Map keys must be unique'],
  ['an unknown kind', c, 'kind: Deployment', 'kind: Deploy', 'no model of apps/v1 Deploy'],
  ["a Service's port name", 'base/service.yaml', 'targetPort: grpc', 'targetPort: grcp', 'base/service.yaml: Service/dunlin-coordinator/spec/ports/0/targetPort'],
  ["a Service's selector", 'base/service.yaml', '    app.kubernetes.io/component: coordinator\n  ports', '    app.kubernetes.io/component: coord\n  ports',
    'Service/dunlin-coordinator/spec/selector: matches no pod'],
  ["a probe's port", c, 'port: 7070', 'port: 7071', 'startupProbe/grpc/port: the container has no port 7071'],
  ["a Deployment's selector", c, '      app.kubernetes.io/component: coordinator\n  template', '      app.kubernetes.io/component: other\n  template',
    'spec/selector: does not match'],
  ["a budget's selector", 'base/disruption-budget.yaml', '      app.kubernetes.io/component: coordinator', '      app.kubernetes.io/component: other', 'PodDisruptionBudget/dunlin-coordinator/spec/selector'],
  ["a policy's selector", n, '      app.kubernetes.io/component: agent\n  #', '      app.kubernetes.io/component: agents\n  #', 'NetworkPolicy/dunlin-agent/spec/podSelector'],
  ["a policy's port", n, 'port: 7070', 'port: 7071', 'NetworkPolicy/dunlin-agent/spec/egress/0/ports/0/port'],
  ['a service account', a, 'serviceAccountName: dunlin-agent', 'serviceAccountName: dunlin-agents', 'serviceAccountName: no ServiceAccount'],
  ['a Secret that nobody brings', c, 'secretName: dunlin-store', 'secretName: dunlin-stores', 'no Secret dunlin-stores'],
  ["a Secret's key", c, 'store/store.dsn', 'store/store.txt', 'args/0: Secret/dunlin-store has no key store.txt'],
  ['a path that is not mounted', a, 'mountPath: /etc/dunlin/migrations', 'mountPath: /etc/dunlin/migration', 'no volume is mounted at /etc/dunlin/migrations'],
  ['a mount without a volume', a, '- name: migrations\n              mountPath', '- name: migration\n              mountPath', 'no volume migration'],
  ['a connection string in an argument', c, '--store=@/etc/dunlin/store/store.dsn', '--store=postgresql://store/dunlin', 'must come from a file'],
  ['no --insecure', a, '            - --insecure\n', '', '--insecure is missing'],
  ['no --migrations-dir', a, '            - --migrations-dir=/etc/dunlin/migrations\n', '', '--migrations-dir is missing'],
  ['a coordinator that does not exist', a, 'dunlin-coordinator:7070', 'dunlin-coordinator:7071', 'no Service dunlin-coordinator with port 7071'],
  ['a listening port that is not exposed', c, '0.0.0.0:7070', '0.0.0.0:7077', "none of the container's ports"],
  ['root', c, 'runAsNonRoot: true', 'runAsNonRoot: false', 'securityContext/runAsNonRoot: must be true'],
  ['capabilities kept', a, 'drop: [ALL]', 'drop: [NET_RAW]', 'securityContext/capabilities/drop'],
  ['a resource that does not exist', 'base/kustomization.yaml', '- service.yaml', '- services.yaml', 'base/kustomization.yaml: /resources/2: there is no services.yaml'],
  ['a file that is not listed', 'base/kustomization.yaml', '  - service.yaml\n', '', 'base/service.yaml: /: is not listed'],
  ['a misspelt kustomization', 'base/kustomization.yaml', 'images:', 'image:', 'base/kustomization.yaml: /image: unknown field'],
  ['a migration that does not exist', 'overlays/dev/kustomization.yaml', 'count_up.yaml', 'count.yaml', 'overlays/dev/kustomization.yaml: /configMapGenerator/0/files/0'],
  ['a need that README.md does not name', 'README.md', '`dunlin-store`', '`store`', 'README.md does not say'],
];
for (const [name, file, from, to, expected] of cases) {
  test(`refuses: ${name}`, () => {
    const problems = problemsAfter(replace(file, from, to));
    assert.ok(problems.some((problem) => problem.includes(expected)), `expected «${expected}», got:\n${problems.join('\n')}`);
  });
}

const skip = bin ? false : 'no binaries at hand';
for (const [name, from, to, expected] of [
  ['a flag that the binary does not have', '--exit-when-idle=10m', '--exit-if-idle=10m', 'dunlin-agent has no flag --exit-if-idle'],
  ['a flag without its value', '--exit-when-idle=10m', '--exit-when-idle', '--exit-when-idle needs a value'],
  ['a value too many', '- --insecure', '- --insecure=yes=no', '--insecure takes no value'],
]) {
  test(`refuses: ${name}`, {skip}, () => {
    const problems = problemsAfter(replace(a, from, to));
    assert.ok(problems.some((problem) => problem.includes(expected)), `expected «${expected}», got:\n${problems.join('\n')}`);
  });
}

test('refuses: a rendering of nothing', () => {
  assert.equal(validateRendered('rendered.yaml', '').length, 1);
});
